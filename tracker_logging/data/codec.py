"""The protocol of audio codecs: a waveform to discrete codes and back.

codec.decode(codec.encode(wave))     # [n] float32, the codec's copy of `wave`
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


@runtime_checkable
class AudioCodec(Protocol):
    """Waveform to codes and back. `encode` and `decode` run on any thread, one call at a time."""

    sample_rate: int  # Hz
    frame_rate: float  # frames per second
    num_codebooks: int
    codebook_size: int  # codes per codebook, without begin and end codes

    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """[n] float32 at `sample_rate` -> codes [K, T] int64 in [0, codebook_size)."""

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """codes [K, T] int64 -> [n] float32 at `sample_rate`."""


class IdentifiedCodec(AudioCodec, Protocol):
    """A codec with an `identity`: codecs of equal identity give equal codes."""

    identity: str
