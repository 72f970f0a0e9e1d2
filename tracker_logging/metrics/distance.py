"""Mel-cepstral distortion of a clip against a parallel recording, and the time alignment that it rests on.

Guarantees
- Only for two recordings of the *same text*. It measures the spectral envelope, hence recording and delivery as much as
  voice; it is not a speaker similarity.
- Level does not matter (c0 is left out): a gain change has distortion 0.
- Bandwidth does not matter: two clips are compared up to the narrower band of the two, so that speech from an 8 kHz
  source is not far from itself. Where both reach `FULL_BAND_HZ`, the definition holds unchanged.

Definition (Kubichek 1993, as computed by ESPnet and VERSA): 10 / ln 10 · √(2 Σ_{d=1..D} Δc_d²), mean over the path of
dynamic time warping over the same coefficients. At 24 kHz: order 34, α = 0.46, by the frequency transformation of
Tokuda et al. (1994).

>>> envelope = np.abs(np.random.default_rng(0).normal(size=(20, 513))) + 0.1
>>> round(align(mel_cepstrum(envelope), mel_cepstrum(4 * envelope)).mcd_db, 6)        # the same at another level
0.0
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

ORDER, ALPHA = 34, 0.46
HALF_RATE_HZ = 12_000.0
FULL_BAND_HZ = 10_500.0
_IN_BAND_DB = 65.0  # below the strongest frequency of the mean spectrum; the upper band of speech is 30 to 50 dB below
_GRID = 256  # frequencies, evenly spaced in Hz
_EDGE = 0.85  # of the narrower band: nearer to its end the cepstrum rounds the spectrum off
_TO_DB = 10.0 / np.log(10.0) * np.sqrt(2.0)
_LEAST_POWER = 1e-16

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """`mcd_db`: mean distortion over the path; `path` [P, 2]: positions as shares of each clip's length, ascending."""

    mcd_db: float
    path: Array


def align(generated: Array, recorded: Array) -> Alignment:
    """Align two mel-cepstra [frames, ORDER + 1] of one text."""
    from librosa.sequence import dtw
    from scipy.spatial.distance import cdist

    basis = _basis(min(bandwidth_hz(generated), bandwidth_hz(recorded)))
    cost = cdist(generated[:, 1:] @ basis, recorded[:, 1:] @ basis)
    _, backwards = dtw(C=cost)
    path = backwards[::-1]
    return Alignment(
        mcd_db=float(_TO_DB * cost[path[:, 0], path[:, 1]].mean()),
        path=path / np.array([len(generated), len(recorded)], dtype=np.float64),
    )


def bandwidth_hz(cepstra: Array) -> float:
    """The highest frequency of the mean spectrum that is within 65 dB of the strongest one."""
    frequency, cosines = _spectrum()
    decibels = 2.0 * 10.0 / np.log(10.0) * (cepstra.mean(axis=0) @ cosines.T)
    return float(frequency[np.flatnonzero(decibels >= decibels.max() - _IN_BAND_DB)[-1]])


def mel_cepstrum(power: Array) -> Array:
    """Power envelope [frames, bins] at 24 kHz, bins from 0 Hz to half the rate -> [frames, ORDER + 1]."""
    bins = power.shape[1]
    cepstrum = np.fft.irfft(np.log(np.maximum(power, _LEAST_POWER)), axis=1)[:, :bins]
    cepstrum[:, 0] /= 2.0
    warped: Array = cepstrum @ _warp(bins).T
    return warped


def _basis(band_hz: float) -> Array:
    """[ORDER, features]: features whose distance is √Σ Δc_d² over the full band (Parseval), and over the warped
    frequencies up to `band_hz` the same with the mean difference (the level) taken out."""
    if band_hz >= FULL_BAND_HZ:
        return np.eye(ORDER)
    warped = np.linspace(0.0, float(_warped(np.pi * _EDGE * band_hz / HALF_RATE_HZ)), _GRID)
    cosines = np.cos(np.outer(np.arange(1, ORDER + 1), warped))
    basis: Array = np.sqrt(2.0 / _GRID) * (cosines - cosines.mean(axis=1, keepdims=True))
    return basis


@lru_cache(maxsize=1)
def _spectrum() -> tuple[Array, Array]:
    """Frequencies in Hz [_GRID], and the cosines [_GRID, ORDER + 1] whose sum is half the log power there."""
    frequency = np.linspace(0.0, HALF_RATE_HZ, _GRID)
    return frequency, np.cos(np.outer(_warped(np.pi * frequency / HALF_RATE_HZ), np.arange(ORDER + 1)))


def _warped(angle: npt.ArrayLike) -> Array:
    """The all-pass warping of a frequency in radians."""
    omega = np.asarray(angle, dtype=np.float64)
    result: Array = omega + 2.0 * np.arctan2(ALPHA * np.sin(omega), 1.0 - ALPHA * np.cos(omega))
    return result


@lru_cache(maxsize=2)
def _warp(length: int) -> Array:
    """[ORDER + 1, length]: the frequency transformation of a cepstrum as a matrix (SPTK's `freqt`, by recursion)."""
    identity = np.eye(length)
    state = np.zeros((ORDER + 1, length))
    for index in range(length - 1, -1, -1):
        before = state.copy()
        state[0] = identity[index] + ALPHA * before[0]
        state[1] = (1 - ALPHA**2) * before[0] + ALPHA * before[1]
        for order in range(2, ORDER + 1):
            state[order] = before[order - 1] + ALPHA * (before[order] - state[order - 1])
    return state
