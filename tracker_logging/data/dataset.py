"""Samples as a torch data set of features.

dataset = VoiceCloningDataset(read_samples(Path("train.json")), processor)
"""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import Dataset

from tracker_logging.data.processor import Features, SpeechProcessor
from tracker_logging.data.sample import VoiceSample


class VoiceCloningDataset(Dataset[Features]):
    """Item i is `processor.features(samples[i])`, computed when asked for; codes come from the processor's cache."""

    def __init__(self, samples: Sequence[VoiceSample], processor: SpeechProcessor) -> None:
        self.samples = tuple(samples)
        self.processor = processor

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Features:
        return self.processor.features(self.samples[index])
