"""Mel-cepstral distortion of a clip against a parallel recording, and the time alignment that it rests on.

Guarantees
- Only for two recordings of the *same text*. It measures the spectral envelope, hence recording and delivery as much as
  voice; it is not a speaker similarity.
- Level does not matter (c0 is left out): a gain change has distortion 0.

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

    cost = cdist(generated[:, 1:], recorded[:, 1:])
    _, backwards = dtw(C=cost)
    path = backwards[::-1]
    return Alignment(
        mcd_db=float(_TO_DB * cost[path[:, 0], path[:, 1]].mean()),
        path=path / np.array([len(generated), len(recorded)], dtype=np.float64),
    )


def mel_cepstrum(power: Array) -> Array:
    """Power envelope [frames, bins] at 24 kHz, bins from 0 Hz to half the rate -> [frames, ORDER + 1]."""
    bins = power.shape[1]
    cepstrum = np.fft.irfft(np.log(np.maximum(power, _LEAST_POWER)), axis=1)[:, :bins]
    cepstrum[:, 0] /= 2.0
    warped: Array = cepstrum @ _warp(bins).T
    return warped


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
