"""Features to one padded batch, as `HiggsAudioV2ForConditionalGeneration.forward` wants it.

Guarantees
- Text is padded on the right with the pad token, audio on the right with end codes.
- Padding is masked and never trained.

    batch = VoiceCloningCollator(pad_token=tokens.pad, eos_code=1025)([dataset[0], dataset[1]])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.families.base import IGNORE
from tracker_logging.families.higgs_v2.processor import Features, SpeechProcessor


@dataclass(frozen=True, slots=True)
class VoiceCloningCollator:
    """B rows of features -> `input_ids` [B, T], `attention_mask` [B, T], `audio_input_ids` [B, F, K],
    `audio_input_ids_mask` [B, F] bool, `audio_labels` [B, F, K], and `labels` [B, T] where the rows have them."""

    pad_token: int
    eos_code: int

    @classmethod
    def of(cls, processor: SpeechProcessor) -> VoiceCloningCollator:
        """The collator that fits a processor's features."""
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


def _pad(tensors: list[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(tensors, batch_first=True, padding_value=value)
