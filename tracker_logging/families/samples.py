"""Parts that the processors of several families share: what a sample's clips are, and rows as a padded batch.

class MyProcessor(BaseProcessor):
    def row(self, sample): ...          # a sample to train on: the tensors of one row
    def prompt(self, sample): ...       # its text and references, up to where generation begins
    def collate(self, rows): ...        # a batch: the arguments of the model's forward
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.data.audio import load_audio
from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.data.voices import voice_parts
from tracker_logging.families.base import Features, Reference


@dataclass(frozen=True, eq=False)
class BaseProcessor:
    """A `Processor` of which a family writes `row`, `prompt` and `collate`; the sample has the reference to use,
    and tags of voices as `VoiceSample.tagged` has.

    `tokenizer` of transformers, `codec`, and `codes`, which returns the codes [K, T] of a clip (see `CodeCache`), or
    its latents [D, F]. `config` is the model's.
    """

    tokenizer: Any
    codec: Any
    codes: Any
    config: Any

    def row(self, sample: VoiceSample) -> Features:
        """See `Processor.features`."""
        raise NotImplementedError(f"{type(self).__name__} must make rows to train on: implement `row`.")

    def prompt(self, sample: VoiceSample) -> Features:
        """See `Processor.prompt_features`."""
        raise NotImplementedError(f"{type(self).__name__} must make prompts to generate from: implement `prompt`.")

    def collate(self, rows: Sequence[Features]) -> Features:
        """The batch of these rows; see `padded` and `masked`."""
        raise NotImplementedError(f"{type(self).__name__} must make batches of rows: implement `collate`.")

    def features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`row` of the sample with the reference asked for."""
        return self.row(with_reference(sample.tagged, reference).tagged)

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`prompt` of the sample with the reference asked for."""
        return self.prompt(with_reference(sample.tagged, reference).tagged)

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """`collate`."""
        return self.collate

    def words(self, text: str) -> list[int]:
        """The tokens of a text alone."""
        tokens: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return tokens

    def frames(self, path: Path) -> torch.Tensor:
        """[T, K] int64 codes of a clip, or its latents [F, D]: one row for each frame."""
        return torch.from_numpy(self.codes(path).T.copy())

    def wave(self, path: Path) -> npt.NDArray[np.float32]:
        """[n] float32: a clip at the rate of the codec."""
        return load_audio(path, self.codec.sample_rate)


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


def words_of(sample: VoiceSample, utterance: Utterance) -> list[tuple[int, str]]:
    """(voice, words) of each stretch of a reference or target of `sample`. Raises `DataError` for a text without words,
    for a model that reads the text of each clip."""
    parts = voice_parts(utterance.text)
    if not parts:
        field = "reference text" if utterance in sample.references else "target text"
        raise DataError(f"{sample.origin}, {field}: has no words, and the model reads them. Add the text of the clip.")
    return parts


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
