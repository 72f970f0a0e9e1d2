"""Alignment and heatmaps of cross-attention: which text of the encoder a decoder attends to (Dia).

The method is that of `attention.py`: the kernel is called again with indicators as values. Queries are positions of the
decoder and keys are positions of the encoder. All attention is on text, so there is no mass between groups.

    probe = cross_attention_probe([layer.cross_attention for layer in layers])
    probe.begin(view, plans)            # the plans of the decoder's self-attention
    probe.observe(layer, call)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tracker_logging.families.base import BatchView, Role
from tracker_logging.families.spans import runs
from tracker_logging.probes.attention import MINIMUM_BINS, TOLERANCE, add_alignment, substitute
from tracker_logging.probes.attention_plan import Bin, SamplePlan, plan_sample, times
from tracker_logging.probes.tap import AttentionCall, CannotTapError
from tracker_logging.probes.tensors import to_device


@dataclass(frozen=True, slots=True)
class CrossPlan:
    """One sample: `keys` are positions of the encoder, `queries` of the decoder. `rows` and `times` of the target are
    empty if the text of the target is unknown."""

    keys: SamplePlan
    queries: SamplePlan
    rows: torch.Tensor
    times: torch.Tensor


class CrossAttentionProbe:
    """`sums` hold the alignment only, with the names of `AttentionProbe.sums`; `maps` [Q, N] by layer."""

    def __init__(self, modules: Sequence[nn.Module], *, heads: int, head_dim: int, map_layers: Sequence[int]) -> None:
        self.modules = list(modules)
        self.maps: dict[int, torch.Tensor] = {}
        self.map_bins: tuple[Bin, ...] = ()
        self._bins = max(MINIMUM_BINS, head_dim - 1)
        self._map_layers = frozenset(map_layers)
        self._plans: list[CrossPlan] = []
        self._worst: list[torch.Tensor] = []
        layers = len(self.modules)
        shapes = {"distance": (layers, heads), "text_mass": (layers, heads), "target_rows": (layers,)}
        self.sums = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}

    def begin(self, view: BatchView, plans: Sequence[SamplePlan]) -> None:
        """Observe the samples of `plans` in the next forward. Synchronises with the device."""
        self._plans = [cross for plan in plans if (cross := self._plan(view, plan)).keys.bins]
        self.sums = {name: value.to(view.roles.device) for name, value in self.sums.items()}
        self.map_bins = next((plan.keys.bins for plan in self._plans if plan.keys.sample == 0), ())

    def end(self) -> None:
        """Ignore the forwards that follow."""
        self._plans = []

    def observe(self, layer: int, call: AttentionCall) -> None:
        """Add one call of the kernel."""
        for plan in self._plans:
            output = substitute(call, plan.keys, plain_causal=False)  # [H, S, N], [H, S, N + 1] with a known text
            with torch.autocast(output.device.type, enabled=False):
                self._add(layer, plan, output[..., : len(plan.keys.bins)], output[..., len(plan.keys.bins) :])

    def check(self) -> None:
        """Raises `ValueError` if the rows of the kernel do not sum to 1. Synchronises with the device."""
        if self._worst and not float(torch.stack(self._worst).max()) <= TOLERANCE:
            raise ValueError("rows of cross-attention do not sum to 1 over the text: no attention is shown")

    def _add(self, layer: int, plan: CrossPlan, to_bins: torch.Tensor, moments: torch.Tensor) -> None:
        seen = to_bins[:, plan.queries.positions]
        self._worst.append((seen.sum(dim=-1) - 1.0).abs().max())
        if layer in self._map_layers and plan.keys.sample == 0:
            self.maps[layer] = (plan.queries.averaging[:, plan.queries.positions] @ seen).mean(dim=0)
        if len(plan.rows):
            to_text = to_bins[:, plan.rows] * plan.keys.readings[0].text
            add_alignment(self.sums, layer, to_text=to_text, moment=moments[:, plan.rows, 0], times=plan.times)

    def _plan(self, view: BatchView, queries: SamplePlan) -> CrossPlan:
        sample, device = queries.sample, view.roles.device
        memory = slice(0, view.memory)
        text = None if view.target_text is None else view.target_text[sample]
        keys = plan_sample(
            view.roles[sample, memory].cpu(),
            view.token_ids[sample, memory].cpu(),
            sample=sample,
            bins=self._bins,
            special_ids=(),
            text=text,
        )
        targets = [] if text is None else runs(view.roles[sample, view.in_layers].cpu() == Role.TARGET)
        rows = torch.arange(*targets[0]) if targets else torch.arange(0)
        return CrossPlan(to_device(keys, device), queries, rows.to(device), times(len(rows)).to(device))


def cross_attention_probe(modules: Sequence[nn.Module], *, map_layers: Sequence[int]) -> CrossAttentionProbe:
    """The probe for these modules. Raises `CannotTapError` if the number of heads is unknown."""
    module: Any = modules[0]
    config = getattr(module, "config", None)
    heads = getattr(module, "num_heads", None) or getattr(config, "cross_num_attention_heads", None)
    head_dim = getattr(module, "head_dim", None)
    if heads is None or head_dim is None:
        raise CannotTapError("the cross-attention modules do not give the number of heads")
    return CrossAttentionProbe(modules, heads=heads, head_dim=head_dim, map_layers=map_layers)
