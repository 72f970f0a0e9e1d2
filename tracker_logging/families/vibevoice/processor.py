"""A voice-cloning sample as the tensors that VibeVoice takes, in the text layout of its checkpoints' chat template.

    processor = VibeVoiceSpeechProcessor.of(model, tokenizer, feature_extractor)
    batch = processor.collator()([processor.features(sample)])

The template of the checkpoints ends where the speech begins, so that its own rows train the voice prompt only. These
rows have the speech; its frames and its end are trained, each frame from the position before it, as in generation. The
batch has a `TrainingNoise` (see `schedule.py`) and all of its timesteps. The class trains the voice's frames too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.data.audio import load_audio
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.data.voices import untagged
from tracker_logging.families.base import IGNORE, Features, Reference
from tracker_logging.families.higgs_v2.processor import reference_clips, target_clips, with_reference
from tracker_logging.families.latent_codec import FloatArray, LatentCodec, LatentSource
from tracker_logging.families.spans import runs
from tracker_logging.families.vibevoice.schedule import TrainingNoise

SYSTEM = (
    " Transform the text provided by various speakers into speech output, utilizing the distinct voice of each "
    "respective speaker.\n"
)


class VibeVoiceCodec(LatentCodec):
    """A `VibeVoiceAcousticTokenizerModel`. Latents are those without the noise of its VAE."""

    def __init__(self, model: Any, *, sample_rate: int = 24_000) -> None:
        self._model = model.eval()
        self.sample_rate, self.hop = sample_rate, model.config.hop_length
        self.frame_rate = sample_rate / self.hop
        self.latent_dim = model.config.hidden_size

    @torch.no_grad()
    def encode(self, wave: FloatArray) -> FloatArray:
        padded = np.pad(wave, (0, -len(wave) % self.hop))
        latents: FloatArray = (
            self._model.encode(self._tensor(padded)[None, None], sample=False).latents[0].T.float().cpu().numpy()
        )
        return latents

    @torch.no_grad()
    def decode(self, codes: FloatArray) -> FloatArray:
        wave: FloatArray = self._model.decode(self._tensor(codes.T)[None]).audio[0, 0].float().cpu().numpy()
        return wave


@dataclass(frozen=True, eq=False)
class VibeVoiceSpeechProcessor:
    """`tokenizer` and feature `extractor` of transformers; `config` is the model's. See `Processor`."""

    tokenizer: Any
    extractor: Any
    codec: Any
    codes: Any
    config: Any
    noise: TrainingNoise

    @classmethod
    def of(cls, model: Any, tokenizer: Any, extractor: Any) -> VibeVoiceSpeechProcessor:
        """With a copy of the model's codec and its noise schedule, which needs `diffusers`."""
        codec = VibeVoiceCodec(copy.deepcopy(model.model.audio_tower), sample_rate=extractor.sampling_rate)
        noise = TrainingNoise(model._build_default_noise_scheduler(model.generation_config))
        return cls(tokenizer, extractor, codec, LatentSource(codec), model.config, noise)

    def features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids`, `labels`, `acoustic_loss_mask` [T]; `input_values` [n]: voice and speech, in whole frames."""
        sample = with_reference(sample, reference)
        if sample.more_targets or sample.voices > 1:
            raise DataError(
                f"{sample.origin}: several targets or voices in a row, of which VibeVoiceSpeechProcessor takes one."
            )
        (wave,) = (self._wave([path]) for path in target_clips(sample))
        prompt, config = self.prompt_features(sample), self.config
        speech = [
            *[config.audio_token_id] * (len(wave) // self.codec.hop),
            config.audio_eos_token_id,
            config.eos_token_id,
        ]
        ids = torch.cat([prompt["input_ids"], torch.tensor(speech)])
        labels = ids.clone()
        labels[: -len(speech)] = IGNORE
        is_condition = torch.zeros_like(ids, dtype=torch.bool)
        is_condition[:-1] = ids[1:] == config.audio_token_id
        voice = prompt.get("audio_input_ids", wave.new_zeros(0, 1))[:, 0]
        return {
            "input_ids": ids,
            "labels": labels,
            "acoustic_loss_mask": is_condition,
            "input_values": torch.cat([voice, wave]),
        }

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` [T] that end with the audio BOS and, with a voice, its waveform `audio_input_ids` [n, 1]."""
        sample, config = with_reference(sample, reference), self.config
        clips = reference_clips(sample)
        wave = self._wave(clips) if clips else None
        ids = self._ids(SYSTEM)
        if wave is not None:
            frames = [config.audio_token_id] * (len(wave) // self.codec.hop)
            ids += [
                *self._ids(" Voice input:\n Speaker 0:"),
                config.audio_bos_token_id,
                *frames,
                config.audio_eos_token_id,
            ]
            ids += self._ids("\n")
        text = untagged(sample.target_text)
        ids += [*self._ids(f" Text input:\n Speaker 0: {text}\n Speech output:\n"), config.audio_bos_token_id]
        features = {"input_ids": torch.tensor(ids)}
        return features if wave is None else features | {"audio_input_ids": wave[:, None]}

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """Makes a batch padded on the right, its clips in the order of their placeholders."""
        return self._collate

    def _collate(self, rows: Sequence[Features]) -> Features:
        names = {"input_ids": self.config.pad_token_id, "labels": IGNORE, "acoustic_loss_mask": False}
        batch: dict[str, Any] = {
            name: pad_sequence([row[name] for row in rows], True, fill) for name, fill in names.items()
        }
        ones = [torch.ones_like(row["input_ids"]) for row in rows]
        clips: list[torch.Tensor] = []
        for row in rows:
            spans = runs(row["input_ids"] == self.config.audio_token_id)
            clips += row["input_values"].split([(stop - start) * self.codec.hop for start, stop in spans])
        return batch | {
            "attention_mask": pad_sequence(ones, True),
            "input_values": pad_sequence(clips, True)[:, None],
            "padding_mask": pad_sequence([torch.ones_like(clip) for clip in clips], True),
            "noise_scheduler": self.noise,
            "num_diffusion_steps": len(self.noise.alpha_t),
        }

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _wave(self, paths: Sequence[Path]) -> torch.Tensor:
        """[n] the clips one after the other, at the loudness of the extractor, each padded to whole frames."""
        rate = self.codec.sample_rate
        waves = [self.extractor(load_audio(path, rate), sampling_rate=rate)["input_values"][0, 0] for path in paths]
        return torch.cat(waves)
