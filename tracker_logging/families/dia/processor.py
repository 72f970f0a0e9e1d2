"""A voice-cloning sample as the tensors that `DiaForConditionalGeneration` takes.

Text is `[S1] reference text target text` in the encoder: one tag for one voice, as the README of nari-labs/dia requires
(it calls a tag twice in a row "not good"). The reference's codes are the prefix of the decoder's rows, without labels.
Labels are those of `DiaProcessor(output_labels=True)`: shifted, no begin and no fill.

    processor = DiaSpeechProcessor(tokenizer, codec, codes, config=model.config)
    batch = processor.collator()([processor.features(sample)])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.families.base import IGNORE, Features, Reference
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.dia.adapter import pattern_of
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, with_reference


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
        if sample.target_audio is None:
            raise DataError(f"{sample.origin}, target audio: missing, so there is nothing to train on. Add it.")
        paths = [path for path in (sample.reference_audio, sample.target_audio) if path is not None]
        codes = [torch.from_numpy(self.codes(path)) for path in paths]
        reference_frames = 0 if len(codes) == 1 else codes[0].shape[1]
        pattern = self.pattern
        delayed = pattern.apply(torch.cat(codes, dim=1))
        labels = delayed[1:].masked_fill((delayed[1:] == pattern.bos) | (delayed[1:] == pattern.fill), IGNORE)
        frame = torch.arange(len(labels))[:, None] - torch.tensor(pattern.delays)
        labels = labels.masked_fill(frame < reference_frames, IGNORE)
        return {"input_ids": self._words(sample), "decoder_input_ids": delayed[:-1], "labels": labels}

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` [T] and, with a reference, its frames `audio_input_ids` [F, K]."""
        sample = with_reference(sample, reference)
        features = {"input_ids": self._words(sample)}
        if sample.reference_audio is not None:
            features["audio_input_ids"] = self.pattern.apply(torch.from_numpy(self.codes(sample.reference_audio)))
        return features

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """Makes a batch with text padded on the right and audio on the left, as `DiaProcessor` pads."""
        begin = int(self.pattern.bos or 0)
        return lambda rows: collate(rows, begin=begin)

    def _words(self, sample: VoiceSample) -> torch.Tensor:
        texts = [sample.target_text] if sample.reference_audio is None else [sample.reference_text, sample.target_text]
        text = " ".join(["[S1]", *(part.strip() for part in texts)])
        return torch.tensor(self.tokenizer.encode(text, add_special_tokens=False))


def collate(rows: Sequence[Features], *, begin: int) -> Features:
    """B rows -> `input_ids`, `attention_mask` [B, T], `decoder_input_ids` [B, R, K], its mask, `labels` [B · K, R]."""

    def audio(values: Sequence[torch.Tensor], fill: int) -> torch.Tensor:
        return pad_sequence(list(values), batch_first=True, padding_value=fill, padding_side="left")

    decoder = [row["decoder_input_ids"] for row in rows]
    texts = [row["input_ids"] for row in rows]
    return {
        "input_ids": pad_sequence(texts, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(text) for text in texts], batch_first=True),
        "decoder_input_ids": audio(decoder, begin),
        "decoder_attention_mask": audio([torch.ones_like(rows[:, 0]) for rows in decoder], 0),
        "labels": audio([row["labels"] for row in rows], IGNORE).transpose(1, 2).flatten(0, 1).contiguous(),
    }
