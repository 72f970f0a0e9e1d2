"""Variants of a clip, so that a model cannot know it by heart: other frame boundaries, rate, intonation.

A frame has 50 ms: the same speech that begins 25 ms later has other codes.

Guarantees
- The first variant is the clip itself. All have its voice.

    of_clip = [varied(speech, variant) for variant in VARIANTS]
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np

from tracker_logging.demo.spectra import ROWS
from tracker_logging.demo.voice_codec import UNVOICED, Speech

NUMBER = 16
RATES = (0.85, 1.2)
INTONATIONS = (0.8, 1.3)  # factors of the deviation of log-F0 from its mean


@dataclass(frozen=True, slots=True)
class Variant:
    """`delay`: rows of 12.5 ms added at the beginning; `rate` and `intonation` are factors."""

    delay: int = 0
    rate: float = 1.0
    intonation: float = 1.0


def _drawn() -> tuple[Variant, ...]:
    choice = random.Random(0)
    others = (
        Variant(choice.randrange(ROWS), choice.uniform(*RATES), choice.uniform(*INTONATIONS)) for _ in range(1, NUMBER)
    )
    return Variant(), *others


VARIANTS: tuple[Variant, ...] = _drawn()


def varied(speech: Speech, variant: Variant) -> Speech:
    """The changed speech, of whole frames: its first and last rows are repeated."""
    times = np.arange(0, len(speech.sounds) - 1 + 1e-9, variant.rate).round().astype(int)
    frames = -(-(variant.delay + len(times)) // ROWS)
    places = np.pad(times, (variant.delay, frames * ROWS - variant.delay - len(times)), mode="edge")
    pitch = speech.pitch[places]
    return replace(
        speech,
        sounds=speech.sounds[places],
        pitch=np.where(pitch > UNVOICED, np.maximum(variant.intonation * pitch, UNVOICED), pitch),
        energy=speech.energy[places],
    )
