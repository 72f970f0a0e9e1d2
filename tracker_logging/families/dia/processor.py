"""A voice-cloning sample as the tensors that `DiaForConditionalGeneration` takes.

Text is `[S1] reference text target text` in the encoder: one tag for one voice, as the README of nari-labs/dia requires
(it calls a tag twice in a row "not good"); a dialogue has `[S2]` where the voice changes. Voices are numbered in the
order of the texts, since a text must begin with `[S1]`. The references' codes are the prefix of the decoder's rows,
without labels; several targets follow as one stretch of audio.
Labels are those of `DiaProcessor(output_labels=True)`: shifted, no begin and no fill.

    processor = DiaSpeechProcessor(tokenizer, codec, codes, config=model.config)
    batch = processor.collator()([processor.features(sample)])
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch

from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.families.base import IGNORE, Features
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.dia.adapter import pattern_of
from tracker_logging.families.samples import BaseProcessor, masked, padded, reference_clips, target_clips, words_of

TAGS = ("[S1]", "[S2]")  # of the voices, in the tokenizer


class DiaSpeechProcessor(BaseProcessor):
    """`codec` has the model's channels."""

    @property
    def pattern(self) -> CodePattern:
        """How the model lays out codes."""
        return pattern_of(self.config)

    def row(self, sample: VoiceSample) -> Features:
        """`input_ids` [T], `decoder_input_ids` and `labels` [R, K]."""
        pattern = self.pattern
        words = self._words(sample, sample.targets)
        given = [self.frames(path) for path in reference_clips(sample)]
        target = torch.cat([self.frames(path) for path in target_clips(sample)])
        rows = pattern.apply(torch.cat([*given, target]).T)
        labels = rows.where(pattern.to_train(rows, lead=1 + sum(map(len, given)), frames=len(target)), IGNORE)
        return {"input_ids": words, "decoder_input_ids": rows[:-1], "labels": labels[1:]}

    def prompt(self, sample: VoiceSample) -> Features:
        """`input_ids` [T] and, with a reference, its frames `audio_input_ids` [F, K]."""
        features = {"input_ids": self._words(sample, sample.targets[:1])}
        if given := [self.frames(path) for path in reference_clips(sample)]:
            features["audio_input_ids"] = self.pattern.apply(torch.cat(given).T)
        return features

    def collate(self, rows: Sequence[Features]) -> Features:
        """B rows -> `input_ids`, `attention_mask` [B, T], `decoder_input_ids` [B, R, K], its mask, `labels` [B · K, R].

        Text is padded on the right and audio on the left, as `DiaProcessor` pads.
        """
        begin = self.pattern.bos or 0
        decoder, decoder_mask = masked([row["decoder_input_ids"] for row in rows], begin, side="left")
        labels, _ = masked([row["labels"] for row in rows], IGNORE, side="left")
        return padded(rows, {"input_ids": 0}) | {
            "decoder_input_ids": decoder,
            "decoder_attention_mask": decoder_mask,
            "labels": labels.transpose(1, 2).flatten(0, 1).contiguous(),
        }

    def _words(self, sample: VoiceSample, targets: Sequence[Utterance]) -> torch.Tensor:
        """References, then `targets`, with a tag wherever the voice changes."""
        utterances = (*sample.references, *targets)
        parts = [part for utterance in utterances for part in words_of(sample, utterance)]
        if any(tag in utterance.text for utterance in utterances for tag in TAGS):
            raise DataError(f"{sample.origin}: a text has a tag of Dia's own. Write [SPEAKER0] and [SPEAKER1].")
        voices = list(dict.fromkeys(voice for voice, _ in parts))
        if len(voices) > len(TAGS):
            raise DataError(f"{sample.origin}: {len(voices)} voices, and Dia tells two apart. Split the sample.")
        stretches = groupby(parts, key=lambda part: part[0])
        text = " ".join(
            f"{TAGS[voices.index(voice)]} {' '.join(words for _, words in run)}" for voice, run in stretches
        )
        return torch.tensor(self.words(text))
