"""Synthesises the speech that the demo's model is pretrained on. Resumable; several processes share the work.

    kokoro = Kokoro(voices)
    make_speech(directory, kokoro, phonemes_of(planned_sentences()), share=0, shares=2)

Guarantees
- Clip `n` of a speaker has the same sentence in every run, so that work may be stopped, resumed and divided freely.
- Any prefix of the work has about the same number of clips of each natural voice, and a few clips of each blend and
  each mixture that it has at all.
- No sentence of a voice that is kept for the demo is a sentence of a trained one.
- Each sentence is planned for two trained voices, one after the other: the codec is trained on such pairs.
- A clip that exists is complete, and so is the file of what it was made of (`Source`).
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracker_logging.demo.composed.make_voices import speech_span
from tracker_logging.demo.kokoro import SAMPLE_RATE, Rows, Wave
from tracker_logging.demo.pretrain.kokoro_speech import Synthesis, Voice
from tracker_logging.demo.pretrain.voices import (
    BLENDED,
    FINE_TUNED,
    HELD_OUT,
    KEPT,
    MIXED,
    NATURAL,
    SINGLE,
    Speaker,
)
from tracker_logging.demo.sentences import draw_sentences
from tracker_logging.whole_file import whole_file

ROUNDS = 22
BLENDS_IN_ROUND = len(BLENDED) // ROUNDS
CLIPS_OF_BLEND = 4
CLIPS_OF_MIXTURE = 2
MIXTURES_IN_ROUND = 50
CLIPS_OF_NEW_SPEAKER = 2  # in each round
SENTENCES = 4_000
TRAINED_SENTENCES = 3_600  # the first ones; the others are those of voices that are not pretrained
SPEEDS = (1.0, 1.2)  # of a speaker; one speed each
SHORT = 28  # characters of a sentence
PEAK = 0.7
CLIPS, SOURCES = "clips", "sources"  # folders


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip of the plan."""

    speaker: Speaker
    number: int
    sentence: int

    @property
    def name(self) -> str:
        return f"{self.speaker.name}_{self.number:03d}_{self.sentence:04d}"


def planned() -> Iterator[Utterance]:
    """All clips, in the order of the work."""
    choice = random.Random(1)
    counts: Counter[str] = Counter()
    waiting: Utterance | None = None  # for a second voice
    for speakers in _rounds():
        for speaker in choice.sample(speakers, len(speakers)):
            is_kept = speaker.name in KEPT
            sentences = range(TRAINED_SENTENCES, SENTENCES) if is_kept else range(TRAINED_SENTENCES)
            utterance = Utterance(speaker, counts[speaker.name], choice.choice(sentences))
            if not is_kept:
                if waiting is None or waiting.speaker == speaker:
                    waiting = utterance
                else:
                    utterance, waiting = replace(utterance, sentence=waiting.sentence), None
            yield utterance
            counts[speaker.name] += 1
    short = [number for number, text in enumerate(planned_sentences()[:TRAINED_SENTENCES]) if len(text) <= SHORT]
    for speaker in SINGLE:
        yield Utterance(speaker, 0, choice.choice(short))


def _rounds() -> Iterator[list[Speaker]]:
    """The speakers of each round, a speaker once for each of its clips."""
    for number in range(ROUNDS):
        first = number * BLENDS_IN_ROUND
        blends = BLENDED[first : first + BLENDS_IN_ROUND] * CLIPS_OF_BLEND
        yield [*NATURAL, *blends, *FINE_TUNED * CLIPS_OF_NEW_SPEAKER, *(HELD_OUT if number % 2 == 0 else ())]
    for first in range(0, len(MIXED), MIXTURES_IN_ROUND):
        yield [*MIXED[first : first + MIXTURES_IN_ROUND]] * CLIPS_OF_MIXTURE


class Synthesiser(Protocol):
    """What is used of `Kokoro`."""

    def voice(self, name: str) -> Voice: ...
    def synthesise(self, phonemes: str, voice: Voice, *, speed: float) -> Synthesis: ...


@cache
def planned_sentences() -> list[str]:
    """The sentences of which the plan names one by its index."""
    return draw_sentences(SENTENCES, seed=0)


def make_speech(
    directory: Path, kokoro: Synthesiser, phonemes: Sequence[str], *, share: int, shares: int, most: int | None = None
) -> None:
    """Write share `share` of `shares` of the first `most` planned clips as `clips/NAME.flac` and `sources/NAME.npz` in
    `directory`, those that are missing. `phonemes` are those of `planned_sentences()`."""
    for folder in (CLIPS, SOURCES):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    voice_of = lru_cache(maxsize=512)(lambda speaker: style_of(speaker, [kokoro.voice(part) for part in speaker.parts]))
    for index, utterance in enumerate(islice(planned(), most)):
        path = directory / CLIPS / f"{utterance.name}.flac"
        if index % shares != share or path.exists():
            continue
        speaker = utterance.speaker
        synthesis = kokoro.synthesise(phonemes[utterance.sentence], voice_of(speaker), speed=speed_of(speaker))
        Source.of(synthesis).save(directory / SOURCES / f"{utterance.name}.npz")
        write_clip(path, synthesis.wave)


@dataclass(frozen=True, slots=True)
class Source:
    """What a clip was made of. `content` [U, CONTENT_SIZE] float16 are its different vectors, `places` [T] which of
    them each 25 ms has; `pitch` and `energy` [2 * T], `style` [STYLE_SIZE]. The clip begins at sample `start`."""

    content: npt.NDArray[np.float16]
    places: npt.NDArray[np.int16]
    pitch: Rows
    energy: Rows
    style: Rows
    start: int

    @classmethod
    def of(cls, synthesis: Synthesis) -> Source:
        content = synthesis.sounds.content
        is_new = np.r_[True, np.abs(np.diff(content, axis=0)).max(axis=1) > 0]
        places = (np.cumsum(is_new) - 1).astype(np.int16)
        start = speech_span(synthesis.wave).start
        vectors = content[is_new].astype(np.float16)
        return cls(vectors, places, synthesis.sounds.pitch, synthesis.sounds.energy, synthesis.style, start)

    def save(self, path: Path) -> None:
        write_arrays(path, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Source:
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """As a whole file of numpy's `savez`."""
    with whole_file(path) as part, part.open("wb") as file:  # numpy adds a suffix to a path
        np.savez(file, **arrays)


def style_of(speaker: Speaker, parts: Sequence[Voice]) -> Voice:
    """The speaker's voice, made of its parts: the same in each call."""
    style = np.average(parts, axis=0, weights=speaker.weights)
    if speaker.noise:
        drawn = np.random.default_rng(_number_of(speaker.name)).normal(size=style.shape[-1])
        style += speaker.noise * drawn * np.std(parts, axis=0)
    return style.astype(np.float32)


def write_clip(path: Path, wave: Wave) -> None:
    """As a whole file: trimmed, with the peak `PEAK`."""
    import soundfile

    trimmed = wave[speech_span(wave)] * (PEAK / max(1e-3, float(np.abs(wave).max())))
    with whole_file(path) as part:
        soundfile.write(part, trimmed, SAMPLE_RATE, format="FLAC", subtype="PCM_16")


def speed_of(speaker: Speaker) -> float:
    """Speakers differ in speed, too."""
    return SPEEDS[0] + (SPEEDS[1] - SPEEDS[0]) * _number_of(speaker.name) / 2**32


def _number_of(name: str) -> int:
    """The same in each run, below 2**32."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
