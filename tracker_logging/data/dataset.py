"""A torch `Dataset` of training features.

Guarantees
- A sample is parsed, and its features are computed, on access.
- A bad sample raises a `DataError` that names it; with `skip_bad` the next good one replaces it, and the bad one is
  counted and logged.

    dataset = VoiceCloningDataset(open_samples(Path("train.jsonl")), processor)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import torch
from torch.utils.data import Dataset

from tracker_logging.data.sample import DataError, VoiceSample

logger = logging.getLogger(__name__)

_REPORTED_IN_FULL = 5
_MOST_IN_A_ROW = 1_000


Features: TypeAlias = dict[str, torch.Tensor]


class MakesFeatures(Protocol):
    """The part of a processor that a dataset needs."""

    def features(self, sample: VoiceSample) -> Features:
        """The tensors of one training row. Raises `DataError`."""


class VoiceCloningDataset(Dataset[Features]):
    """Item i is `processor.features(samples[i])`; codes come from the processor's cache. `skipped` holds the indices of
    the bad samples met so far in this process."""

    def __init__(self, samples: Sequence[VoiceSample], processor: MakesFeatures, *, skip_bad: bool = False) -> None:
        self.samples = samples
        self.processor = processor
        self.skip_bad = skip_bad
        self.skipped: set[int] = set()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Features:
        if not self.skip_bad:
            return self._features(index)
        for step in range(min(len(self), _MOST_IN_A_ROW)):
            position = (index + step) % len(self)
            try:
                return self._features(position)
            except Exception as error:  # what a codec or tokenizer raises for one sample must not end the training
                self._skip(position, error)
        raise DataError(
            f"No sample can be used of {min(len(self), _MOST_IN_A_ROW)} in a row; the first errors are logged above. "
            "Correct the data."
        )

    def _features(self, position: int) -> Features:
        sample = self.samples[position]
        try:
            return self.processor.features(sample)
        except DataError as error:
            if sample.origin in str(error):
                raise
            raise DataError(f"{sample.origin}: {error}") from error

    def _skip(self, position: int, error: Exception) -> None:
        if position in self.skipped:
            return
        self.skipped.add(position)
        if len(self.skipped) <= _REPORTED_IN_FULL:
            reason = error if isinstance(error, DataError) else f"sample {position}: {type(error).__name__}: {error}"
            logger.warning("Skipped a bad sample, the next one replaces it: %s", reason)
        elif len(self.skipped) % 100 == 0:
            logger.warning("%d bad samples skipped so far.", len(self.skipped))
