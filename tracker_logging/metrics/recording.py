"""How a clip was recorded and cut: bandwidth, noise, silence at its ends, and ends that are cut off.

Guarantees
- Input is [n] float32, full scale ±1, at any sample rate, as `speech` takes it. Nothing is changed.
- Without a frame with sound every value is NaN or False.

>>> recording(np.zeros(24_000, np.float32), 24_000).ends_cut
False
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker_logging.metrics.speech import FRAME_S, HOP_S, Wave, sounding_frames

BELOW_PEAK_DB = 65.0
"""A band this far below the loudest one holds no speech. Resampling leaves 80 dB and more, wide-band noise less."""
BANDS = 96  # of equal width up to half of the sample rate
CUT_DB = 14.0
"""A clip whose first or last 20 ms are within this of its level begins or ends inside a sound."""
_EDGE_S = 0.02
_LOUD_SHARE = 90.0
_QUIET_SHARE = 5.0  # percent of the frames that stand for the noise between the sounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`leading_s` and `trailing_s`: silence before the first and after the last frame with sound. `snr_db`: level of
    the frames with sound over that of the quietest 5 % of the frames between the first and the last of them (a lower
    bound: without pauses, soft sounds count as noise). `bandwidth_hz`: upper end of the highest band within 65 dB of
    the loudest. `starts_cut`, `ends_cut`: the clip begins or ends inside a sound."""

    leading_s: float
    trailing_s: float
    snr_db: float
    bandwidth_hz: float
    starts_cut: bool
    ends_cut: bool


def recording(wave: Wave, sample_rate: int) -> Recording:
    """Measure one clip without its DC offset."""
    samples = wave - wave.mean(dtype=np.float64).astype(np.float32) if len(wave) else wave
    sounding, power = sounding_frames(samples, sample_rate)
    if not sounding.any():
        nan = float("nan")
        return Recording(leading_s=nan, trailing_s=nan, snr_db=nan, bandwidth_hz=nan, starts_cut=False, ends_cut=False)
    first, last = np.flatnonzero(sounding)[[0, -1]]
    level = float(power[sounding].mean())
    noise = float(np.percentile(power[first : last + 1], _QUIET_SHARE))
    edge = max(1, int(_EDGE_S * sample_rate))
    loud = level * 10 ** (-CUT_DB / 10)
    return Recording(
        leading_s=float(first * HOP_S),
        trailing_s=max(0.0, len(wave) / sample_rate - float(last * HOP_S + FRAME_S)),
        snr_db=float(10 * np.log10(level / max(noise, 1e-12))),
        bandwidth_hz=_bandwidth_hz(samples, sample_rate, sounding),
        starts_cut=bool(np.mean(np.square(samples[:edge], dtype=np.float64)) > loud),
        ends_cut=bool(np.mean(np.square(samples[-edge:], dtype=np.float64)) > loud),
    )


def _bandwidth_hz(wave: Wave, sample_rate: int, sounding: npt.NDArray[np.bool_]) -> float:
    """From the power that a band has in the loudest tenth of the frames with sound: fricatives count, clicks do not."""
    length, hop = int(FRAME_S * sample_rate), int(HOP_S * sample_rate)
    starts = np.flatnonzero(sounding) * hop
    frames = wave[starts[:, None] + np.arange(length)] * np.hanning(length)
    spectrum = np.percentile(np.square(np.abs(np.fft.rfft(frames, axis=1))), _LOUD_SHARE, axis=0)
    bands = np.array([part.mean() for part in np.array_split(spectrum, min(BANDS, len(spectrum)))])
    loud = bands > bands.max() * 10 ** (-BELOW_PEAK_DB / 10)
    return float((np.flatnonzero(loud)[-1] + 1) / len(bands) * sample_rate / 2)
