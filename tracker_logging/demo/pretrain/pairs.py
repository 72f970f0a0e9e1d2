"""Reference and target pairs for pretraining, drawn anew for each batch, and what keeps the model from memorising them.

- Two different clips of one speaker, any of their sentences, each in a variant (`variants.py`).
- Other voices: in part of the pairs the voices of both clips are moved towards another clip's, or past it, which makes
  a speaker that no clip has.
- Any codes: in part of the pairs the voice codes of both clips are the same random ones. Voices unlike all in
  the training data, such as recordings of a telephone, have such codes.
- One voice: in part of the pairs the target has exactly the reference's voice codes, so that they are to be copied.
- One part: at first most pairs have the codes of one part of the voice in all frames. A model learns to copy these from
  the reference in 250 steps, and then the parts in turn. Without it none of 1,000 steps was enough.
- Noise: codes and whole frames that the model reads are replaced, and in most pairs all voice codes of the target. A
  model that copies them from its own last frames need not look at the reference.
- Spelling: in part of the batches words are spelled in letters, as words outside the vocabulary are.
- Other languages: in part of the pairs the reference's text is of letters that are not those of its clip.
- The content of references is trained, too (`Noise.trains_references`): it has its text, and doubles the speech.

    pairs = PairSource({name: Clip(text, speaker, variants), ...}, codec, tokenizer, seed=0)
    batch = pairs.batch(8, speakers=["af_sky", ...])
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import torch

from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.open_tokenizer import spelling_tokenizer
from tracker_logging.demo.voice_codec import Array, Codes, VoiceCodec
from tracker_logging.demo.voice_parts import CODEBOOK_SIZE, FIRST_CODES, PARTS, repeated
from tracker_logging.families.base import IGNORE, Features
from tracker_logging.families.higgs_v2.labels import target_labels
from tracker_logging.families.higgs_v2.processor import SpeechProcessor

SYSTEM_TEXT = "speak"
MOST_CLIPS = 100
MOVED = (0.3, 1.2)  # of the way to another clip's voice
_OTHER_SPEAKERS = 4  # speakers among whose codes the replacements of one clip are drawn


@dataclass(frozen=True, slots=True)
class CodedVariant:
    """`codes` [K, T] and the `voice` [VOICE_SIZE] before it was quantised."""

    codes: Codes
    voice: Array


@dataclass(frozen=True, slots=True)
class Clip:
    """`variants`: in the order of `variants.VARIANTS`, or the first few; the first is the clip itself."""

    text: str
    speaker: str
    variants: Sequence[CodedVariant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Shares of the pairs with another voice, with random voice codes, with the target in exactly the reference's voice
    codes, with one part of the voice in all frames, with all the target's voice codes replaced, and with a reference's
    text in another language; of the batches with spelled words; of the target's prosody codes, of content codes, and of
    frames, replaced."""

    other_voice: float = 0.5
    any_codes: float = 0.35
    one_voice: float = 1.0
    one_part: float = 0.0
    voice_codes: float = 0.8
    spelled: float = 0.15
    foreign: float = 0.1
    prosody_codes: float = 0.1
    content_codes: float = 0.05
    frames: float = 0.1
    trains_references: bool = True


NOISE = Noise()
CALIBRATION = replace(NOISE, other_voice=0.3, any_codes=0.2, one_voice=0.6, voice_codes=0.5)
"""At the end: nearer to real pairs."""


