"""Device tensors of this rank to plain values of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.models.base import BatchView
from tracker_logging.probes.attention import AttentionProbe
from tracker_logging.probes.snapshot import AttentionMap, SampleOutputs
from tracker_logging.probes.tokens import SamplePrediction


def on_cpu(view: BatchView) -> BatchView:
    """The same view with its tensors on the CPU."""
    values = {field.name: getattr(view, field.name) for field in fields(view)}
    moved: dict[str, Any] = {name: value.cpu() for name, value in values.items() if isinstance(value, torch.Tensor)}
    return replace(view, **moved)


def sample_outputs(sample: SamplePrediction) -> SampleOutputs | None:
    """None where neither a target nor labelled text was seen."""
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


def attention_maps(probe: AttentionProbe, layers: Sequence[int], view: BatchView) -> tuple[AttentionMap, ...]:
    """The pooled maps of the first sample, by layer."""
    token_ids = view.token_ids[0].cpu().numpy()
    return tuple(
        AttentionMap(layer=layers[row], values=values.cpu().numpy(), bins=probe.map_bins, token_ids=token_ids)
        for row, values in sorted(probe.maps.items())
    )


def _integers(values: torch.Tensor | None) -> npt.NDArray[np.int64] | None:
    return None if values is None else values.cpu().numpy().astype(np.int64)
