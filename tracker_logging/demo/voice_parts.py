"""The codes of a clip's voice, a part of them in each frame, and back.

A voice is a vector: style, mean pitch, energy and loudness. It is projected on the directions in which voices differ
most audibly, and these are dealt out to `PARTS` parts, each of which has codebooks of its own. Frame t has the codes of
part t modulo `PARTS`, so all parts come in 0.6 seconds. The codes of the first codebook tell the part.

    codes = repeated(parts.codes(voice), frames)    # [VOICE_SIZE] -> [K, frames]
    voice = parts.restored(codes)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.demo.quantizer import dequantise, fit_residual, quantise, without

CODEBOOK_SIZE = 256
CODEBOOKS = 4
PARTS, PART_SIZE = 12, 10
FIRST_CODES = CODEBOOK_SIZE // PARTS  # of each part, in the first codebook
MEAN, ANALYSIS, SYNTHESIS, FIRST, OTHERS = ARRAYS = (
    *("voice_mean", "voice_analysis", "voice_synthesis", "first_voice_codebooks", "voice_codebooks"),
)
"""[VOICE_SIZE], [PARTS * PART_SIZE, VOICE_SIZE], [VOICE_SIZE, PARTS * PART_SIZE], [PARTS, FIRST_CODES, PART_SIZE],
[PARTS, CODEBOOKS - 1, CODEBOOK_SIZE, PART_SIZE], all float32."""

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class VoiceParts:
    """Residual codebooks of each part: a first one, in which each part has codes of its own, and others."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """`arrays`: those named by `ARRAYS`, among others."""
        self.mean, self._analysis, self._synthesis, self._first, self._others = (
            arrays[name].astype(np.float64) for name in ARRAYS
        )

    def codes(self, voice: Array) -> Codes:
        """[VOICE_SIZE] -> [CODEBOOKS, PARTS]."""
        vectors = (self._analysis @ (voice - self.mean)).reshape(PARTS, PART_SIZE)
        codes = []
        for part, vector in enumerate(vectors):
            first = quantise(vector[None], self._first[part][None])
            lacking = vector[None] - dequantise(first, self._first[part][None])
            codes.append(np.concatenate([first + part * FIRST_CODES, quantise(lacking, self._others[part])]))
        return np.concatenate(codes, axis=1)

    def restored(self, codes: Codes) -> Array:
        """Codes of any frames [CODEBOOKS, T] -> [VOICE_SIZE]: each part's mean over its frames, that of all voices
        without any."""
        vectors = np.zeros((PARTS, PART_SIZE))
        part_of = codes[0] // FIRST_CODES
        for part in np.unique(part_of[part_of < PARTS]):
            of_part = codes[:, part_of == part]
            first = self._first[part][of_part[0] - part * FIRST_CODES]
            vectors[part] = (first + dequantise(of_part[1:], self._others[part])).mean(axis=0)
        restored: Array = self.mean + self._synthesis @ vectors.reshape(-1)
        return restored


def fit_parts(voices: Array, metric: Array, *, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """`voices` [N, VOICE_SIZE]; `metric` [VOICE_SIZE, VOICE_SIZE], invertible: two voices are as unlike as the products
    with it are far from each other. Returns `ARRAYS`."""
    mean = voices.mean(axis=0)
    audible = (voices - mean) @ metric.T
    directions = np.linalg.eigh(audible.T @ audible)[1].T[::-1][: PARTS * PART_SIZE]
    basis = directions.reshape(PART_SIZE, PARTS, -1).swapaxes(0, 1).reshape(PARTS * PART_SIZE, -1)  # dealt out in turn
    first, others = [], []
    for vectors in (audible @ basis.T).reshape(len(voices), PARTS, PART_SIZE).swapaxes(0, 1):
        first.append(fit_residual(vectors, codebooks=1, size=FIRST_CODES, seed=seed))
        lacking = without(vectors, first[-1])
        others.append(fit_residual(lacking, codebooks=CODEBOOKS - 1, size=CODEBOOK_SIZE, seed=seed))
    fitted = {
        MEAN: mean,
        ANALYSIS: basis @ metric,
        SYNTHESIS: np.linalg.solve(metric, basis.T),
        FIRST: np.concatenate(first),
        OTHERS: np.stack(others),
    }
    return {name: values.astype(np.float32) for name, values in fitted.items()}


def repeated(codes: Codes, frames: int) -> Codes:
    """[K, PARTS] -> [K, frames]."""
    return codes[:, np.arange(frames) % PARTS]
