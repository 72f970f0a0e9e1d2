"""Flow loss, end of speech and predicted latents of one step, from the model's own training forward.

Guarantees
- The flow loss is that of the noise which the training itself drew: the flow head's first call is observed.
- Latents are sampled once more from the observed outputs of the backbone, with noise of a generator of our own.

    probe = LatentProbe(adapter)
    probe.attach(hooks)
    probe.begin(view, inputs)                               # before each forward
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tracker_logging.families.base import BatchView, Segment
from tracker_logging.families.latents import LatentAdapter
from tracker_logging.metrics import latents as metric
from tracker_logging.probes.hooks import Hooks
from tracker_logging.probes.tokens import MOST_BATCHES

PART = "latents"
MOST_FRAMES = 2_000  # of a forward that are sampled once more
SEED = 0


@dataclass(frozen=True, slots=True)
class LatentSample:
    """The first target of the first forward, F frames, on the device of the model.

    `losses` [F]: flow loss, mean over the noise draws. `predicted`, `given` [F, D]: latents of the codec.
    """

    segment: Segment
    losses: torch.Tensor
    predicted: torch.Tensor
    given: torch.Tensor


class LatentProbe:
    """Accumulates over forwards. `sums` (same shape on every rank): see `metrics.latents.statistics`."""

    def __init__(self, adapter: LatentAdapter) -> None:
        self._adapter = adapter
        self._view: BatchView | None = None
        self._inputs: Mapping[str, Any] = {}
        self._call: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
        self._observed = False
        self._sampled = 0
        self.sample: LatentSample | None = None
        self._losses: list[tuple[BatchView, torch.Tensor]] = []
        self.sums = {
            "latent_flow": torch.zeros(metric.LEVELS, 2, dtype=torch.float64),
            "latent_eos": torch.zeros(5, dtype=torch.float64),
            "latent_faults": torch.zeros(2, 2, dtype=torch.float64),
            "latent_targets": torch.zeros(3, adapter.latent_dim, dtype=torch.float64),
            "latent_predicted": torch.zeros(3, adapter.latent_dim, dtype=torch.float64),
        }

    def attach(self, hooks: Hooks) -> None:
        """Register on the heads."""
        flow = self._adapter.flow_head()
        hooks.before(flow, PART, self._flow_begins)
        hooks.after(flow, PART, self._flow_ends)
        hooks.after(self._adapter.eos_head(), PART, self._eos)

    def begin(self, view: BatchView, inputs: Mapping[str, Any]) -> None:
        """Set the batch of the next forward."""
        self._view, self._inputs = (view, inputs) if view.frame_labels is not None else (None, {})
        self._call, self._observed = None, False

    def end(self) -> None:
        """Ignore the heads until the next `begin`."""
        self._view, self._inputs, self._call = None, {}, None

    def _flow_begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._view is not None and not self._observed:
            self._call = (args, kwargs)

    def _flow_ends(self, output: torch.Tensor) -> None:
        call, self._call = self._call, None
        if self._view is None or call is None:
            return
        self._observed = True  # later calls are not of the flow loss
        terms = self._adapter.flow_terms(self._inputs, *call, output)
        targets = terms.targets
        by_frame = terms.losses.reshape(-1, max(1, len(targets))).mean(dim=0)
        self._add_losses(self._view, by_frame)
        self._add("latent_faults", metric.fault_sums(terms.own_frame_seen, terms.wrong_noise))
        self._add("latent_flow", metric.flow_sums(terms.levels, terms.losses))
        self._add("latent_targets", metric.moment_sums(targets))
        if self._sampled + len(targets) > MOST_FRAMES and self._sampled:
            return
        noise = torch.randn(targets.shape, generator=torch.Generator().manual_seed(SEED + self._sampled))
        predicted = self._adapter.sample(self._inputs, terms.conditions, noise.to(targets.device))
        self._sampled += len(targets)
        self._add("latent_predicted", metric.moment_sums(predicted))
        if self.sample is None:
            self._keep(self._view, by_frame, predicted, targets)

    @property
    def losses(self) -> tuple[tuple[BatchView, torch.Tensor], ...]:
        """As `TokenProbe.losses`: of each target the flow loss summed over its trained frames, and their number."""
        return tuple(self._losses)

    def _add_losses(self, view: BatchView, losses: torch.Tensor) -> None:
        """`losses` [F] of all trained frames."""
        assert view.frame_labels is not None
        owner = torch.full(view.roles.shape, -1, dtype=torch.int64)
        for number, segment in enumerate(view.targets):
            owner[segment.sample, segment.start : segment.stop] = number
        owners = owner.to(losses.device)[view.frame_labels]
        if len(self._losses) < MOST_BATCHES and len(owners) == len(losses):
            kept = owners >= 0
            by_frame = torch.stack([losses, torch.ones_like(losses)], dim=1).double()
            sums = by_frame.new_zeros(len(view.targets), 2).index_add_(0, owners[kept], by_frame[kept])
            self._losses.append((view, sums))

    def _keep(self, view: BatchView, losses: torch.Tensor, predicted: torch.Tensor, targets: torch.Tensor) -> None:
        """Trained frames of all samples follow each other in the order of `frame_labels`."""
        segment = next(iter(view.targets), None)
        if segment is not None and view.frame_labels is not None:
            before = view.frame_labels.flatten()[: segment.sample * view.roles.shape[1] + segment.start + segment.lead]
            start = int(before.sum())
            of_segment, to_codec = slice(start, start + segment.frames), self._adapter.to_codec
            self.sample = LatentSample(
                segment, losses[of_segment], to_codec(predicted[of_segment]), to_codec(targets[of_segment])
            )

    def _eos(self, logits: torch.Tensor) -> None:
        if self._view is None:
            return
        at, is_end = self._adapter.ends(self._view)
        threshold = self._adapter.eos_threshold()
        self._add("latent_eos", metric.eos_sums(self._adapter.eos_logits(logits)[at], is_end, threshold=threshold))

    def _add(self, name: str, values: torch.Tensor) -> None:
        self.sums[name] = self.sums[name].to(values.device) + values
