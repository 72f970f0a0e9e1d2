"""One logged step, seen from the side: attach → one optimizer step → detach → snapshot.

    capture = StepCapture(adapter=adapter, needs=frozenset({"tokens", "attention"}))
    capture.attach(model)              # on_step_begin, on every rank
    capture.before_update(optimizer)   # on_pre_optimizer_step: everything is off the model from here on
    capture.after_update(optimizer)    # on_optimizer_step
    snapshot = capture.snapshot(step)  # on_step_end, on every rank: one collective

Guarantees
- No exception reaches the model: the part that fails is off for this step and in `errors`, the others go on.
- Random state, mode, config and gradients of the model are never touched.
- `detach` leaves nothing on the model, whenever and however often it is called.
- Every rank that calls `snapshot` takes part in one collective of the same size, whatever failed before.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from tracker_logging.models.base import BatchView, ModelAdapter
from tracker_logging.probes.activations import PATHS, ActivationProbe
from tracker_logging.probes.assemble import attention_maps, on_cpu, sample_outputs
from tracker_logging.probes.attention import AttentionProbe, attention_probe
from tracker_logging.probes.attention_plan import plans_of
from tracker_logging.probes.flow import FlowProbe
from tracker_logging.probes.hooks import Hooks, recomputing
from tracker_logging.probes.reduce import sum_over_ranks
from tracker_logging.probes.snapshot import StepSnapshot
from tracker_logging.probes.statistics import (
    Sums,
    activation_statistics,
    attention_statistics,
    flow_statistics,
    token_statistics,
)
from tracker_logging.probes.tap import AttentionCall, CannotTapError, tap
from tracker_logging.probes.tensors import PendingSummaries, summarise
from tracker_logging.probes.tokens import TokenProbe

NEEDS = frozenset({"inputs", "tokens", "attention", "activations", "gradients", "updates"})


class StepCapture:
    """See the module. One instance serves all logged steps of a run; all calls come from the training thread.

    `special_ids` are the tokenizer's special tokens: they bound the target's text. `attention_samples` is how many
    samples of the first micro-batch are looked at on each rank.
    """

    def __init__(
        self,
        *,
        adapter: ModelAdapter,
        needs: frozenset[str],
        special_ids: Collection[int] = (),
        attention_samples: int = 1,
    ) -> None:
        if unknown := needs - NEEDS:
            raise ValueError(f"unknown needs {sorted(unknown)}; known are {sorted(NEEDS)}")
        self._adapter = adapter
        self._needs = needs
        self._special_ids = frozenset(special_ids)
        self._attention_samples = attention_samples
        self._hooks = Hooks()
        self._model: nn.Module | None = None

    @property
    def errors(self) -> list[tuple[str, Exception]]:
        """(part, exception) of what failed since `attach`."""
        return self._hooks.errors

    def attach(self, model: nn.Module) -> None:
        """Put the probes on `model`, as the Trainer hands it to callbacks, for the step that begins now."""
        self.detach()
        self._hooks = Hooks()
        self._missing: list[str] = []
        self._model = model
        self._device = next(model.parameters()).device
        self._view: BatchView | None = None
        self._inputs: PendingSummaries | None = None
        self._losses: list[torch.Tensor] = []
        self._tokens = TokenProbe(self._adapter, keep_sample=True) if "tokens" in self._needs else None
        self._activations = ActivationProbe(self._adapter.layers()) if "activations" in self._needs else None
        self._flow = FlowProbe(model, self._adapter) if self._needs & {"gradients", "updates"} else None
        self._attention: AttentionProbe | None = None
        self._hooks.before(model, "batch", self._forward_begins)
        self._attach_inner()
        self._hooks.after(model, "loss", self._forward_ends)

    def before_update(self, optimizer: Any) -> None:
        """After the backward pass: take the hooks off, then read gradients and weights."""
        self.detach()
        if self._flow is not None:
            self._hooks.run("gradients", self._flow.before_update, optimizer)

    def after_update(self, optimizer: Any) -> None:
        """After the optimizer: compare the weights."""
        if self._flow is not None:
            self._hooks.run("gradients", self._flow.after_update)

    def detach(self) -> None:
        """Take everything off the model. Safe at any time."""
        self._hooks.detach()

    def snapshot(self, step: int) -> StepSnapshot | None:
        """What was seen, added up over ranks; None if this rank saw no batch. Every rank must call it."""
        self.detach()
        if self._model is None:
            return None
        sums = sum_over_ranks(self._all_sums(), device=self._device)
        self._model = None
        if self._view is None:
            return None
        return self._hooks.run("snapshot", self._assemble, step, sums)

    def _attach_inner(self) -> None:
        """Hooks inside the model: heads, FFN paths and the attention kernel."""
        adapter, hooks = self._adapter, self._hooks
        if self._tokens is not None:
            for head, part, observe in (
                (adapter.audio_head(), "audio predictions", self._tokens.audio),
                (adapter.text_head(), "text predictions", self._tokens.text),
            ):
                if head is not None:
                    hooks.after(head, part, observe)
        if self._activations is not None:
            for row, parts in enumerate(adapter.layers()):
                for path, ffn in zip(PATHS, (parts.text_ffn, parts.audio_ffn), strict=True):
                    if ffn is not None:
                        hooks.after(ffn, "activations", partial(self._activations.observe, row, path))
        if "attention" in self._needs:
            try:
                self._attention = attention_probe([parts.attention for parts in adapter.layers()])
                hooks.undo_with(tap(self._attention.modules, self._attention_called))
            except CannotTapError as reason:
                self._attention = None
                self._missing.append(f"attention: {reason}")

    def _attention_called(self, layer: int, call: AttentionCall) -> None:
        if self._attention is not None and not recomputing():
            self._hooks.run("attention", self._attention.observe, layer, call)

    def _forward_begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The batch is known: tell every probe which positions it will see."""
        self._probes_end()
        if self._model is None or not self._model.training:
            return
        inputs = dict(kwargs)
        if args:
            inputs |= inspect.signature(self._adapter.core.forward).bind_partial(*args).arguments
        view = self._adapter.view(inputs)
        if self._tokens is not None:
            self._tokens.begin(view)
        if self._activations is not None:
            self._activations.begin(view)
        if self._view is None:
            self._view = view
            self._inputs = summarise(inputs)
            if self._attention is not None:
                self._hooks.run("attention", self._begin_attention, self._attention, view)

    def _begin_attention(self, attention: AttentionProbe, view: BatchView) -> None:
        attention.begin(
            plans_of(
                view,
                samples=self._attention_samples,
                bins=attention.bins,
                special_ids=self._special_ids,
                device=view.roles.device,
            )
        )

    def _forward_ends(self, output: Any) -> None:
        self._probes_end()
        if self._model is None or not self._model.training:
            return
        loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if isinstance(loss, torch.Tensor):
            self._losses.append(loss.detach())
            if self._flow is not None:
                self._flow.watch(loss, self._hooks)

    def _probes_end(self) -> None:
        for probe in (self._tokens, self._activations, self._attention):
            if probe is not None:
                probe.end()

    def _all_sums(self) -> dict[str, torch.Tensor]:
        """The sums of all probes, zero where a part failed here: other ranks still count."""
        hooks = self._hooks
        sums: dict[str, torch.Tensor] = {}
        if self._tokens is not None:
            for name, part in (("tokens", "audio"), ("histogram", "audio"), ("text", "text")):
                sums[name] = _kept(self._tokens.sums[name], hooks.is_on(f"{part} predictions"))
        if self._activations is not None:
            sums["rms"] = _kept(self._activations.sums["rms"], hooks.is_on("activations"))
        if self._attention is not None:
            hooks.run("attention", self._attention.check)
            for name, value in self._attention.sums.items():
                sums[name] = _kept(value, hooks.is_on("attention"))
        if self._flow is not None:
            for name, value in self._flow.sums.items():
                sums[name] = _kept(value, hooks.is_on("gradients"))
        return sums

    def _assemble(self, step: int, sums: Sums) -> StepSnapshot:
        assert self._view is not None
        layers = [parts.index for parts in self._adapter.layers()]
        tokens, text = token_statistics(sums) if self._tokens is not None else (None, None)
        attention = activations = flow = None
        if self._attention is not None:
            maps = attention_maps(self._attention, layers, self._view) if self._hooks.is_on("attention") else ()
            attention = attention_statistics(sums, layers=layers, maps=maps)
            if attention is not None and not sums["entropy_rows"].any():
                self._missing.append("attention entropy: the mask of this kernel cannot be read row by row")
        if self._activations is not None:
            activations = activation_statistics(sums, layers=layers)
        if self._flow is not None:
            flow = flow_statistics(sums, parameters=self._flow.parameters, before_clipping=self._flow.before_clipping)
            if not flow.before_clipping:
                self._missing.append("gradient norms before clipping: those after clipping are known")
        return StepSnapshot(
            step=step,
            batch=on_cpu(self._view),
            inputs=() if self._inputs is None else self._inputs.read(),
            losses=tuple(float(loss) for loss in self._losses),
            tokens=tokens,
            text=text,
            sample=None if self._tokens is None else sample_outputs(self._tokens.sample),
            attention=attention,
            activations=activations,
            flow=flow,
            gradient_cosine=None,
            missing=tuple(self._missing),
        )


def _kept(values: torch.Tensor, keep: bool) -> torch.Tensor:
    return values if keep else torch.zeros_like(values)
