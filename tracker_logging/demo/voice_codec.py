"""A codec that keeps speaker and speech apart: WORLD features, 5 content and 3 speaker codebooks, 25 frames a second.

What a clip's frames have in common (mean log-F0 and mean mel-cepstrum of its voiced frames) is its speaker vector. It
is quantised once and repeated in each frame by the last codebooks. The first codebooks quantise what is left.

Guarantees
- Implements `AudioCodec`; `identity` is a hash of everything that determines the codes.
- `load` restores exactly what `save` wrote. Level is kept.

    codec = VoiceCodec.load(directory)
    codec.decode(codec.encode(wave))
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker_logging.demo.quantizer import dequantise, quantise
from tracker_logging.demo.world_features import (
    CEPSTRA,
    FRAME_FEATURES,
    FRAME_SAMPLES,
    SAMPLE_RATE,
    SUB_FEATURES,
    Features,
    analyse,
    synthesise,
)

FILE_NAME = "voice_codec.npz"
CODEBOOK_SIZE = 256
SPEAKER_LEVELS = ((16, 16), (6, 6, 6), (4, 4, 4, 4))  # of the speaker vector's axes, by codebook
SPEAKER_AXES = sum(len(levels) for levels in SPEAKER_LEVELS)
SPEAKER_FEATURES = 1 + CEPSTRA
RANGE = 2.2  # standard deviations of the speaker vector's axes on both sides of the mean
SMOOTHING = 25  # frames over which decoded speaker vectors are averaged
_OF_SPEAKER = [0, *range(2, 2 + CEPSTRA)]  # log-F0 and cepstrum among the features of a WORLD frame
ARRAYS = (
    "speaker_mean",  # [SPEAKER_FEATURES]
    "speaker_axes",  # [SPEAKER_FEATURES, SPEAKER_AXES], to coordinates of unit variance
    "speaker_inverse",  # [SPEAKER_AXES, SPEAKER_FEATURES]
    "mean",  # [FRAME_FEATURES]
    "projection",  # [FRAME_FEATURES, C]
    "unprojection",  # [C, FRAME_FEATURES]
    "codebooks",  # [K, CODEBOOK_SIZE, C]
)

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class VoiceCodec:
    """See `AudioCodec`. Calls from several threads are serialised."""

    sample_rate = SAMPLE_RATE
    frame_rate = SAMPLE_RATE / FRAME_SAMPLES
    codebook_size = CODEBOOK_SIZE

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.floating]]) -> None:
        self._stored = {name: np.asarray(arrays[name], dtype=np.float32) for name in ARRAYS}
        self.arrays: dict[str, Array] = {name: array.astype(np.float64) for name, array in self._stored.items()}
        self.content_codebooks = len(self.arrays["codebooks"])
        self.num_codebooks = self.content_codebooks + len(SPEAKER_LEVELS)
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in self._stored.values()))
        self.identity = f"voice-codec:{digest.hexdigest()[:16]}"
        self._lock = threading.Lock()

    def encode(self, wave: npt.NDArray[np.float32]) -> Codes:
        """[n] float32 at 24 kHz -> codes [K, ceil(n / 960)] int64."""
        with self._lock:
            return self.quantised(analyse(wave))

    def quantised(self, analysed: Features) -> Codes:
        """The output of `analyse` for a clip, [T, FRAME_FEATURES] float64 -> codes [K, T] int64."""
        if len(analysed) == 0:
            return np.zeros((self.num_codebooks, 0), dtype=np.int64)
        speaker = speaker_codes(self.coordinates(analysed))
        vector = self._speaker_vector(speaker_coordinates(speaker[:, None]))
        vectors = (shifted(analysed, -vector) - self.arrays["mean"]) @ self.arrays["projection"]
        content = quantise(vectors, self.arrays["codebooks"])
        return np.concatenate([content, np.repeat(speaker[:, None], len(analysed), axis=1)])

    def coordinates(self, analysed: Features) -> Array:
        """[T, FRAME_FEATURES] -> [SPEAKER_AXES]: the clip's speaker vector in axes of unit variance."""
        return (speaker_vector(analysed) - self.arrays["speaker_mean"]) @ self.arrays["speaker_axes"]

    def decode(self, codes: Codes) -> npt.NDArray[np.float32]:
        """codes [K, T] int64 -> [T * 960] float32 at 24 kHz."""
        with self._lock:
            return synthesise(self.features(codes))

    def features(self, codes: Codes) -> Features:
        """codes [K, T] int64 -> [T, FRAME_FEATURES] float64, as of `analyse`."""
        if codes.shape[1] == 0:
            return np.zeros((0, FRAME_FEATURES))
        content = dequantise(codes[: self.content_codebooks], self.arrays["codebooks"])
        speaker = self._speaker_vector(_averaged(speaker_coordinates(codes[self.content_codebooks :])))
        return shifted(content @ self.arrays["unprojection"] + self.arrays["mean"], speaker)

    def _speaker_vector(self, coordinates: Array) -> Array:
        """[T, SPEAKER_AXES] -> [T, SPEAKER_FEATURES]."""
        return coordinates @ self.arrays["speaker_inverse"] + self.arrays["speaker_mean"]

    def __reduce__(self) -> tuple[Callable[..., VoiceCodec], tuple[dict[str, npt.NDArray[np.float32]]]]:
        """Pickled as its arrays, because a lock cannot be sent to another process."""
        return VoiceCodec, (self._stored,)

    def save(self, directory: Path) -> None:
        """Into `directory / FILE_NAME`."""
        directory.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(directory / FILE_NAME, **self._stored)  # type: ignore[arg-type]

    @classmethod
    def load(cls, directory: Path) -> VoiceCodec:
        """From a directory that `save` wrote to."""
        with np.load(directory / FILE_NAME) as arrays:
            return cls({name: arrays[name] for name in ARRAYS})


