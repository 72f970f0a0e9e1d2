"""The demo's codec: WORLD features, PCA, residual k-means. 24 kHz, 25 frames a second, no downloaded weights.

Guarantees
- Implements `AudioCodec`; `identity` is a hash of everything that determines the codes.
- The same clips give the same codec; `load` restores exactly what `save` wrote.
- Level is kept: the cepstrum contains the loudness, nothing is normalised.
- `load_codec` opens a saved one (`saved_codec.py`).

    codec = WorldCodec.fit([analyse(wave), ...])
    codec.decode(codec.encode(wave))
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker_logging.demo.quantizer import dequantise, fit_residual, quantise
from tracker_logging.demo.world_features import (
    CEPSTRA,
    FRAME_FEATURES,
    FRAME_SAMPLES,
    SAMPLE_RATE,
    STACK,
    Features,
    analyse,
    synthesise,
)

FILE_NAME = "world_codec.npz"
CODEBOOKS = 4
CODEBOOK_SIZE = 256
COMPONENTS = 64
# Weights of the errors in the WORLD features, after scaling to unit variance.
F0_WEIGHT, VOICING_WEIGHT, CEPSTRUM_WEIGHT, BAND_WEIGHT = 2.0, 2.0, 1.0, 0.5

Array = npt.NDArray[np.float64]


class WorldCodec:
    """See `AudioCodec`. Calls from several threads are serialised."""

    sample_rate = SAMPLE_RATE
    frame_rate = SAMPLE_RATE / FRAME_SAMPLES

    def __init__(self, *, mean: Array, projection: Array, unprojection: Array, codebooks: Array) -> None:
        """`mean` [D], `projection` [D, C], `unprojection` [C, D], `codebooks` [K, size, C], with C components."""
        self._arrays = {
            "mean": mean,
            "projection": projection,
            "unprojection": unprojection,
            "codebooks": codebooks,
        }
        self.num_codebooks, self.codebook_size = codebooks.shape[:2]
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in self._arrays.values()))
        self.identity = f"world-codec:{digest.hexdigest()[:16]}"
        self._lock = threading.Lock()

    @classmethod
    def fit(cls, analysed: Sequence[Features], *, seed: int = 0) -> WorldCodec:
        """From the output of `analyse` for clips of at least 30 s in total: arrays of [T, FRAME_FEATURES] float64."""
        stacked = np.concatenate(analysed)
        mean, scale = stacked.mean(axis=0), stacked.std(axis=0) + 1e-6
        weight = _weights() / scale
        _, _, axes = np.linalg.svd((stacked - mean) * weight, full_matrices=False)
        axes = axes[:COMPONENTS]
        projection, unprojection = weight[:, None] * axes.T, axes / weight
        vectors = (stacked - mean) @ projection
        codebooks = fit_residual(vectors, codebooks=CODEBOOKS, size=CODEBOOK_SIZE, seed=seed)
        return cls(mean=mean, projection=projection, unprojection=unprojection, codebooks=codebooks)

    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """[n] float32 at 24 kHz -> codes [K, ceil(n / 960)] int64."""
        with self._lock:
            return self.quantised(analyse(wave))

    def quantised(self, analysed: Features) -> npt.NDArray[np.int64]:
        """The output of `analyse` for a clip, [T, FRAME_FEATURES] float64 -> codes [K, T] int64."""
        vectors = (analysed - self._arrays["mean"]) @ self._arrays["projection"]
        return quantise(vectors, self._arrays["codebooks"])

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """codes [K, T] int64 -> [T * 960] float32 at 24 kHz."""
        with self._lock:
            vectors = dequantise(codes, self._arrays["codebooks"])
            return synthesise(vectors @ self._arrays["unprojection"] + self._arrays["mean"])

    def __reduce__(self) -> tuple[Callable[..., WorldCodec], tuple[dict[str, Array]]]:
        """Pickled as its arrays, because a lock cannot be sent to another process."""
        return _of_arrays, (self._arrays,)

    def save(self, directory: Path) -> None:
        """Into `directory / FILE_NAME`."""
        directory.mkdir(parents=True, exist_ok=True)
        np.savez(directory / FILE_NAME, **self._arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, directory: Path) -> WorldCodec:
        """From a directory that `save` wrote to."""
        with np.load(directory / FILE_NAME) as arrays:
            return cls(**{name: arrays[name] for name in ("mean", "projection", "unprojection", "codebooks")})


def _of_arrays(arrays: dict[str, Array]) -> WorldCodec:
    return WorldCodec(**arrays)


def _weights() -> Array:
    """[FRAME_FEATURES]: the weight of each feature of a stacked frame."""
    weights = np.concatenate([[F0_WEIGHT, VOICING_WEIGHT], _cepstrum_weights()])
    bands = FRAME_FEATURES // STACK - len(weights)
    return np.tile(np.concatenate([weights, np.full(bands, BAND_WEIGHT)]), STACK)


def _cepstrum_weights() -> Array:
    """Decreasing with the order, so that the envelope's shape counts more than its fine structure."""
    return CEPSTRUM_WEIGHT / np.sqrt(1 + np.arange(CEPSTRA) / 4)
