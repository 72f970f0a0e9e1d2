"""A codec that keeps voice and speech apart: WORLD features, 2 content, 4 voice and 2 detail codebooks, 25 frames a
second.

- Content: words and intonation, with little information on the speaker. Networks (`voice_net.py`), trained for voice
  conversion (`pretrain/fit_codec.py`), make frames of content and a voice.
- Voice: what is constant in a clip (`voice_parts.py`): the networks' voice, and for each class of sounds the mean of
  what their frames lack of the recording's spectrum.
- Detail: what a frame still lacks.

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
from tracker_logging.demo.voice_parts import CODEBOOK_SIZE, VoiceParts, means_of_sounds, repeated
from tracker_logging.demo.world_features import (
    CEPSTRUM,
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
OF_DETAIL = slice(CEPSTRUM.start + 1, CEPSTRUM.stop)  # the cepstrum without its level
CONTENT, FIRST, NETWORK, SOUNDS, DETAIL = CODEBOOKS = (
    *("content_codebooks", "first_voice_codebooks", "network_voice_codebooks", "sounds_voice_codebooks"),
    "detail_codebooks",
)
"""Arrays: codebooks [K, CODEBOOK_SIZE, vector size] float32; those of voices as of `VoiceParts`."""
CLASS_OF_CODE = "class_of_code"  # array [CODEBOOK_SIZE] int64: of sounds, of each code of the first content codebook
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
        """`arrays`: the state of `VoiceNet`, in any float type, and the arrays named above."""
        self._stored = dict(arrays)
        self._content, first, of_network, of_sounds, self._detail = (
            arrays[name].astype(np.float64) for name in CODEBOOKS
        )
        self._class_of_code = arrays[CLASS_OF_CODE]
        self.parts = VoiceParts(first, of_network, of_sounds)
        with torch.device("meta"):  # without random weights, which would change the caller's random state
            self._net = VoiceNet()
        state = {name: torch.from_numpy(arrays[name]) for name in self._net.state_dict()}
        wide = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
        self._net.load_state_dict(wide, assign=True)
        self._net.eval().requires_grad_(False)
        self.content_codebooks = len(self._content)
        self.num_codebooks = self.content_codebooks + self.parts.codebooks + len(self._detail)
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        self.identity = f"voice-codec:{digest.hexdigest()[:16]}"
        self._lock = threading.Lock()

    def encode(self, wave: npt.NDArray[np.float32]) -> Codes:
        """[n] float32 at 24 kHz -> codes [K, ceil(n / 960)] int64."""
        with self._lock:
            return self.coded(analyse(wave))[0]

    def coded(self, analysed: Features) -> tuple[Codes, Array]:
        """The output of `analyse` for a clip, [T, FRAME_FEATURES] float64 -> codes [K, T] int64, and its voice before
        quantisation, [1 + CLASSES, VOICE_SIZE] float64."""
        if len(analysed) == 0:
            return np.zeros((self.num_codebooks, 0), dtype=np.int64), self.parts.restored(np.zeros((1, 0), np.int64))
        content, of_network, lacking = self.separated(analysed)
        of_sounds = means_of_sounds(lacking, self.classes(content))
        voice = np.concatenate([of_network[None], of_sounds])
        voice_codes = repeated(self.parts.codes(voice), len(analysed))
        detail = lacking - self.parts.restored(voice_codes)[1 + self.classes(content)]
        return np.concatenate([content, voice_codes, quantise(detail, self._detail)]), voice

    def separated(self, analysed: Features) -> tuple[Codes, Array, Array]:
        """[T, FRAME_FEATURES] with T > 0 -> content codes [content_codebooks, T]; the networks' voice [VOICE_SIZE]; and
        what frames of both lack, [T, VOICE_SIZE]."""
        frames, means = _tensors(analysed)
        everywhere = torch.ones(1, len(analysed))
        content = quantise(self._net.content(frames, means, everywhere)[0].numpy().astype(np.float64), self._content)
        voice = self._net.voice(frames, means, everywhere)[0].numpy().astype(np.float64)
        made = self._frames(content, self.parts.restored(self.parts.codes(voice[None]))[0])
        lacking: Array = (analysed.reshape(made.shape) - made)[..., OF_DETAIL].mean(axis=1)
        return content, voice, lacking

    def classes(self, content: Codes) -> Codes:
        """Content codes [content_codebooks, T] -> the class of sounds of each frame [T]."""
        classes: Codes = self._class_of_code[content[0]]
        return classes

    def decode(self, codes: Codes) -> npt.NDArray[np.float32]:
        """codes [K, T] int64 -> [T * 960] float32 at 24 kHz."""
        with self._lock:
            return synthesise(self.features(codes))

    def features(self, codes: Codes) -> Features:
        """codes [K, T] int64 -> [T, FRAME_FEATURES] float64, as of `analyse`."""
        if codes.shape[1] == 0:
            return np.zeros((0, FRAME_FEATURES))
        content, voice_codes, detail = np.split(
            codes, [self.content_codebooks, self.content_codebooks + self.parts.codebooks]
        )
        voice = self.parts.restored(voice_codes)
        frames = self._frames(content, voice[0])
        of_frames = voice[1 + self.classes(content)] + dequantise(detail, self._detail)
        frames[..., OF_DETAIL] += of_frames[:, None]
        return frames.reshape(-1, FRAME_FEATURES)

    def _frames(self, content: Codes, voice: Array) -> Array:
        """Those that the networks make, [T, STACK, SUB_FEATURES]."""
        vectors = torch.from_numpy(dequantise(content, self._content)[None]).float()
        voices = torch.from_numpy(voice).float().expand(1, vectors.shape[1], -1)
        return self._net.decode(vectors, voices, torch.ones(1, vectors.shape[1]))[0].numpy().astype(np.float64)

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
