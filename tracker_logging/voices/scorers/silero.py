"""Voice activity by Silero VAD (MIT), from the ONNX model inside the silero-vad package.

The package itself is not imported: its import sets torch to one thread, which would slow training down.
"""

from __future__ import annotations

import numpy as np

from tracker_logging.events import FloatArray
from tracker_logging.voices.scorers.onnx import RATE, at_16_khz, package_folder, session

_FRAME, _CONTEXT = 512, 64
_SPEECH = 0.5


class SileroSpeechDetector:
    """Seconds of the 32-ms frames whose speech probability is at least 0.5. Needs silero-vad and onnxruntime."""

    name = "silero"

    def __init__(self) -> None:
        self._session = session(package_folder("silero_vad") / "data" / "silero_vad.onnx")

    def speech_s(self, wave: FloatArray, sample_rate: int) -> float:
        probabilities = self.probabilities(at_16_khz(wave, sample_rate))
        return min(len(wave) / sample_rate, float((probabilities >= _SPEECH).sum()) * _FRAME / RATE)

    def probabilities(self, samples: FloatArray) -> FloatArray:
        """[n] float32 at 16 kHz -> [ceil(n / 512)] probability of speech."""
        padded = np.pad(samples, (_CONTEXT, -len(samples) % _FRAME)).astype(np.float32)
        state = np.zeros((2, 1, 128), dtype=np.float32)
        outputs = []
        for start in range(0, len(padded) - _CONTEXT, _FRAME):
            frame = padded[None, start : start + _CONTEXT + _FRAME]
            output, state = self._session.run(None, {"input": frame, "state": state, "sr": np.array(RATE)})
            outputs.append(output[0, 0])
        return np.array(outputs, dtype=np.float32)
