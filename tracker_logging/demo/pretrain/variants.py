"""Variants of a clip, so that a model cannot know it by heart: other frame boundaries, rate, vocal tract, intonation.

A frame has 40 ms: the same speech that begins 20 ms later has other codes. A model that heard a clip at one place only
has learnt the clip and not the speech (measured: its loss rises by 0.4 nats a code when the clip is moved).

Guarantees
- The first variant is the clip itself.
- Variants with the same place in `TRACTS` have the same vocal tract, so that two clips of one speaker keep one voice.

    of_clip = [varied(features, variant) for variant in VARIANTS]      # [T, FRAME_FEATURES] each
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.demo.voice_codec import Array
from tracker_logging.demo.world_features import CEPSTRA, CEPSTRUM, SAMPLE_RATE, STACK, SUB_FEATURES, Features
from tracker_logging.metrics.world import world

NUMBER = 16
TRACTS = (1.0, 0.94, 1.0, 1.07)  # factors of the formants
RATES = (0.85, 1.2)
INTONATIONS = (0.8, 1.3)  # factors of the deviation of log-F0 from its mean
_FFT_SIZE = 1024  # WORLD's at 24 kHz
_TRANSITION = 1_000.0  # Hz, in which a band ends


@dataclass(frozen=True, slots=True)
class Variant:
    """`delay`: WORLD frames of 5 ms added at the beginning; `tract`, `rate` and `intonation` are factors."""

    delay: int = 0
    rate: float = 1.0
    tract: float = 1.0
    intonation: float = 1.0


def _drawn() -> tuple[Variant, ...]:
    choice = random.Random(0)
    others = (
        Variant(
            delay=choice.randrange(STACK),
            rate=choice.uniform(*RATES),
            tract=TRACTS[number % len(TRACTS)],
            intonation=choice.uniform(*INTONATIONS),
        )
        for number in range(1, NUMBER)
    )
    return Variant(), *others


VARIANTS: tuple[Variant, ...] = _drawn()


def varied(analysed: Features, variant: Variant) -> Features:
    """[T, FRAME_FEATURES] -> [T', FRAME_FEATURES], as `analyse` would return for the changed speech."""
    if variant == Variant():
        return analysed
    rows = analysed.reshape(-1, SUB_FEATURES)
    times = np.arange(0, len(rows) - 1 + 1e-9, variant.rate)
    before, share = np.floor(times).astype(int), (times % 1)[:, None]
    after = np.minimum(before + 1, len(rows) - 1)
    moved = rows[before] * (1 - share) + rows[after] * share
    moved[:, 1] = np.round(moved[:, 1])
    moved[:, 0] = moved[:, 0].mean() + variant.intonation * (moved[:, 0] - moved[:, 0].mean())
    moved[:, CEPSTRUM] = warped(moved[:, CEPSTRUM], variant.tract)
    frames = -(-(variant.delay + len(moved)) // STACK)
    padded = np.pad(moved, ((variant.delay, frames * STACK - variant.delay - len(moved)), (0, 0)), mode="edge")
    return padded.reshape(frames, -1)


def warped(cepstra: npt.NDArray[Any], tract: float) -> npt.NDArray[Any]:
    """[N, CEPSTRA] -> [N, CEPSTRA] of the same type, with all formants times `tract`."""
    result: npt.NDArray[Any] = cepstra @ _warp(tract).astype(cepstra.dtype)
    return result


def band_limit(cutoff: float, depth: float) -> Array:
    """[CEPSTRA]: added to mel-cepstra, makes what is above `cutoff` Hz quieter by up to `depth` dB, as a telephone."""
    _, frequencies, to_cepstrum = _spectra()
    attenuation = np.clip((frequencies - cutoff) / _TRANSITION, 0, 1) * depth
    limit: Array = (-attenuation * np.log(10) / 10) @ to_cepstrum
    return limit


@cache
def _warp(factor: float) -> Array:
    """[CEPSTRA, CEPSTRA]: times a mel-cepstrum, that of the envelope with its frequencies times `factor`."""
    basis, frequencies, to_cepstrum = _spectra()
    warped = np.stack([np.interp(frequencies / factor, frequencies, row) for row in basis])
    matrix: Array = warped @ to_cepstrum
    return matrix


@cache
def _spectra() -> tuple[Array, Array, Array]:
    """[CEPSTRA, bins], the log envelope of each mel-cepstral coefficient, linear in it; [bins], in Hz; and
    [bins, CEPSTRA], the coefficients of a log envelope, by least squares on the mel scale."""
    envelopes = world().decode_spectral_envelope(np.eye(CEPSTRA + 1, CEPSTRA, -1), SAMPLE_RATE, _FFT_SIZE)
    basis = np.log(envelopes[1:]) - np.log(envelopes[:1])
    frequencies = np.arange(basis.shape[1]) * SAMPLE_RATE / _FFT_SIZE
    weights = np.sqrt(1 / (700 + frequencies))  # the density of the mel scale
    return basis, frequencies, weights[:, None] * np.linalg.pinv(basis * weights)
