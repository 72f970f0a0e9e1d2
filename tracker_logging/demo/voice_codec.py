"""A codec that keeps voice and speech apart: WORLD features, 2 content and 6 voice codebooks, 25 frames a second.

A clip's voice is one vector, quantised once and repeated in each frame by the last codebooks. The first codebooks
quantise the content, words and intonation. The networks (`voice_net.py`) were trained for voice conversion
(`pretrain/fit_codec.py`), so that content codes hold little information on the speaker.

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
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.demo.quantizer import dequantise, quantise
from tracker_logging.demo.voice_net import OF_VOICE, VOICING, VoiceNet
from tracker_logging.demo.world_features import (
    FRAME_FEATURES,
    FRAME_SAMPLES,
    SAMPLE_RATE,
    STACK,
    SUB_FEATURES,
    Features,
    analyse,
    synthesise,
)

FILE_NAME = "voice_codec.npz"
CODEBOOK_SIZE = 256
SMOOTHING = 25  # frames over which decoded voices are averaged
CONTENT, VOICE = "content_codebooks", "voice_codebooks"  # arrays: [K, CODEBOOK_SIZE, vector size] float32
_FEW = 10  # voiced frames of 5 ms

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Stored = Mapping[str, npt.NDArray[Any]]


class VoiceCodec:
    """See `AudioCodec`. Calls from several threads are serialised."""

    sample_rate = SAMPLE_RATE
    frame_rate = SAMPLE_RATE / FRAME_SAMPLES
    codebook_size = CODEBOOK_SIZE

    def __init__(self, arrays: Stored) -> None:
        """`arrays`: the state of `VoiceNet`, in any float type, and the arrays `CONTENT` and `VOICE`."""
        self._stored = dict(arrays)
        self._content, self._voice = (arrays[name].astype(np.float64) for name in (CONTENT, VOICE))
        with torch.device("meta"):  # without random weights, which would change the caller's random state
            self._net = VoiceNet()
        state = {name: torch.from_numpy(array) for name, array in arrays.items() if name not in (CONTENT, VOICE)}
        wide = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
        self._net.load_state_dict(wide, assign=True)
        self._net.eval().requires_grad_(False)
        self.content_codebooks = len(self._content)
        self.num_codebooks = self.content_codebooks + len(self._voice)
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
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
        frames, means = _tensors(analysed)
        vectors = self._net.content(frames, means, torch.ones(1, len(analysed)))[0]
        content = quantise(vectors.numpy().astype(np.float64), self._content)
        voice = self.voice_codes(self.voice(analysed))
        return np.concatenate([content, np.repeat(voice[:, None], len(analysed), axis=1)])

    def voice(self, analysed: Features) -> Array:
        """[T, FRAME_FEATURES] with T > 0 -> [VOICE_SIZE]: the speaker, before quantisation."""
        frames, means = _tensors(analysed)
        vector = self._net.voice(frames, means, torch.ones(1, len(analysed)))[0]
        return vector.numpy().astype(np.float64)

    def voice_codes(self, voice: Array) -> Codes:
        """[VOICE_SIZE] -> [K - content_codebooks]."""
        return quantise(voice[None], self._voice)[:, 0]

    def decode(self, codes: Codes) -> npt.NDArray[np.float32]:
        """codes [K, T] int64 -> [T * 960] float32 at 24 kHz."""
        with self._lock:
            return synthesise(self.features(codes))

    def features(self, codes: Codes) -> Features:
        """codes [K, T] int64 -> [T, FRAME_FEATURES] float64, as of `analyse`."""
        if codes.shape[1] == 0:
            return np.zeros((0, FRAME_FEATURES))
        content = dequantise(codes[: self.content_codebooks], self._content)
        voices = _averaged(dequantise(codes[self.content_codebooks :], self._voice))
        content_vectors, voice_vectors = (torch.from_numpy(each[None]).float() for each in (content, voices))
        frames = self._net.decode(content_vectors, voice_vectors, torch.ones(1, codes.shape[1]))
        return frames[0].flatten(1).numpy().astype(np.float64)

    def __reduce__(self) -> tuple[Callable[..., VoiceCodec], tuple[Stored]]:
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
            return cls(dict(arrays))


def voice_means(analysed: npt.NDArray[np.floating]) -> Array:
    """[T, FRAME_FEATURES] or [N, SUB_FEATURES] -> [len(OF_VOICE)]: mean log-F0 and cepstrum of the voiced WORLD
    frames, else of the louder half."""
    rows = analysed.reshape(-1, SUB_FEATURES)
    chosen = rows[:, VOICING] > 0.5
    if chosen.sum() < _FEW:
        chosen = rows[:, OF_VOICE[1]] >= np.median(rows[:, OF_VOICE[1]])
    means: Array = rows[chosen][:, list(OF_VOICE)].mean(axis=0).astype(np.float64)
    return means


def _tensors(analysed: Features) -> tuple[torch.Tensor, torch.Tensor]:
    """[1, T, STACK, SUB_FEATURES] and [1, len(OF_VOICE)] float32."""
    frames = torch.from_numpy(analysed.reshape(1, len(analysed), STACK, SUB_FEATURES)).float()
    return frames, torch.from_numpy(voice_means(analysed)[None]).float()


def _averaged(rows: Array) -> Array:
    """The mean of up to `SMOOTHING` rows around each."""
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    here = np.arange(len(rows))
    first, last = np.maximum(0, here - SMOOTHING // 2), np.minimum(len(rows), here + SMOOTHING // 2 + 1)
    averaged: Array = (sums[last] - sums[first]) / (last - first)[:, None]
    return averaged