class PairSource:
    """Not for several threads: the pair that is being built is a state of the code source."""

    def __init__(
        self,
        clips: Mapping[str, Clip],
        codec: VoiceCodec,
        tokenizer: object,
        *,
        seed: int,
        noise: Noise = NOISE,
    ) -> None:
        self._clips, self._codec, self.noise = clips, codec, noise
        self._voice = slice(codec.content_codebooks, codec.content_codebooks + codec.voice_codebooks)
        self._names = defaultdict(list)  # of each speaker's clips
        for name in sorted(clips):
            self._names[clips[name].speaker].append(name)
        self._all = sorted(clips)
        self._built: dict[str, Codes] = {}
        self.processor = SpeechProcessor(tokenizer, codec, self._codes)
        self._spelling = SpeechProcessor(spelling_tokenizer(), codec, self._codes)
        self._collate = self.processor.collator()
        self._choice, self._draw = random.Random(seed), np.random.default_rng(seed)

    def batch(self, size: int, *, speakers: Sequence[str]) -> Features:
        """A batch of `size` noisy pairs of `speakers`, of whom each has two clips or more: of each in proportion to its
        clips, of which `MOST_CLIPS` count."""
        weights = [min(MOST_CLIPS, len(self._names[speaker])) for speaker in speakers]
        is_spelled = self._choice.random() < self.noise.spelled  # all of a batch, since spelled texts are long
        chosen = self._choice.choices(speakers, weights, k=size)
        return self._collate([self._noisy_pair(name, is_spelled=is_spelled) for name in chosen])

    def clean_batch(self, pairs: Sequence[tuple[str, str]]) -> Features:
        """A batch of the (reference, target) clips named."""
        self._built = {}
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
        name = str(path)
        return self._built[name] if name in self._built else self._clips[name].variants[0].codes

    def _noisy_pair(self, speaker: str, *, is_spelled: bool) -> Features:
        reference, target = self._choice.sample(self._names[speaker], 2)
        self._build(reference, target)
        sample, is_foreign = self.sample(reference, target), self._choice.random() < self.noise.foreign
        if is_foreign:
            sample = replace(sample, reference_text=self._foreign(sample.reference_text))
        features = (self._spelling if is_spelled else self.processor).features(sample)
        frames = self._built[reference].shape[1] + self._codec.num_codebooks + 1  # of the reference
        if self.noise.trains_references and not is_foreign:
            features["audio_labels"] = self._with_reference_labels(features, frames)
        features["audio_input_ids"] = self._replaced(features["audio_input_ids"], frames)
        return features

    def _foreign(self, text: str) -> str:
        """Words of the same lengths in other letters."""
        return "".join(self._choice.choice(ascii_lowercase) if letter.isalpha() else letter for letter in text)

    def _build(self, reference: str, target: str) -> None:
        """Choose the variants of the pair and its voice."""
        chosen = {name: self._choice.choice(self._clips[name].variants) for name in (reference, target)}
        moved: Array | float = 0.0
        if self._choice.random() < self.noise.other_voice:
            moved = self._draw.uniform(*MOVED) * (self._any_voice() - chosen[target].voice)
        has_one_voice = self._choice.random() < self.noise.one_voice
        has_any_codes = self._choice.random() < self.noise.any_codes
        any_codes = self._any_codes()
        only_part = self._choice.randrange(PARTS) if self._choice.random() < self.noise.one_part else None
        self._built = {}
        for name, variant in chosen.items():
            voice = chosen[reference].voice if has_one_voice else variant.voice
            codes = variant.codes.copy()
            voice_codes = any_codes if has_any_codes else self._codec.parts.codes(voice + moved)
            if only_part is not None:
                voice_codes = voice_codes[:, [only_part] * PARTS]
            codes[self._voice] = repeated(voice_codes, codes.shape[1])
            self._built[name] = codes

    def _any_codes(self) -> Codes:
        """Random codes of all parts of a voice, [voice codebooks, PARTS]."""
        codes = self._draw.integers(0, CODEBOOK_SIZE, (self._codec.voice_codebooks, PARTS))
        codes[0] = FIRST_CODES * np.arange(PARTS) + self._draw.integers(0, FIRST_CODES, PARTS)
        return codes

    def _any_voice(self) -> Array:
        """[VOICE_SIZE] of a clip drawn from all."""
        return self._choice.choice(self._clips[self._choice.choice(self._all)].variants).voice

    def _with_reference_labels(self, features: Features, frames: int) -> torch.Tensor:
        labels = target_labels(features["audio_input_ids"][:frames], bos=CODEBOOK_SIZE, eos=CODEBOOK_SIZE + 1)
        labels[:, self._codec.content_codebooks :] = IGNORE
        return torch.cat([labels, features["audio_labels"][frames:]])

    def _replaced(self, codes: torch.Tensor, frames: int) -> torch.Tensor:
        """Delayed codes [F, K] with noise; begin and end codes are never replaced."""
        codes, content = codes.clone(), self._codec.content_codebooks
        target = codes[frames:]
        if self._draw.random() < self.noise.voice_codes:
            target[:, self._voice] = self._of_other_voices(target[:, self._voice])
        prosody = target[:, self._voice.stop :]
        is_replaced = torch.from_numpy(self._draw.random(prosody.shape) < self.noise.prosody_codes)
        replacement = torch.from_numpy(self._draw.integers(0, CODEBOOK_SIZE, prosody.shape))
        target[:, self._voice.stop :] = _where(is_replaced, replacement, prosody)
        content_codes = codes[:, :content]
        replacement = torch.from_numpy(self._draw.integers(0, CODEBOOK_SIZE, content_codes.shape))
        chosen = self._draw.random(content_codes.shape) < self.noise.content_codes
        chosen |= self._draw.random((len(codes), 1)) < self.noise.frames
        codes[:, :content] = _where(torch.from_numpy(chosen), replacement, content_codes)
        return codes

    def _of_other_voices(self, codes: torch.Tensor) -> torch.Tensor:
        """Delayed voice codes [F, K]: those of the same parts of several other voices."""
        others = np.stack([self._codec.parts.codes(self._any_voice()) for _ in range(_OTHER_SPEAKERS)])
        other = torch.from_numpy(self._draw.integers(0, _OTHER_SPEAKERS, len(codes)))
        values = torch.empty_like(codes)
        for codebook in range(codes.shape[1]):
            part = (codes[:, 0].roll(codebook) // FIRST_CODES).clamp(max=PARTS - 1)
            values[:, codebook] = torch.from_numpy(others[:, codebook])[other, part]
        return _where(torch.tensor(True), values, codes)


def _where(chosen: torch.Tensor, replacement: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """The codes with replacements where they are chosen; begin and end codes are kept."""
    return torch.where(chosen & (codes < CODEBOOK_SIZE), replacement, codes)
