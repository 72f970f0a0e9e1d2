"""A voice-cloning sample as the tensors that Pocket TTS and Gradium Phonon TTS take.

A row is `[voice BOS] voice frames text audio-BOS audio frames`, as the chat template of `PocketTTSProcessor` writes it.
Texts are tokenized as they are: prepare them as the checkpoint's template does (capital letter, final stop).

    codec = LatentCodec(PocketTTSAudioTokenizerModel.from_pretrained(...))
    processor = PocketSpeechProcessor(tokenizer, codec, LatentSource(codec), config=model.config)
    batch = processor.collator()([processor.features(sample)])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.data.voices import untagged
from tracker_logging.families.base import Features, Reference
from tracker_logging.families.higgs_v2.processor import reference_clips, target_clips, with_reference
from tracker_logging.families.latent_codec import FloatArray


@dataclass(frozen=True, eq=False)
class PocketSpeechProcessor:
    """`tokenizer` of transformers; `config` is the model's. See `Processor`.

    `voices` returns the voice latents [D, N] of a reference clip where they are not the codec's: Phonon's are of a
    speaker codec that transformers does not have.
    """

    tokenizer: Any
    codec: Any
    codes: Any
    config: Any
    voices: Callable[[Path], FloatArray] | None = None

    def features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` [T], `labels` [F, D] and `audio_prompt_latents` [N, D] (N is 0 without a voice)."""
        sample = with_reference(sample, reference)
        if sample.more_targets or sample.voices > 1:
            raise DataError(
                f"{sample.origin}: several targets or voices in a row, of which Pocket TTS takes one. Split it."
            )
        (target,) = (self._latents(path) for path in target_clips(sample))
        prompt = self.prompt_features(sample)
        frames = torch.full((len(target),), self.config.audio_latent_token_id)
        voice = prompt.get("audio_input_ids", target.new_zeros(0, self._voice_dim))
        ids = torch.cat([prompt["input_ids"], frames])
        return {"input_ids": ids, "labels": target, "audio_prompt_latents": voice}

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` [T] that end with the audio BOS and, with a voice, its latents `audio_input_ids` [N, D]."""
        sample, config = with_reference(sample, reference), self.config
        clips = [self._voice(path, sample) for path in reference_clips(sample)]
        text = self.tokenizer.encode(untagged(sample.target_text), add_special_tokens=False)
        if not clips:
            return {"input_ids": torch.tensor([*text, config.audio_bos_token_id])}
        voice = torch.cat(clips)
        begin = [token] if (token := getattr(config, "audio_prompt_bos_token_id", None)) is not None else []
        ids = [*begin, *[config.audio_prompt_token_id] * len(voice), *text, config.audio_bos_token_id]
        return {"input_ids": torch.tensor(ids), "audio_input_ids": voice}

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """Makes a batch padded on the left, as `PocketTTSProcessor` pads."""
        return self._collate

    def _collate(self, rows: Sequence[Features]) -> Features:
        ids = [row["input_ids"] for row in rows]
        voices = [row["audio_prompt_latents"] for row in rows if len(row["audio_prompt_latents"])]
        batch = {
            "input_ids": pad_sequence(ids, True, self.config.pad_token_id, "left"),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], True, 0, "left"),
        }
        named = [("labels", [row["labels"] for row in rows])] + ([("audio_prompt_latents", voices)] if voices else [])
        for name, latents in named:
            batch[name] = pad_sequence(latents, True)
            batch[f"{name}_mask"] = pad_sequence([torch.ones(len(clip), dtype=torch.int64) for clip in latents], True)
        return batch

    @property
    def _voice_dim(self) -> int:
        return int(getattr(self.config, "audio_prompt_dim", self.config.latent_dim))

    def _voice(self, path: Path, sample: VoiceSample) -> torch.Tensor:
        latents = self._latents(path) if self.voices is None else torch.from_numpy(self.voices(path).T.copy())
        if latents.shape[1] != self._voice_dim:
            raise DataError(
                f"{sample.origin}: the voice has {latents.shape[1]} dimensions and the model takes {self._voice_dim}. "
                "Pass the checkpoint's speaker codec as `voices` of PocketSpeechProcessor."
            )
        return latents

    def _latents(self, path: Path) -> torch.Tensor:
        return torch.from_numpy(self.codes(path).T.copy())
