"""F0 and spectral envelope by the WORLD vocoder's analysis (Morise et al. 2016), every 5 ms. Needs pyworld."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracker_logging.events import FloatArray
from tracker_logging.metrics.distance import Array, mel_cepstrum
from tracker_logging.metrics.world import world

_RATE = 24_000


class WorldPitchTracker:
    """DIO refined by StoneMask, 71 to 800 Hz."""

    name = "world"

    def __init__(self) -> None:
        self._world = world()

    def track(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        f0, _ = _pitch(self._world, wave.astype(np.float64), sample_rate)
        return np.where(f0 > 0, f0, np.nan).astype(np.float32)


class WorldCepstrum:
    """CheapTrick's envelope as mel-cepstrum (see `metrics.distance`)."""

    name = "world"

    def __init__(self) -> None:
        self._world = world()

    def analyse(self, wave: FloatArray, sample_rate: int) -> Array:
        """[n] float32 -> [frames, 35] float64."""
        import soxr

        resampled = wave if sample_rate == _RATE else soxr.resample(wave, sample_rate, _RATE)
        samples = np.asarray(resampled, dtype=np.float64)
        f0, times = _pitch(self._world, samples, _RATE)
        return mel_cepstrum(self._world.cheaptrick(samples, f0, times, _RATE))


def _pitch(functions: Any, samples: Array, sample_rate: int) -> tuple[Array, Array]:
    f0, times = functions.dio(samples, sample_rate)
    return functions.stonemask(samples, f0, times, sample_rate), times