def speaker_vector(analysed: Features) -> Array:
    """[T, FRAME_FEATURES] -> [SPEAKER_FEATURES]: mean log-F0 and cepstrum of the voiced WORLD frames, else of the
    louder half."""
    rows = analysed.reshape(-1, SUB_FEATURES)
    chosen = rows[:, 1] > 0.5
    if chosen.sum() < 10:
        chosen = rows[:, 2] >= np.median(rows[:, 2])
    mean: Array = rows[chosen][:, _OF_SPEAKER].mean(axis=0)
    return mean


def shifted(analysed: Features, by: Array) -> Features:
    """The frames with `by` ([SPEAKER_FEATURES], or one row for each frame) added to log-F0 and cepstrum."""
    rows = analysed.reshape(len(analysed), -1, SUB_FEATURES).copy()
    rows[:, :, _OF_SPEAKER] += np.atleast_2d(by)[:, None, :]
    return rows.reshape(analysed.shape)


def speaker_codes(coordinates: Array) -> Codes:
    """[SPEAKER_AXES] -> [codebooks]: the cell of a uniform grid, as a mixed-radix number for each codebook."""
    codes, axis = [], 0
    for levels in SPEAKER_LEVELS:
        code = 0
        for count in levels:
            cell = int(np.clip((coordinates[axis] + RANGE) / (2 * RANGE) * count, 0, count - 1))
            code, axis = code * count + cell, axis + 1
        codes.append(code)
    return np.array(codes, dtype=np.int64)


def speaker_coordinates(codes: Codes) -> Array:
    """[codebooks, T] -> [T, SPEAKER_AXES]: the middle of each cell. Codes without a cell are read as the last."""
    columns = []
    for code, levels in zip(codes, SPEAKER_LEVELS, strict=True):
        rest = np.minimum(code, int(np.prod(levels)) - 1)
        axes = []
        for count in reversed(levels):
            rest, cell = np.divmod(rest, count)
            axes.append((cell + 0.5) / count * 2 * RANGE - RANGE)
        columns += reversed(axes)
    return np.stack(columns, axis=1)


def _averaged(rows: Array) -> Array:
    """The mean of up to `SMOOTHING` rows around each."""
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    here = np.arange(len(rows))
    first, last = np.maximum(0, here - SMOOTHING // 2), np.minimum(len(rows), here + SMOOTHING // 2 + 1)
    averaged: Array = (sums[last] - sums[first]) / (last - first)[:, None]
    return averaged
