"""A voice-cloning sample as the tensors that `CsmForConditionalGeneration` takes.

A turn is `<begin> [0]text <end>`, its audio tokens and `<|audio_eos|>`; references are turns before those of the
targets. The number is that of the voice's tag, 0 without one.
The class trains all audio of a row; label -101 excludes the reference from the depth decoder's loss.

    processor = CsmSpeechProcessor(tokenizer, codec, codes, config=model.config)
    batch = processor.collator()([processor.features(sample)])
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.families.base import IGNORE, Features
from tracker_logging.families.csm.adapter import BACKBONE_ONLY, is_audio
from tracker_logging.families.samples import BaseProcessor, masked, padded, reference_clips, target_clips, words_of


class CsmSpeechProcessor(BaseProcessor):
    """`codec` is a copy of the model's own: `ModelCodec.copy_of(model.codec_model)`."""

    def row(self, sample: VoiceSample) -> Features:
        """`input_ids`, `labels` [T], `input_values` [samples] and `input_values_cutoffs` [clips]."""
        clips = [*reference_clips(sample), *target_clips(sample)]
        turns = [self._turn(sample, utterance) for utterance in (*sample.references, *sample.targets)]
        ids = torch.cat(turns)
        audio, prompt = is_audio(ids, self.config), sum(map(len, turns[: len(sample.references)]))
        labels = torch.where(audio, ids, IGNORE)
        labels[:prompt][audio[:prompt]] = BACKBONE_ONLY
        waves = [torch.from_numpy(self.wave(path)) for path in clips]
        ends = torch.tensor([len(wave) for wave in waves]).cumsum(0)
        return {"input_ids": ids, "labels": labels, "input_values": torch.cat(waves), "input_values_cutoffs": ends}

    def prompt(self, sample: VoiceSample) -> Features:
        """`input_ids` [T] that end with the first target's text, and frames of references `audio_input_ids` [F, K]."""
        turns = [self._turn(sample, utterance) for utterance in sample.references]
        text = self._turn(sample, Utterance(sample.target_text, None))
        if not turns:
            return {"input_ids": text}
        end = torch.full((1, self.codec.num_codebooks), self.config.codebook_eos_token_id)
        frames = [part for path in reference_clips(sample) for part in (self.frames(path), end)]
        return {"input_ids": torch.cat([*turns, text]), "audio_input_ids": torch.cat(frames)}

    def collate(self, rows: Sequence[Features]) -> Features:
        """B rows -> `input_ids`, `attention_mask`, `labels` [B, T], `input_values` [B, 1, n], cutoffs [B, clips].

        Padded on the left, as `CsmProcessor` pads.
        """
        first = rows[0]["input_ids"][0]  # no audio token: the class counts each audio token as a frame
        return padded(rows, {"input_ids": int(first), "labels": IGNORE}, side="left") | {
            "input_values": masked([row["input_values"] for row in rows])[0].unsqueeze(1),
            "input_values_cutoffs": masked([row["input_values_cutoffs"] for row in rows], -1)[0],
        }

    def _turn(self, sample: VoiceSample, utterance: Utterance) -> torch.Tensor:
        parts = words_of(sample, utterance)
        if len({voice for voice, _ in parts}) > 1:
            raise DataError(f"{sample.origin}: several voices in one clip, of which CSM takes one. Split the clip.")
        voice, words = parts[0][0], " ".join(words for _, words in parts)
        ids = [self.tokenizer.bos_token_id, *self.words(f"[{voice}]{words}"), self.tokenizer.eos_token_id]
        if utterance.audio is not None:
            frames = len(self.frames(utterance.audio))
            ids += [self.config.audio_token_id] * frames + [self.config.audio_eos_token_id]
        return torch.tensor(ids)
