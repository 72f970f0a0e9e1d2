"""A voice-cloning example as the tensors that `HiggsAudioV2ForConditionalGeneration` wants.

Guarantees
- The delay pattern is applied; placeholders are `<|AUDIO_OUT|>` × (F − K + 1), then the delay token × (K − 1).
- Labels are right (see `labels.py`): only the target is trained, each codebook's first end code included.
- A prompt for generation ends with `<|audio_out_bos|>` and holds only the reference's codes.
- A value object: holding no state of a run, it may be shared by data sets, callbacks and threads.

    processor = SpeechProcessor.from_pretrained(model_path, codec_path, cache_directory=Path("cache"))
    processor.features(sample)["audio_labels"]      # [F, K]
    processor.prompt_features(sample)["input_ids"]  # [T], ends where the model begins to speak
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from tracker_logging.data.codec import AudioCodec
from tracker_logging.data.codes import CodeCache, CodeSource
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.families.base import IGNORE
from tracker_logging.families.delay_pattern import apply_delay
from tracker_logging.families.higgs_v2.labels import reference_labels, target_labels
from tracker_logging.families.higgs_v2.layout import cloning_text
from tracker_logging.families.higgs_v2.special_tokens import SpecialTokens

Reference: TypeAlias = VoiceSample | Literal["own"] | None
Features: TypeAlias = dict[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class SpeechProcessor:
    """`tokenizer` (transformers, fast), `codec`, and `codes`, which gives the codes of a file (see `CodeCache`).

    `text_labels` adds `labels` for a model with a text head; leave it off without one, for the Trainer would then
    divide the audio loss by the number of text labels.
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

        from tracker_logging.families.load_codec import load_codec

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

        `reference` puts another sample's voice prompt, or none, in the place of the sample's own.
        Text is trained only in the assistant's turn of the target: `<|audio_out_bos|>`, `<|audio_eos|>`, `<|eot_id|>`.
        Raises `DataError` for a clip that cannot be read and for a sample without target audio.
        """
        sample = with_reference(sample, reference)
        if sample.target_audio is None:
            raise DataError(f"{sample.origin}, target audio: missing, so there is nothing to train on. Add it.")
        *before, end = cloning_text(sample)
        ids, frames = self._spoken(sample, before)
        target = self._frames(sample.target_audio)
        tail = self._text(end)
        labels = [*(reference_labels(one) for one in frames), self._labels(target)]
        features = {
            "input_ids": torch.cat([ids, self._placeholders(target), tail]),
            "audio_input_ids": torch.cat([*frames, target]),
            "audio_labels": torch.cat(labels),
        }
        if self.text_labels:
            trained = torch.full_like(features["input_ids"], IGNORE)
            trained[len(ids) - 1] = ids[-1]
            trained[-len(tail) :] = tail
            features["labels"] = trained
        return features

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """What free-running generation is given, all int64: `input_ids` [T] ending with `<|audio_out_bos|>`, and
        `audio_input_ids` [F, K], the reference's delayed frames; the latter is absent without a reference."""
        sample = with_reference(sample, reference)
        ids, frames = self._spoken(sample, list(cloning_text(sample)[:-1]))
        return {"input_ids": ids, **({"audio_input_ids": torch.cat(frames)} if frames else {})}

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """What makes a batch of rows of `features`."""
        from tracker_logging.families.higgs_v2.collator import VoiceCloningCollator

        return VoiceCloningCollator.of(self)

    def _spoken(self, sample: VoiceSample, texts: list[str]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Token ids up to where the target begins, and the frames of the reference if there is one."""
        if sample.reference_audio is None:
            return self._text(texts[0]), []
        frames = self._frames(sample.reference_audio)
        return torch.cat([self._text(texts[0]), self._placeholders(frames), self._text(texts[1])]), [frames]

    def _frames(self, path: Path) -> torch.Tensor:
        return apply_delay(torch.from_numpy(self.codes(path)), bos=self.bos_code, eos=self.eos_code)

    def _labels(self, target: torch.Tensor) -> torch.Tensor:
        return target_labels(target, bos=self.bos_code, eos=self.eos_code)

    def _placeholders(self, frames: torch.Tensor) -> torch.Tensor:
        length, codebooks = frames.shape
        placeholders = torch.full((length,), self.tokens.audio_out, dtype=torch.int64)
        placeholders[length - codebooks + 1 :] = self.tokens.delay
        return placeholders

    def _text(self, text: str) -> torch.Tensor:
        return torch.tensor(self.tokenizer.encode(text, add_special_tokens=False), dtype=torch.int64)


def with_reference(sample: VoiceSample, reference: Reference) -> VoiceSample:
    """The sample with the reference that `features` is asked for."""
    return sample if isinstance(reference, str) else sample.with_reference_of(reference)
