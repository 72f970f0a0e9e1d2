"""A voice-cloning sample as the tensors that VibeVoice takes, in the text layout of its checkpoints' chat template.

    processor = VibeVoiceSpeechProcessor.of(model, tokenizer, feature_extractor)
    batch = processor.collator()([processor.features(sample)])

The template of the checkpoints ends where the speech begins, so that its own rows train the voice prompt only. These
rows have the speech; its frames and its end are trained, each frame from the position before it, as in generation. The
batch has a `TrainingNoise` (see `schedule.py`) and all of its timesteps. The class trains the voice's frames too.
A dialogue has a clip of each voice, a line of text for each turn, and all targets as one speech.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.data.voices import voices_in
from tracker_logging.families.base import IGNORE, Features
from tracker_logging.families.latent_codec import LatentCodec, LatentSource
from tracker_logging.families.samples import BaseProcessor, padded, target_clips, words_of
from tracker_logging.families.vibevoice.adapter import clips_of
from tracker_logging.families.vibevoice.schedule import TrainingNoise

SYSTEM = (
    " Transform the text provided by various speakers into speech output, utilizing the distinct voice of each "
    "respective speaker.\n"
)


@dataclass(frozen=True, eq=False)
class VibeVoiceSpeechProcessor(BaseProcessor):
    """`extractor` is the feature extractor of transformers."""

    extractor: Any
    noise: TrainingNoise

    @classmethod
    def of(cls, model: Any, tokenizer: Any, extractor: Any) -> VibeVoiceSpeechProcessor:
        """With a copy of the model's codec, whose latents have no noise of its VAE, and its noise schedule, which needs
        `diffusers`."""
        tower = copy.deepcopy(model.model.audio_tower)
        codec = LatentCodec(tower, sample_rate=extractor.sampling_rate, sample=False)
        noise = TrainingNoise(model._build_default_noise_scheduler(model.generation_config))
        return cls(tokenizer, codec, LatentSource(codec), model.config, extractor, noise)

    def row(self, sample: VoiceSample) -> Features:
        """`input_ids`, `labels`, `acoustic_loss_mask` [T]; `input_values` [n]: voices and speech, in whole frames."""
        config = self.config
        wave = self._wave(target_clips(sample))
        prompt = self._prompt(sample, sample.targets)
        speech = [*self._placeholders(wave), config.audio_eos_token_id, config.eos_token_id]
        ids = torch.cat([prompt["input_ids"], torch.tensor(speech)])
        labels = ids.clone()
        labels[: -len(speech)] = IGNORE
        is_condition = torch.zeros_like(ids, dtype=torch.bool)
        is_condition[:-1] = ids[1:] == config.audio_token_id
        voices = prompt.get("audio_input_ids", wave.new_zeros(0, 1))[:, 0]
        waves = torch.cat([voices, wave])
        return {"input_ids": ids, "labels": labels, "acoustic_loss_mask": is_condition, "input_values": waves}

    def prompt(self, sample: VoiceSample) -> Features:
        """Of the first target: `input_ids` [T] that end with the audio BOS and, with voices, their waveforms one after
        the other, `audio_input_ids` [n, 1]."""
        return self._prompt(sample, sample.targets[:1])

    def collate(self, rows: Sequence[Features]) -> Features:
        """A batch padded on the right, its clips in the order of their placeholders."""
        fills = {"input_ids": self.config.pad_token_id, "labels": IGNORE, "acoustic_loss_mask": False}
        batch: dict[str, Any] = padded(rows, fills)
        waves = torch.cat([row["input_values"] for row in rows])
        schedule = {"noise_scheduler": self.noise, "num_diffusion_steps": len(self.noise.alpha_t)}
        return batch | clips_of(batch["input_ids"], waves, self.config) | schedule

    def _prompt(self, sample: VoiceSample, targets: Sequence[Utterance]) -> Features:
        """Texts with the clips of the voices between them, up to the beginning of the speech."""
        config, voices = self.config, clips_by_voice(sample)
        turns = [part for target in targets for part in words_of(sample, target)]
        first = min([*voices, *(voice for voice, _ in turns)], default=0)  # numbers begin at 0, as in VibeVoice's code
        lines = [f" Speaker {voice - first}: {words}\n" for voice, words in turns]
        speech = f" Text input:\n{''.join(lines)} Speech output:\n"
        names = [f" Speaker {voice - first}:" for voice in voices]
        texts = (
            [f"{SYSTEM} Voice input:\n{names[0]}", *(f"\n{name}" for name in names[1:]), f"\n{speech}"] if names else []
        )
        waves = [self._wave(clips) for clips in voices.values()]
        ids: list[int] = []
        for at, text in enumerate(texts or [SYSTEM + speech]):
            ids += [*self.words(text), config.audio_bos_token_id]
            ids += [*self._placeholders(waves[at]), config.audio_eos_token_id] if at < len(waves) else []
        features = {"input_ids": torch.tensor(ids)}
        return features | ({"audio_input_ids": torch.cat(waves)[:, None]} if waves else {})

    def _placeholders(self, wave: torch.Tensor) -> list[int]:
        return [self.config.audio_token_id] * (len(wave) // self.codec.hop)

    def _wave(self, paths: Sequence[Path]) -> torch.Tensor:
        """[n] the clips one after the other, at the loudness of the extractor, each padded to whole frames."""
        loud = [self.extractor(self.wave(path), sampling_rate=self.codec.sample_rate) for path in paths]
        return torch.cat([clip["input_values"][0, 0] for clip in loud])


def clips_by_voice(sample: VoiceSample) -> dict[int, list[Path]]:
    """The reference clips of each voice, by its number: that of the tag, or of the place in a system message, else 0.

    Raises `DataError` for a clip of several voices.
    """
    clips: dict[int, list[Path]] = {}
    for place, reference in enumerate(sample.references):
        voices = voices_in(reference.text) or (place if sample.references_in == "system" else 0,)
        if len(voices) > 1:
            raise DataError(
                f"{sample.origin}: a reference has several voices; VibeVoice takes a clip of each. Split it."
            )
        if reference.audio is not None:
            clips.setdefault(voices[0], []).append(reference.audio)
    return dict(sorted(clips.items()))
