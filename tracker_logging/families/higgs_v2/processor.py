"""A voice-cloning sample as the tensors that `HiggsAudioV2ForConditionalGeneration` takes, and batches of them.

Guarantees
- The delay pattern is applied; placeholders are `<|AUDIO_OUT|>` × (F − K + 1), then the delay token × (K − 1).
- Only the target is trained, each codebook's first end code included (see `labels.py`).
- A prompt for generation ends with `<|audio_out_bos|>` and has only the reference's codes.
- Padding is masked and never trained.
- A value object without state of a run: data sets, callbacks and threads may share it.

    processor = SpeechProcessor.from_pretrained(model_path, codec_path, cache_directory=Path("cache"))
    processor.features(sample)["audio_labels"]      # [F, K]
    processor.prompt_features(sample)["input_ids"]  # [T], ends where generation begins
    batch = processor.collator()([dataset[0], dataset[1]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.data.codec import AudioCodec
from tracker_logging.data.codes import CodeCache, CodeSource
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.families.base import IGNORE, Features, Reference
from tracker_logging.families.delay_pattern import apply_delay
from tracker_logging.families.higgs_v2.labels import reference_labels, target_labels
from tracker_logging.families.higgs_v2.layout import SpecialTokens, cloning_text
from tracker_logging.families.load_codec import load_codec
from tracker_logging.families.samples import reference_clips, target_clips, with_reference


@dataclass(frozen=True, eq=False)
class SpeechProcessor:
    """`tokenizer` (transformers, fast), `codec`, and `codes`, which returns the codes of a file (see `CodeCache`).

    `text_labels` adds `labels` for a model with a text head. Leave it off without one: the Trainer would divide the
    audio loss by the number of text labels.
    """

    tokenizer: Any
    codec: AudioCodec
    codes: CodeSource
    text_labels: bool = False

    @classmethod
    def from_pretrained(
        cls, model_path: str, audio_tokenizer_path: str, *, cache_directory: Path, text_labels: bool = False
    ) -> SpeechProcessor:
        """Tokenizer and codec from directories or hub names. Raises `DataError` if they are not of Higgs Audio v2."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(model_path)
        except (OSError, ValueError) as error:
            raise DataError(f"{model_path}: no tokenizer there ({error}). Check --model_path.") from error
        codec = load_codec(audio_tokenizer_path)
        processor = cls(tokenizer, codec, CodeCache(cache_directory, codec), text_labels)
        SpecialTokens.of(tokenizer)
        return processor

    @cached_property
    def tokens(self) -> SpecialTokens:
        """Ids of the special tokens. Raises `DataError` if the tokenizer lacks one."""
        return SpecialTokens.of(self.tokenizer)

    @property
    def bos_code(self) -> int:
        """The code that begins an audio stream: the first after the codec's own."""
        return self.codec.codebook_size

    @property
    def eos_code(self) -> int:
        """The code that ends an audio stream."""
        return self.codec.codebook_size + 1

    def features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """One row for training or teacher-forced scoring, all int64: `input_ids` [T], `audio_input_ids` [F, K],
        `audio_labels` [F, K], and with `text_labels` also `labels` [T].

        `reference` replaces the sample's own references with another sample's, or with none. All targets are trained.
        Text is trained only in the assistant's turns of targets: `<|audio_out_bos|>`, `<|audio_eos|>`, `<|eot_id|>`.
        Raises `DataError` for a clip that cannot be read and for a target without audio.
        """
        sample = with_reference(sample, reference)
        targets = target_clips(sample)
        texts = [self._text(text) for text in cloning_text(sample)]
        references = [self._frames(path) for path in reference_clips(sample)]
        trained = [self._frames(path) for path in targets]
        placeholders = [self._placeholders(frames) for frames in (*references, *trained)]
        labels = [reference_labels(frames) for frames in references]
        labels += [target_labels(frames, bos=self.bos_code, eos=self.eos_code) for frames in trained]
        features = {
            "input_ids": _alternating(texts, placeholders),
            "audio_input_ids": torch.cat([*references, *trained]),
            "audio_labels": torch.cat(labels),
        }
        if self.text_labels:
            unlabelled = [torch.full_like(part, IGNORE) for part in placeholders]
            features["labels"] = _alternating(_text_labels(texts, first_target=len(references)), unlabelled)
        return features

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """The input of free-running generation of the first target, all int64: `input_ids` [T] ending with
        `<|audio_out_bos|>` and, with references, their delayed frames `audio_input_ids` [F, K]."""
        sample = with_reference(sample, reference)
        references = [self._frames(path) for path in reference_clips(sample)]
        texts = [self._text(text) for text in cloning_text(sample)[: len(references) + 1]]
        features = {"input_ids": _alternating(texts, [self._placeholders(frames) for frames in references])}
        return features | ({"audio_input_ids": torch.cat(references)} if references else {})

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """Makes a batch from rows of `features`."""
        return VoiceCloningCollator.of(self)

    def _frames(self, path: Path) -> torch.Tensor:
        return apply_delay(torch.from_numpy(self.codes(path)), bos=self.bos_code, eos=self.eos_code)

    def _placeholders(self, frames: torch.Tensor) -> torch.Tensor:
        length, codebooks = frames.shape
        placeholders = torch.full((length,), self.tokens.audio_out, dtype=torch.int64)
        placeholders[length - codebooks + 1 :] = self.tokens.delay
        return placeholders

    def _text(self, text: str) -> torch.Tensor:
        return torch.tensor(self.tokenizer.encode(text, add_special_tokens=False), dtype=torch.int64)


