"""A mel spectrogram in decibels of full scale, in numpy only.

Guarantees
- 0 dB is a sine of full scale (±1) to within 2 dB; nothing is normalised to the clip, so that clips can be compared.
- Frame `i` is centred on `i * HOP_S` seconds; the edges are padded with silence.
- A window that holds a non-finite sample gives a column of NaN.

    >>> mel_db(np.zeros(24_000, np.float32), sample_rate=24_000).shape
    (80, 101)

Definition: Hann window of 40 ms every 10 ms; power |X|² / (Σw / 2)²; triangles of height 1, evenly spaced on the mel
scale of O'Shaughnessy (1987), 2595 · log10(1 + f / 700), as in HTK; 10 · log10, floored at -100 dB.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

WINDOW_S = 0.040
HOP_S = 0.010
BANDS = 80
FLOOR_DB = -100.0


def hz_to_mel(hz: float) -> float:
    """The mel value of a frequency in Hz (O'Shaughnessy 1987)."""
    return 2595.0 * math.log10(1.0 + hz / 700.0)


def mel_to_hz(mel: float) -> float:
    """The frequency in Hz of a mel value; the inverse of `hz_to_mel`."""
    hz: float = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return hz


def mel_db(
    samples: npt.NDArray[np.float32], *, sample_rate: int, bands: int = BANDS, high_hz: float | None = None
) -> npt.NDArray[np.float32]:
    """Mel spectrogram [bands, 1 + n // hop] float32 in dB of `samples` [n] at `sample_rate` Hz, lowest band first.

    `high_hz` is the upper edge of the highest band (None: half the sample rate). An empty clip gives one frame of
    silence. Raises ValueError for more than one channel.
    """
    if samples.ndim != 1:
        raise ValueError(f"mel_db takes one channel [n], not {samples.shape}")
    window = max(2, round(WINDOW_S * sample_rate))
    hop = max(1, round(HOP_S * sample_rate))
    size = 1 << (window - 1).bit_length()
    padded = np.pad(np.asarray(samples, dtype=np.float32), (window // 2, window))
    count = 1 + len(samples) // hop
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[: count * hop : hop]
    hann = np.hanning(window).astype(np.float32)
    spectrum = np.fft.rfft(frames * hann, n=size, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) / np.float32((float(hann.sum()) / 2.0) ** 2)
    filters = _triangles(sample_rate, size, bands, min(high_hz or sample_rate / 2, sample_rate / 2))
    energy = power @ filters.T
    decibels: npt.NDArray[np.float32] = (10.0 * np.log10(np.maximum(energy, 10.0 ** (FLOOR_DB / 10.0)))).T.astype(
        np.float32
    )
    return decibels


@lru_cache(maxsize=16)
def _triangles(sample_rate: int, size: int, bands: int, high_hz: float) -> npt.NDArray[np.float32]:
    """Filters [bands, size // 2 + 1] with peak 1 at evenly spaced mels."""
    edges = np.array([mel_to_hz(mel) for mel in np.linspace(0.0, hz_to_mel(high_hz), bands + 2)])
    bins = np.arange(size // 2 + 1) * sample_rate / size
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    nearest = np.rint(edges[1:-1] * size / sample_rate).astype(int)
    narrow = triangles.max(axis=1) < 0.5  # at low frequencies a band may be narrower than one bin
    triangles[narrow, nearest[narrow]] = 1.0
    bank: npt.NDArray[np.float32] = triangles.astype(np.float32)
    return bank
