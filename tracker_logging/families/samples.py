"""Parts that the processors of several families share: what a sample's clips are, and rows as a padded batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.families.base import Features, Reference


def with_reference(sample: VoiceSample, reference: Reference) -> VoiceSample:
    """The sample with the reference that `features` is asked for."""
    return sample if isinstance(reference, str) else sample.with_reference_of(reference)


def reference_clips(sample: VoiceSample) -> list[Path]:
    """The clips of all references."""
    return [reference.audio for reference in sample.references if reference.audio is not None]


def target_clips(sample: VoiceSample) -> list[Path]:
    """The clips of all targets. Raises `DataError` where one is missing."""
    clips = [target.audio for target in sample.targets if target.audio is not None]
    if len(clips) < len(sample.targets):
        raise DataError(f"{sample.origin}, target audio: missing, so there is nothing to train on. Add it.")
    return clips


def padded(
    rows: Sequence[Features], fills: Mapping[str, float], *, side: Literal["left", "right"] = "right"
) -> Features:
    """The tensors of B rows that `fills` names, padded with its values to the longest, and `attention_mask` [B, T]."""
    batch = {name: pad_sequence([row[name] for row in rows], True, fill, side) for name, fill in fills.items()}
    return batch | {"attention_mask": masked([row["input_ids"] for row in rows], side=side)[1]}


def masked(
    rows: Sequence[torch.Tensor], fill: float = 0, *, side: Literal["left", "right"] = "right"
) -> tuple[torch.Tensor, torch.Tensor]:
    """B tensors [T, …] padded with `fill` to the longest, and [B, T] int64: 1 where a row has values."""
    ones = [torch.ones(len(row), dtype=torch.int64, device=row.device) for row in rows]
    return pad_sequence(list(rows), True, fill, side), pad_sequence(ones, True, 0, side)
