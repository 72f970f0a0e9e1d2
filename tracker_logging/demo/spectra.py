"""Log spectra of speech, as the networks of `VoiceCodec` read them: one row for each 12.5 ms.

A row has a mel spectrum of a short window, in which sounds are sharp in time, and the lowest bins of a longer one, in
which the harmonics of low voices are apart.

    rows = spectra(wave)        # [ceil(n / 1200) * 4, SPECTRUM_SIZE] float32
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from tracker_logging.demo.kokoro import ROW_SAMPLES, SAMPLE_RATE, Wave

FRAME_SAMPLES = 1_200  # 50 ms: a frame of codes
ROWS = FRAME_SAMPLES // ROW_SAMPLES  # in a frame
MELS, BINS = 80, 64
SPECTRUM_SIZE = MELS + BINS
_WINDOW, _LONG_WINDOW = 1_024, 2_048  # samples
_FIRST_BIN = 2
_LEAST_MEL, _LEAST_BIN = 1e-4, 1e-3  # magnitudes
_QUIET = 40  # percent of the rows are not in the mean level

Spectra = npt.NDArray[np.float32]


def spectra(wave: Wave) -> Spectra:
    """[n] float32 at 24 kHz -> rows of natural logarithms of magnitudes, of whole frames."""
    padded = np.pad(wave.astype(np.float32), (0, -len(wave) % FRAME_SAMPLES))
    mels = _magnitudes(padded, _WINDOW) @ _mel_filters().T
    bins = _magnitudes(padded, _LONG_WINDOW)[:, _FIRST_BIN : _FIRST_BIN + BINS]
    rows = [np.log(np.maximum(_LEAST_MEL, mels)), np.log(np.maximum(_LEAST_BIN, bins))]
    return np.concatenate(rows, axis=1).astype(np.float32)


def level(rows: Spectra) -> float:
    """[N, SPECTRUM_SIZE], N > 0 -> the mean of the louder rows, which the networks read spectra without."""
    levels = rows[:, :MELS].mean(axis=1)
    return float(levels[levels >= np.percentile(levels, _QUIET)].mean())


def levelled(rows: npt.NDArray[np.floating]) -> Spectra:
    """[N, SPECTRUM_SIZE], N > 0 -> less their level."""
    values = rows.astype(np.float32)
    return values - np.float32(level(values))


def loudness(rows: Spectra) -> float:
    """[N, SPECTRUM_SIZE], N > 0 -> the logarithm of the root of the mean power."""
    return float(0.5 * np.log(np.exp(2 * rows[:, :MELS].astype(np.float64)).sum(axis=1).mean()))


@cache
def frequencies() -> Spectra:
    """Of each value of a row, Hz [SPECTRUM_SIZE]."""
    import librosa

    mels = librosa.mel_frequencies(MELS + 2, fmin=0.0, fmax=SAMPLE_RATE / 2)[1:-1]
    bins = (_FIRST_BIN + np.arange(BINS)) * SAMPLE_RATE / _LONG_WINDOW
    return np.concatenate([mels, bins]).astype(np.float32)


@cache
def _mel_filters() -> Spectra:
    from librosa.filters import mel

    filters: Spectra = mel(sr=SAMPLE_RATE, n_fft=_WINDOW, n_mels=MELS, fmin=0.0, fmax=SAMPLE_RATE / 2)
    return filters


def _magnitudes(wave: Wave, window: int) -> Spectra:
    """[rows, window // 2 + 1]: of windows around the middle of each row."""
    rows = len(wave) // ROW_SAMPLES
    padded = np.pad(wave, window // 2)
    places = np.arange(rows)[:, None] * ROW_SAMPLES + ROW_SAMPLES // 2 + np.arange(window)
    shape = np.hanning(window + 1)[:-1].astype(np.float32)
    magnitudes: Spectra = np.abs(np.fft.rfft(padded[places] * shape, axis=1)).astype(np.float32)
    return magnitudes
