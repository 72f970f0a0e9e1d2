"""Builds the snapshot of a step from the state of the probes and the sums over all ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.families.base import BatchView, Role, Segment
from tracker_logging.metrics.latents import statistics as latent_statistics
from tracker_logging.probes.attention import AttentionProbe
from tracker_logging.probes.attention_plan import text_before
from tracker_logging.probes.cross_attention import CrossAttentionProbe
from tracker_logging.probes.latents import LatentSample
from tracker_logging.probes.loss_check import loss_ratio
from tracker_logging.probes.probe_set import ProbeSet
from tracker_logging.probes.snapshot import (
    AttentionMap,
    AttentionStatistics,
    LatentOutputs,
    SampleLoss,
    SampleOutputs,
    StepSnapshot,
)
from tracker_logging.probes.statistics import (
    Sums,
    activation_statistics,
    attention_statistics,
    flow_statistics,
    token_statistics,
)
from tracker_logging.probes.tensors import PendingSummaries, to_device
from tracker_logging.probes.tokens import SamplePrediction, target_losses
from tracker_logging.probes.training_gaps import SampleGaps

NO_ENTROPY = "entropy of the attention: the mask of this kernel cannot be read row by row"
SKIPPED_STEP = "gradient norms and update ratios of a step that the fp16 gradient scaler skipped (non-finite gradients)"
CLIPPED = "gradient norms before clipping: the map and the table show the norms after clipping"
NO_GRADIENT = (
    "gradients and updates: no trained parameter has a gradient (backward was not called in this step, or the loss "
    "does not depend on the weights)"
)
NO_UPDATE = "gradients and updates of a step in which the optimizer did not step (a gradient scaler may skip it)"


def assemble(
    step: int,
    view: BatchView,
    inputs: PendingSummaries,
    losses: Sequence[torch.Tensor],
    probes: ProbeSet,
    sums: Sums,
    missing: Sequence[str],
    shared_count: bool,
    gaps: Mapping[Segment, SampleGaps],
) -> StepSnapshot:
    """`sums` are over all ranks, the other arguments are of this rank."""
    layers = [parts.index for parts in probes.layers]
    also_missing: list[str] = []
    tokens, text = None, None
    if probes.tokens is not None:
        tokens, text = token_statistics(sums, sizes=probes.tokens.sizes)
    activations = flow = None
    attention = _attention(probes, sums, layers, view)
    if attention is not None and np.isnan(attention.entropy).all() and sums["target_rows"].any():
        also_missing.append(NO_ENTROPY)
    if probes.activations is not None:
        activations = activation_statistics(sums, layers=layers)
    if probes.flow is not None and probes.shows("gradients") and not probes.flow.before_optimizer:
        also_missing.append(NO_UPDATE)  # the gradients may still be scaled
    elif probes.flow is not None and probes.shows("gradients"):
        flow = flow_statistics(
            sums,
            parameters=probes.flow.parameters,
            before_clipping=probes.flow.before_clipping,
            sees_clipping=probes.flow.sees_clipping,
        )
        if flow.skipped:
            also_missing.append(SKIPPED_STEP)
        elif not flow.gradient_norm:
            also_missing.append(NO_GRADIENT)
        elif not flow.before_clipping:
            also_missing.append(CLIPPED)
    cosine, count = sums.get("cosine", np.zeros(2))
    return StepSnapshot(
        step=step,
        batch=to_device(view, torch.device("cpu")),
        inputs=inputs.read(),
        losses=tuple(float(loss) for loss in losses),
        tokens_seen=int(sums["seen"][0]),
        frames_seen=int(sums["seen"][1]),
        tokens=tokens,
        text=text,
        sample=None if probes.tokens is None else sample_outputs(probes.tokens.sample),
        attention=attention,
        activations=activations,
        flow=flow,
        gradient_cosine=float(cosine / count) if count else None,
        missing=(*missing, *also_missing),
        loss_ratio=loss_ratio(sums, shared_count=shared_count),
        first_non_finite_layer=next((layers[row] for row in np.flatnonzero(sums.get("non_finite", ()))), None),
        sample_losses=sample_losses(probes.losses, gaps),
        latents=None if probes.latents is None else latent_statistics(sums),
        latent_sample=None if probes.latents is None else latent_outputs(probes.latents.sample),
        causality_leak=max((float(leak) for leak, count in sums.get("causality", ()) if count), default=None),
    )


def sample_outputs(sample: SamplePrediction) -> SampleOutputs | None:
    """None if there was neither a target nor labelled text."""
    if sample.codes is None and sample.text is None:
        return None
    return SampleOutputs(
        segment=sample.segment,
        predicted=_integers(sample.codes),
        labels=_integers(sample.labels),
        given=_integers(sample.given),
        text_predicted=_integers(sample.text),
        text_labels=_integers(sample.text_labels),
    )


def sample_losses(
    losses: Sequence[tuple[BatchView, torch.Tensor]], gaps: Mapping[Segment, SampleGaps]
) -> tuple[SampleLoss, ...]:
    """The loss of every target that has a text. `gaps`: by target of the first batch."""
    samples: list[SampleLoss] = []
    for batch, (view, sums) in enumerate(losses):
        token_ids, roles = view.token_ids.cpu(), view.roles.cpu()
        for segment, nll, codes in target_losses(view, sums):
            sample = segment.sample
            span = None if view.target_text is None else view.target_text[sample]
            start, stop = span if span is not None else text_before(roles[sample], segment.start)
            at = torch.arange(start, stop)
            if stop == start:  # it goes on from its reference: the words of both
                at = (roles[sample, :start] == Role.TEXT).nonzero()[:, 0]
            if len(at):
                text_ids = token_ids[sample, at].numpy().astype(np.int64)
                gap = SampleGaps() if batch else gaps.get(segment, SampleGaps())
                samples.append(SampleLoss(text_ids, nll, codes, segment.frames, gap.reference, gap.text))
    return tuple(samples)


def latent_outputs(sample: LatentSample | None) -> LatentOutputs | None:
    """None if no flow loss was observed."""
    if sample is None:
        return None
    return LatentOutputs(
        segment=sample.segment,
        losses=sample.losses.double().cpu().numpy(),
        predicted=sample.predicted.float().cpu().numpy(),
        given=sample.given.float().cpu().numpy(),
    )


def _attention(probes: ProbeSet, sums: Sums, layers: Sequence[int], view: BatchView) -> AttentionStatistics | None:
    if probes.attention is None:
        return None
    maps = _maps(probes.attention, probes.cross, layers, view) if probes.shows("attention") else ()
    return attention_statistics(sums, layers=layers, maps=maps)


def _maps(
    probe: AttentionProbe, cross: CrossAttentionProbe | None, layers: Sequence[int], view: BatchView
) -> tuple[AttentionMap, ...]:
    """The pooled maps of the first sample, by layer. Cross-attention to the text is left of self-attention."""
    token_ids = view.token_ids[0].cpu().numpy()
    bins = tuple(replace(bin_, start=bin_.start + view.memory, stop=bin_.stop + view.memory) for bin_ in probe.map_bins)
    key_bins = bins if cross is None else (*cross.map_bins, *bins)
    maps = []
    for row, self_map in sorted(probe.maps.items()):
        values = self_map if cross is None or row not in cross.maps else torch.cat([cross.maps[row], self_map], dim=1)
        if values.shape[1] == len(key_bins):
            maps.append(AttentionMap(layers[row], values.cpu().numpy(), bins, key_bins, token_ids))
    return tuple(maps)


def _integers(values: torch.Tensor | None) -> npt.NDArray[np.int64] | None:
    return None if values is None else values.cpu().numpy().astype(np.int64)
