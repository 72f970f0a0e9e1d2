"""Speech as WORLD features, eight 5-ms frames stacked into one 40-ms codec frame, and back.

Guarantees
- [n] samples at 24 kHz <-> [T, 240] float64 with T = ceil(n / 960): per 5 ms log-F0, voicing, 25 mel-cepstral
  coefficients and 3 band aperiodicities.
- Unvoiced frames have an interpolated log-F0, so that F0 is continuous and voicing alone marks them.

    stacked = analyse(wave)         # [T, FRAME_FEATURES]
    wave = synthesise(stacked)      # [T * 960]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.data.sample import DataError
from tracker_logging.metrics.world import world

SAMPLE_RATE = 24_000  # Hz
FRAME_SAMPLES = 960  # 40 ms
STACK = 8  # WORLD frames of 5 ms in one codec frame
FRAME_MS = 5.0
CEPSTRA = 25
BANDS = 3  # WORLD's aperiodicity bands at 24 kHz
SUB_FEATURES = 2 + CEPSTRA + BANDS
CEPSTRUM = slice(2, 2 + CEPSTRA)  # of a WORLD frame
FRAME_FEATURES = STACK * SUB_FEATURES
F0_FLOOR, F0_CEILING = 60.0, 500.0  # Hz
DEFAULT_F0 = 120.0  # Hz, for a clip without voiced frames

Features = npt.NDArray[np.float64]
Wave = npt.NDArray[np.float32]


def analyse(wave: Wave) -> Features:
    """[n] float32 at 24 kHz -> [ceil(n / 960), FRAME_FEATURES] float64."""
    frames = -(-len(wave) // FRAME_SAMPLES)
    if frames == 0:
        return np.zeros((0, FRAME_FEATURES))
    vocoder = _vocoder()
    signal = np.pad(wave.astype(np.float64), (0, frames * FRAME_SAMPLES - len(wave)))
    coarse, times = vocoder.dio(signal, SAMPLE_RATE, f0_floor=F0_FLOOR, f0_ceil=F0_CEILING, frame_period=FRAME_MS)
    f0 = vocoder.stonemask(signal, coarse, times, SAMPLE_RATE)
    envelope = vocoder.cheaptrick(signal, f0, times, SAMPLE_RATE)
    aperiodicity = vocoder.d4c(signal, f0, times, SAMPLE_RATE)
    cepstrum = vocoder.code_spectral_envelope(envelope, SAMPLE_RATE, CEPSTRA)
    bands = vocoder.code_aperiodicity(aperiodicity, SAMPLE_RATE)
    voiced = (f0 > 0).astype(np.float64)
    rows = np.column_stack([_continuous_log_f0(f0), voiced, cepstrum, bands])
    return rows[: frames * STACK].reshape(frames, FRAME_FEATURES)


def synthesise(stacked: Features) -> Wave:
    """[T, FRAME_FEATURES] -> [T * 960] float32 at 24 kHz, never normalised."""
    frames = len(stacked)
    if frames == 0:
        return np.zeros(0, dtype=np.float32)
    vocoder = _vocoder()
    rows = stacked.reshape(frames * STACK, SUB_FEATURES)
    f0 = np.where(rows[:, 1] > 0.5, np.exp(np.clip(rows[:, 0], np.log(F0_FLOOR), np.log(F0_CEILING))), 0.0)
    size = vocoder.get_cheaptrick_fft_size(SAMPLE_RATE)
    envelope = vocoder.decode_spectral_envelope(np.ascontiguousarray(rows[:, CEPSTRUM]), SAMPLE_RATE, size)
    bands = np.ascontiguousarray(np.clip(rows[:, 2 + CEPSTRA :], -60.0, 0.0))  # dB
    aperiodicity = vocoder.decode_aperiodicity(bands, SAMPLE_RATE, size)
    wave = vocoder.synthesize(f0, envelope, aperiodicity, SAMPLE_RATE, FRAME_MS)
    return _exactly(wave, frames * FRAME_SAMPLES)


def _vocoder() -> Any:
    try:
        return world()
    except ImportError as error:
        raise DataError("The demo's codec needs pyworld. Install it: pip install 'tracker-logging[voice]'.") from error


def _continuous_log_f0(f0: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    voiced = np.flatnonzero(f0 > 0)
    if len(voiced) == 0:
        return np.full(len(f0), np.log(DEFAULT_F0))
    return np.interp(np.arange(len(f0)), voiced, np.log(f0[voiced]))


def _exactly(wave: npt.NDArray[np.float64], length: int) -> Wave:
    return np.pad(wave[:length], (0, max(0, length - len(wave)))).astype(np.float32)
