"""DNSMOS P.835 and P.808 (Reddy et al. 2021, 2022; MIT), from the ONNX models inside the speechmos package.

One pass per 9.01 s instead of one per second: a shorter clip is repeated to that length, as the original does.
Known weakness: silence gets a higher score than speech in noise, so only valid clips may be rated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker_logging.events import FloatArray
from tracker_logging.voices.scorers.onnx import RATE, at_16_khz, package_folder, session

_WINDOW = int(9.01 * RATE)
# The polynomials of the published script, from raw outputs to opinion scores.
_CALIBRATION = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


class Dnsmos:
    """`dnsmos_ovrl`, `_sig`, `_bak` and `_p808`. `folder` holds `sig_bak_ovr.onnx` and `model_v8.onnx`."""

    name = "dnsmos"

    def __init__(self, folder: Path | None = None) -> None:
        place = folder or package_folder("speechmos") / "dnsmos_models"
        self._p835 = session(place / "sig_bak_ovr.onnx")
        self._p808 = session(place / "model_v8.onnx")

    def rate(self, wave: FloatArray, sample_rate: int) -> dict[str, float]:
        samples = at_16_khz(wave, sample_rate)
        whole = np.resize(samples, -(-len(samples) // _WINDOW) * _WINDOW)
        passes = [self._rate(window) for window in whole.reshape(-1, _WINDOW)]
        return {name: float(np.mean([scores[name] for scores in passes])) for name in passes[0]}

    def _rate(self, window: FloatArray) -> dict[str, float]:
        raw = self._p835.run(None, {"input_1": window[None]})[0][0]
        scores = {
            name: float(np.polyval(polynomial, value))
            for (name, polynomial), value in zip(_CALIBRATION.items(), raw, strict=True)
        }
        scores["dnsmos_p808"] = float(self._p808.run(None, {"input_1": _mel(window[:-160])[None]})[0][0, 0])
        return scores


def _mel(samples: FloatArray) -> FloatArray:
    """[frames, 120]: mel power in dB below its maximum, scaled by (x + 40) / 40."""
    import librosa

    mel = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=321, hop_length=160, n_mels=120)
    scaled: FloatArray = ((librosa.power_to_db(mel, ref=np.max) + 40.0) / 40.0).T.astype(np.float32)
    return scaled