@dataclass(frozen=True, slots=True)
class VoiceCloningCollator:
    """B rows of features -> `input_ids` [B, T], `attention_mask` [B, T], `audio_input_ids` [B, F, K],
    `audio_input_ids_mask` [B, F] bool, `audio_labels` [B, F, K], and `labels` [B, T] if the rows have them.

    Text is padded on the right with the pad token, audio on the right with end codes.
    """

    pad_token: int
    eos_code: int

    @classmethod
    def of(cls, processor: SpeechProcessor) -> VoiceCloningCollator:
        """The collator for a processor's features."""
        return cls(pad_token=processor.tokens.pad, eos_code=processor.eos_code)

    def __call__(self, rows: Sequence[Features]) -> Features:
        batch = {
            "input_ids": _pad([row["input_ids"] for row in rows], self.pad_token),
            "attention_mask": _pad([torch.ones_like(row["input_ids"]) for row in rows], 0),
            "audio_input_ids": _pad([row["audio_input_ids"] for row in rows], self.eos_code),
            "audio_input_ids_mask": _pad(
                [torch.ones(len(row["audio_input_ids"]), dtype=torch.bool) for row in rows], False
            ),
            "audio_labels": _pad([row["audio_labels"] for row in rows], IGNORE),
        }
        if "labels" in rows[0]:
            batch["labels"] = _pad([row["labels"] for row in rows], IGNORE)
        return batch


def _alternating(texts: Sequence[torch.Tensor], clips: Sequence[torch.Tensor]) -> torch.Tensor:
    """`texts` with one of `clips` between each two of them."""
    return torch.cat([texts[0], *(part for pair in zip(clips, texts[1:], strict=True) for part in pair)])


def _text_labels(texts: Sequence[torch.Tensor], *, first_target: int) -> list[torch.Tensor]:
    """Labels of the texts around the clips: what begins and ends each clip from number `first_target` on."""
    labels = [torch.full_like(text, IGNORE) for text in texts]
    end = len(texts[-1])  # of each clip: the last text is nothing else
    for clip in range(first_target, len(texts) - 1):
        labels[clip][-1] = texts[clip][-1]
        labels[clip + 1][:end] = texts[clip + 1][:end]
    return labels


def _pad(tensors: list[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(tensors, batch_first=True, padding_value=value)
