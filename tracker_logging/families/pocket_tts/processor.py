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

import torch

from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.families.base import Features
from tracker_logging.families.latent_codec import FloatArray
from tracker_logging.families.samples import BaseProcessor, masked, padded, reference_clips, target_clips, words_of


@dataclass(frozen=True, eq=False)
class PocketSpeechProcessor(BaseProcessor):
    """`voices` returns the voice latents [D, N] of a reference clip where they are not the codec's: Phonon's are of a
    speaker codec that transformers does not have."""

    voices: Callable[[Path], FloatArray] | None = None

    def row(self, sample: VoiceSample) -> Features:
        """`input_ids` [T], `labels` [F, D] and `audio_prompt_latents` [N, D] (N is 0 without a voice)."""
        if sample.more_targets or sample.voices > 1:
            raise DataError(f"{sample.origin}: several targets or voices, of which Pocket TTS takes one. Split it.")
        target, prompt = self.frames(*target_clips(sample)), self.prompt(sample)
        ids = torch.cat([prompt["input_ids"], torch.full((len(target),), self.config.audio_latent_token_id)])
        voice = prompt.get("audio_input_ids", target.new_zeros(0, self._voice_dim))
        return {"input_ids": ids, "labels": target, "audio_prompt_latents": voice}

    def prompt(self, sample: VoiceSample) -> Features:
        """`input_ids` [T] that end with the audio BOS and, with a voice, its latents `audio_input_ids` [N, D]."""
        clips, config = [self._voice(path, sample) for path in reference_clips(sample)], self.config
        words = " ".join(words for _, words in words_of(sample, sample.targets[0]))
        text = [*self.words(words), config.audio_bos_token_id]
        if not clips:
            return {"input_ids": torch.tensor(text)}
        voice, begin = torch.cat(clips), getattr(config, "audio_prompt_bos_token_id", None)
        ids = [*([] if begin is None else [begin]), *[config.audio_prompt_token_id] * len(voice), *text]
        return {"input_ids": torch.tensor(ids), "audio_input_ids": voice}

    def collate(self, rows: Sequence[Features]) -> Features:
        """A batch padded on the left, as `PocketTTSProcessor` pads."""
        batch = padded(rows, {"input_ids": self.config.pad_token_id}, side="left")
        for name in ("labels", "audio_prompt_latents"):
            if clips := [row[name] for row in rows if len(row[name])]:
                batch[name], batch[f"{name}_mask"] = masked(clips)
        return batch

    @property
    def _voice_dim(self) -> int:
        return int(getattr(self.config, "audio_prompt_dim", self.config.latent_dim))

    def _voice(self, path: Path, sample: VoiceSample) -> torch.Tensor:
        latents = self.frames(path) if self.voices is None else torch.from_numpy(self.voices(path).T.copy())
        if latents.shape[1] != self._voice_dim:
            raise DataError(
                f"{sample.origin}: the voice has {latents.shape[1]} dimensions and the model takes {self._voice_dim}. "
                "Pass the checkpoint's speaker codec as `voices` of PocketSpeechProcessor."
            )
        return latents
