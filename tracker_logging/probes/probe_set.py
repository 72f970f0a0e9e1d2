"""The probes of one step: creates them, registers them on the modules of the model, and collects their sums.

What the family or the model does not allow is in `missing`, with the reason, and has no probe.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from tracker_logging.families.base import BatchView, LayerParts, ModelAdapter
from tracker_logging.families.batches import named_arguments
from tracker_logging.families.latents import LatentAdapter
from tracker_logging.probes.activations import PATHS, ActivationProbe, FiniteProbe
from tracker_logging.probes.attention import AttentionProbe, attention_probe
from tracker_logging.probes.attention_plan import plans_of
from tracker_logging.probes.cross_attention import CrossAttentionProbe, cross_attention_probe
from tracker_logging.probes.flow import FlowProbe
from tracker_logging.probes.hooks import Hooks, recomputing
from tracker_logging.probes.latents import PART as LATENTS
from tracker_logging.probes.latents import LatentProbe
from tracker_logging.probes.loss_check import LossCheck
from tracker_logging.probes.sdpa_tap import tap_attention
from tracker_logging.probes.skipped_heads import SkippedHeads
from tracker_logging.probes.tap import AttentionCall, CannotTapError
from tracker_logging.probes.tokens import TokenProbe

_OF_BATCHES = ("inputs", "tokens", "gaps", "finite", "attention", "activations", "causality", "conflict")
NEEDS = frozenset({*_OF_BATCHES, "gradients", "updates"})

SKIPPED = "predictions of a fused loss"


class ProbeSet:
    """The probes for `needs`. Which probes exist depends on the model alone, so it is the same on every rank."""

    def __init__(
        self,
        model: nn.Module,
        *,
        adapter: ModelAdapter,
        needs: frozenset[str],
        hooks: Hooks,
        special_ids: Collection[int],
        attention_samples: int,
    ) -> None:
        self._adapter = adapter
        self._hooks = hooks
        self._special_ids = special_ids
        self._attention_samples = attention_samples
        self.missing: list[str] = []
        self.tokens = TokenProbe(adapter, keep_sample=True) if "tokens" in needs else None
        self.skipped = SkippedHeads(adapter, self.tokens) if self.tokens is not None else None
        self.loss: LossCheck | None = None
        if self.tokens is not None and getattr(adapter, "loss_sums_codebooks", False):
            self.loss = LossCheck(self.tokens)
        self.latents: LatentProbe | None = None
        if "tokens" in needs and isinstance(adapter, LatentAdapter):
            self.latents = LatentProbe(adapter)
        self.flow: FlowProbe | None = None
        if needs & {"gradients", "updates"}:
            self.flow = hooks.run("gradients", FlowProbe, model, adapter)
        self.layers: Sequence[LayerParts] = ()
        self.attention: AttentionProbe | None = None
        self.cross: CrossAttentionProbe | None = None
        self.activations: ActivationProbe | None = None
        self.finite: FiniteProbe | None = None
        if needs & {"attention", "activations", "finite"}:
            self.layers = hooks.run("layers", adapter.layers) or ()
        if self.layers and "activations" in needs:
            self.activations = ActivationProbe(self.layers)
        if self.layers and "finite" in needs:
            self.finite = FiniteProbe(self.layers)
        if self.layers and "attention" in needs:
            try:
                self.attention = attention_probe([parts.attention for parts in self.layers])
                cross = [parts.cross_attention for parts in self.layers if parts.cross_attention is not None]
                if cross:
                    self.cross = cross_attention_probe(cross, map_layers=sorted(self.attention.map_layers))
            except CannotTapError as reason:
                self.missing.append(f"attention: {reason}")

    def attach(self, model: nn.Module) -> None:
        """Hook heads, FFN paths and layers, and wrap the attention kernel during each forward of `model`."""
        if self.tokens is not None:
            for head in self._hooks.run("audio predictions", self._adapter.audio_heads) or ():
                self._hooks.after(head.module, "audio predictions", partial(self.tokens.audio, head))
            text_head = self._hooks.run("text predictions", self._adapter.text_head)
            if text_head is not None:
                self._hooks.after(text_head, "text predictions", self.tokens.text)
        if self.skipped is not None:
            self._hooks.run(SKIPPED, self.skipped.attach, self._hooks, SKIPPED)
        if self.latents is not None:
            self._hooks.run(LATENTS, self.latents.attach, self._hooks)
        if self.activations is not None:
            for row, parts in enumerate(self.layers):
                for path, ffn in zip(PATHS, (parts.text_ffn, parts.audio_ffn), strict=True):
                    if ffn is not None:
                        self._hooks.after(ffn, "activations", partial(self.activations.observe, row, path))
        if self.finite is not None:
            for row, parts in enumerate(self.layers):
                self._hooks.after(parts.layer, "finite values", partial(self.finite.observe, row))
        if self.attention is not None:
            self._hooks.during(model, "attention", self._tap_attention)

    def begin(self, view: BatchView, inputs: Mapping[str, Any], *, first: bool) -> None:
        """Set the batch of the next forward. Attention is measured in the first micro-batch only."""
        if self.latents is not None:
            self.latents.begin(view, inputs)
        if self.tokens is not None:
            self.tokens.begin(view)
        if self.activations is not None:
            self._hooks.run("activations", self.activations.begin, view)
        if self.finite is not None:
            self._hooks.run("finite values", self.finite.begin, view)
        if self.attention is not None and first:
            self._hooks.run("attention", self._begin_attention, self.attention, view)

    def forward_done(self, view: BatchView) -> None:
        """After a forward on `view`: score the heads that it did not call."""
        if self.skipped is not None and self.shows("audio predictions") and self.shows("text predictions"):
            self._hooks.run(SKIPPED, self.skipped.score, view)

    def end(self) -> None:
        """Ignore the model until the next `begin`."""
        for probe in (
            self.tokens,
            self.skipped,
            self.latents,
            self.activations,
            self.finite,
            self.attention,
            self.cross,
        ):
            if probe is not None:
                probe.end()

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments of the model's forward by name."""
        return named_arguments(self._adapter.core, args, kwargs)

    def sums(self) -> dict[str, torch.Tensor]:
        """The sums of all probes, zero where a part failed on this rank. Synchronises with the device."""
        hooks = self._hooks
        parts: list[tuple[str, str, torch.Tensor]] = []
        if self.tokens is not None:
            part_of = {"tokens": "audio predictions", "histogram": "audio predictions", "text": "text predictions"}
            complete = hooks.is_on(SKIPPED)
            parts += [(part_of[name] if complete else SKIPPED, name, value) for name, value in self.tokens.sums.items()]
        if self.latents is not None:
            parts += [(LATENTS, name, value) for name, value in self.latents.sums.items()]
        if self.loss is not None:
            parts += [("audio predictions", name, value) for name, value in self.loss.sums.items()]
        if self.activations is not None:
            parts += [("activations", name, value) for name, value in self.activations.sums.items()]
        if self.finite is not None:
            parts += [("finite values", name, value) for name, value in self.finite.sums.items()]
        if self.attention is not None:
            hooks.run("attention", self.attention.check)
            parts += [("attention", name, value) for name, value in self.attention.sums.items()]
        if self.cross is not None:
            hooks.run("attention", self.cross.check)
            # The alignment of these families is in their cross-attention; it replaces the zeros of self-attention.
            parts += [("attention", name, value) for name, value in self.cross.sums.items()]
        if self.flow is not None:
            parts += [("gradients", name, value) for name, value in self.flow.sums.items()]
        return {name: value if hooks.is_on(part) else torch.zeros_like(value) for part, name, value in parts}

    @property
    def losses(self) -> tuple[tuple[BatchView, torch.Tensor], ...]:
        """See `TokenProbe.losses`: of codes, or of the frames of continuous latents."""
        return next((probe.losses for probe in (self.tokens, self.latents) if probe is not None and probe.losses), ())

    def shows(self, part: str) -> bool:
        """Whether the part works on this rank."""
        return self._hooks.is_on(part)

    def _tap_attention(self) -> Callable[[], None] | None:
        if self.attention is None:
            return None
        cross_modules = [] if self.cross is None else self.cross.modules
        try:
            return tap_attention([*self.attention.modules, *cross_modules], self._attention_called)
        except CannotTapError as reason:
            self.attention = self.cross = None
            self.missing.append(f"attention: {reason}")
            return None

    def _attention_called(self, layer: int, call: AttentionCall) -> None:
        if self.attention is None or recomputing():
            return
        layers = len(self.attention.modules)
        if layer < layers:
            self._hooks.run_in_step("attention", self.attention.observe, layer, call)
        elif self.cross is not None:
            self._hooks.run_in_step("attention", self.cross.observe, layer - layers, call)

    def _begin_attention(self, attention: AttentionProbe, view: BatchView) -> None:
        plans = plans_of(
            view,
            samples=self._attention_samples,
            bins=attention.bins,
            special_ids=self._special_ids,
            device=view.roles.device,
        )
        attention.begin(plans)
        if self.cross is not None:
            self.cross.begin(view, plans)
