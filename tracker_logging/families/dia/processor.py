"""A voice-cloning sample as the tensors that `DiaForConditionalGeneration` takes.

Text is `[S1] reference text target text` in the encoder: one tag for one voice, as the README of nari-labs/dia requires
(it calls a tag twice in a row "not good"); a dialogue has `[S2]` where the voice changes. The references' codes are the
prefix of the decoder's rows, without labels; several targets follow as one stretch of audio.
Labels are those of `DiaProcessor(output_labels=True)`: shifted, no begin and no fill.

    processor = DiaSpeechProcessor(tokenizer, codec, codes, config=model.config)
    batch = processor.collator()([processor.features(sample)])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.data.voices import voice_parts
from tracker_logging.families.base import IGNORE, Features, Reference
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.dia.adapter import pattern_of
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.families.samples import masked, padded, reference_clips, target_clips, with_reference


@dataclass(frozen=True, eq=False, kw_only=True)
class DiaSpeechProcessor(SpeechProcessor):
    """`config` is the model's; `codec` has its channels."""

    config: Any = None

    @property
    def pattern(self) -> CodePattern:
        """The code pattern of the model's config."""
        return pattern_of(self.config)

    def features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` [T], `decoder_input_ids` and `labels` [R, K]."""
        sample = with_reference(sample, reference)
        targets = target_clips(sample)
        prompt = self._reference_codes(sample)
        codes = [*prompt, *(torch.from_numpy(self.codes(path)) for path in targets)]
        reference_frames = sum(clip.shape[1] for clip in prompt)
        pattern = self.pattern
        delayed = pattern.apply(torch.cat(codes, dim=1))
        labels = delayed[1:].masked_fill((delayed[1:] == pattern.bos) | (delayed[1:] == pattern.fill), IGNORE)
        frame = torch.arange(len(labels))[:, None] - torch.tensor(pattern.delays)
        labels = labels.masked_fill(frame < reference_frames, IGNORE)
        return {"input_ids": self._words(sample, sample.targets), "decoder_input_ids": delayed[:-1], "labels": labels}

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` [T] and, with a reference, its frames `audio_input_ids` [F, K]."""
        sample = with_reference(sample, reference)
        features = {"input_ids": self._words(sample, sample.targets[:1])}
        if prompt := self._reference_codes(sample):
            features["audio_input_ids"] = self.pattern.apply(torch.cat(prompt, dim=1))
        return features

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """Makes a batch with text padded on the right and audio on the left, as `DiaProcessor` pads."""
        begin = int(self.pattern.bos or 0)
        return lambda rows: collate(rows, begin=begin)

    def _reference_codes(self, sample: VoiceSample) -> list[torch.Tensor]:
        if sample.references_in == "system":
            raise DataError(f"{sample.origin}: a reference in the system message has no text, which Dia needs. Add it.")
        return [torch.from_numpy(self.codes(path)) for path in reference_clips(sample)]

    def _words(self, sample: VoiceSample, targets: Sequence[Utterance]) -> torch.Tensor:
        """References, then `targets`, with a tag wherever the voice changes."""
        parts = [part for utterance in (*sample.references, *targets) for part in voice_parts(utterance.text)]
        stretches = groupby(parts, key=lambda part: part[0])
        text = " ".join(f"[S{voice + 1}] {' '.join(words for _, words in run)}" for voice, run in stretches)
        return torch.tensor(self.tokenizer.encode(text, add_special_tokens=False))


def collate(rows: Sequence[Features], *, begin: int) -> Features:
    """B rows -> `input_ids`, `attention_mask` [B, T], `decoder_input_ids` [B, R, K], its mask, `labels` [B · K, R]."""
    decoder, decoder_mask = masked([row["decoder_input_ids"] for row in rows], begin, side="left")
    labels, _ = masked([row["labels"] for row in rows], IGNORE, side="left")
    return padded(rows, {"input_ids": 0}) | {
        "decoder_input_ids": decoder,
        "decoder_attention_mask": decoder_mask,
        "labels": labels.transpose(1, 2).flatten(0, 1).contiguous(),
    }
