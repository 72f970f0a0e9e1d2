"""Audio for files: float32 of full scale ±1 as 16-bit samples, never normalised.

Guarantees
- Every backend stores the same 16-bit samples: they all come from `to_pcm16`.
- ±1 is ±32767; larger values are clipped; NaN becomes 0 (non-finite samples are counted and logged beside the clip).

    encode_wav(clip)[:4] == b"RIFF"
"""

from __future__ import annotations

import io
import wave

import numpy as np
import numpy.typing as npt

from tracker_logging.events import Clip


def to_pcm16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Samples [n] int16 of `samples` [n] float32, full scale ±1."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    steps: npt.NDArray[np.int16] = np.rint(np.clip(finite, -1.0, 1.0) * 32767.0).astype(np.int16)
    return steps


def encode_wav(clip: Clip) -> bytes:
    """A mono 16-bit WAV file of the clip. Raises ValueError for more than one channel or no sample rate."""
    if clip.samples.ndim != 1 or clip.sample_rate <= 0:
        raise ValueError(f"a clip is [n] at a positive rate, not {clip.samples.shape} at {clip.sample_rate} Hz")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(clip.sample_rate)
        file.writeframes(to_pcm16(clip.samples).astype("<i2").tobytes())
    return buffer.getvalue()


def decode_wav(data: bytes) -> tuple[npt.NDArray[np.int16], int]:
    """Samples [n] int16 and sample rate in Hz of a mono 16-bit WAV file."""
    with wave.open(io.BytesIO(data), "rb") as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError("not a mono 16-bit WAV file")
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.int16), file.getframerate()
