"""Reference and target pairs for pretraining, drawn anew for each batch, and what keeps the model from memorising them.

- Two different clips of one speaker, any of their sentences.
- Other voices: in part of the pairs the speaker codes of both clips are moved by the same step in the codec's speaker
  axes, which makes a speaker that no clip has. What differs between two clips of a speaker stays.
- Noise: some content codes that the model reads are replaced, and in most pairs all speaker codes of the target. A
  model that copies them from its own last frames need not look at the reference.
- The content of references is trained, too (`Noise.trains_references`): it has its text, and doubles the speech.

    pairs = PairSource(Clips(codes, coordinates, texts), codec, tokenizer, seed=0)
    batch = pairs.batch(8)
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.voice_codec import CODEBOOK_SIZE, SPEAKER_AXES, Array, Codes, VoiceCodec, speaker_codes
from tracker_logging.families.base import IGNORE, Features
from tracker_logging.families.higgs_v2.labels import target_labels
from tracker_logging.families.higgs_v2.processor import SpeechProcessor

SYSTEM_TEXT = "speak"
_OTHER_SPEAKERS = 4  # speakers among whose codes the replacements of one clip are drawn


@dataclass(frozen=True, slots=True)
class Clip:
    """`codes` [K, T], the `coordinates` of its speaker vector [SPEAKER_AXES], its text and its speaker."""

    codes: Codes
    coordinates: Array
    text: str
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Shares of the pairs with another voice, of those with all the target's speaker codes replaced, and of the content
    codes replaced."""

    other_voice: float = 0.85
    speaker_codes: float = 0.8
    content_codes: float = 0.15
    trains_references: bool = True


NOISE = Noise()


class PairSource:
    """Not for several threads: the voice of the pair that is being built is a state of the code source."""

    def __init__(
        self,
        clips: Mapping[str, Clip],
        codec: VoiceCodec,
        tokenizer: object,
        *,
        seed: int,
        noise: Noise = NOISE,
    ) -> None:
        self._clips, self._codec, self._noise = clips, codec, noise
        self._names = defaultdict(list)  # of each speaker's clips
        for name in sorted(clips):
            self._names[clips[name].speaker].append(name)
        self._moved: Array | None = None
        self.processor = SpeechProcessor(tokenizer, codec, self._codes)
        self._collate = self.processor.collator()
        self._choice, self._draw = random.Random(seed), np.random.default_rng(seed)

    def batch(self, size: int, *, speakers: Sequence[str]) -> Features:
        """A batch of `size` noisy pairs of any of `speakers`, of whom each has two clips or more."""
        return self._collate([self._noisy_pair(self._choice.choice(speakers)) for _ in range(size)])

    def clean_batch(self, pairs: Sequence[tuple[str, str]]) -> Features:
        """A batch of the (reference, target) clips named."""
        return self._collate([self.processor.features(self.sample(*pair)) for pair in pairs])

    def fixed_pairs(self, speakers: Sequence[str], *, each: int, seed: int = 0) -> list[tuple[str, str]]:
        """For each speaker `each` pairs of the names of two clips; the same in every call."""
        choice = random.Random(seed)
        return [tuple(choice.sample(self._names[speaker], 2)) for speaker in speakers for _ in range(each)]  # type: ignore[misc]

    def sample(self, reference: str, target: str) -> VoiceSample:
        """The sample of two clips, whose names stand for their paths."""
        return VoiceSample(
            sample_id=target,
            reference_text=self._clips[reference].text,
            reference_audio=Path(reference),
            target_text=self._clips[target].text,
            target_audio=Path(target),
            speaker=self._clips[target].speaker,
            system_text=SYSTEM_TEXT,
        )

    def _codes(self, path: Path) -> Codes:
        clip = self._clips[str(path)]
        if self._moved is None:
            return clip.codes
        codes = clip.codes.copy()
        codes[self._codec.content_codebooks :] = speaker_codes(clip.coordinates + self._moved)[:, None]
        return codes

    def _noisy_pair(self, speaker: str) -> Features:
        reference, target = self._choice.sample(self._names[speaker], 2)
        if self._choice.random() < self._noise.other_voice:
            towards = self._draw.normal(0, 1, SPEAKER_AXES) - self._clips[target].coordinates
            self._moved = self._draw.uniform(0.3, 1) * towards
        try:
            features = self.processor.features(self.sample(reference, target))
        finally:
            self._moved = None
        frames = self._clips[reference].codes.shape[1] + self._codec.num_codebooks + 1  # of the reference
        if self._noise.trains_references:
            features["audio_labels"] = self._with_reference_labels(features, frames)
        features["audio_input_ids"] = self._replaced(features["audio_input_ids"], frames)
        return features

    def _with_reference_labels(self, features: Features, frames: int) -> torch.Tensor:
        labels = target_labels(features["audio_input_ids"][:frames], bos=CODEBOOK_SIZE, eos=CODEBOOK_SIZE + 1)
        labels[:, self._codec.content_codebooks :] = IGNORE
        return torch.cat([labels, features["audio_labels"][frames:]])

    def _replaced(self, codes: torch.Tensor, frames: int) -> torch.Tensor:
        """Delayed codes [F, K] with noise; begin and end codes are never replaced."""
        codes, content = codes.clone(), self._codec.content_codebooks
        others = torch.from_numpy(
            np.stack([speaker_codes(self._draw.normal(0, 1, SPEAKER_AXES)) for _ in range(_OTHER_SPEAKERS)])
        )
        target = codes[frames:, content:]
        replacement = others[torch.from_numpy(self._draw.integers(0, _OTHER_SPEAKERS, len(target)))]
        if self._draw.random() < self._noise.speaker_codes:
            codes[frames:, content:] = torch.where(target < CODEBOOK_SIZE, replacement, target)
        content_codes = codes[:, :content]
        replacement = torch.from_numpy(self._draw.integers(0, CODEBOOK_SIZE, content_codes.shape))
        chosen = torch.from_numpy(self._draw.random(content_codes.shape) < self._noise.content_codes)
        codes[:, :content] = torch.where(chosen & (content_codes < CODEBOOK_SIZE), replacement, content_codes)
        return codes
