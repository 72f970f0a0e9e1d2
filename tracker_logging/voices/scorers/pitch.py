"""F0 by swift-f0 (a small neural network, MIT)."""

from __future__ import annotations

import numpy as np

from tracker_logging.events import FloatArray

_VOICED = 0.5


class SwiftF0PitchTracker:
    """Every 16 ms, 47 to 2094 Hz; unvoiced where the network's confidence is under 0.5. Needs swift-f0."""

    name = "swift-f0"

    def __init__(self) -> None:
        from swift_f0 import SwiftF0

        self._detector = SwiftF0(threads=1, spin=False)

    def track(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        result = self._detector.detect(wave, sample_rate)
        return np.where(result.confidence >= _VOICED, result.pitch_hz, np.nan).astype(np.float32)
