"""Is there speech in a clip, how loud, how long, how clean? Nothing here changes the clip.

Guarantees
- Level and silence are those of the clip without its DC offset, which is reported; peak and clipping are of the clip
  as it is.
- Input is [n] float32, full scale ±1, at any sample rate; an empty or silent clip gives numbers or NaN, never an error.
- An invalid clip (`fault` has the reason) is to be left out of every mean and counted.

>>> speech_levels(np.zeros(24_000, np.float32), 24_000).fault
'too little speech (0.00 s)'
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]

FULL_SCALE = 0.999
MIN_SPEECH_S = 0.3
MAX_CLIP_PCT = 5.0
FRAME_S, HOP_S = 0.025, 0.010
_BELOW_PEAK_DB, _FLOOR_DBFS = 35.0, -60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechLevels:
    """`level_dbfs`: RMS of the frames with sound; `peak_dbfs`; `clip_pct`: samples at full scale; `silence_pct`: frames
    without sound; `dc_offset`: mean of the samples, of full scale; `duration_s`; `speech_s`: seconds with sound, or of
    speech by a voice activity detector."""

    duration_s: float
    speech_s: float
    level_dbfs: float
    peak_dbfs: float
    clip_pct: float
    silence_pct: float
    dc_offset: float
    fault: str | None


def speech_levels(wave: Wave, sample_rate: int, *, speech_s: float | None = None) -> SpeechLevels:
    """Measure one clip. `speech_s` is given by a voice activity detector; else sound counts as speech."""
    duration_s = len(wave) / sample_rate
    finite = bool(np.isfinite(wave).all())
    samples = wave if finite else np.zeros(0, dtype=np.float32)
    offset = float(samples.mean(dtype=np.float64)) if len(samples) else 0.0
    sounding, power = sounding_frames(samples - np.float32(offset), sample_rate)
    sound_s = min(duration_s, float(sounding.sum()) * HOP_S)
    measured_s = sound_s if speech_s is None else speech_s
    clip_pct = 100.0 * float((np.abs(samples) >= FULL_SCALE).mean()) if len(samples) else 0.0
    return SpeechLevels(
        duration_s=duration_s,
        speech_s=measured_s,
        level_dbfs=_db(float(power[sounding].mean())) if sounding.any() else float("nan"),
        peak_dbfs=_db(float(np.square(samples).max(initial=0.0))),
        clip_pct=clip_pct,
        silence_pct=100.0 * float(1.0 - sounding.mean()) if len(sounding) else 100.0,
        dc_offset=offset,
        fault=_fault(finite=finite, speech_s=measured_s, clip_pct=clip_pct),
    )


def sounding_stretches(wave: Wave, sample_rate: int, *, count: int) -> npt.NDArray[np.bool_]:
    """[count] whether each of `count` equal stretches of the clip (the frames of a codec) has sound in its middle."""
    sounding, _ = sounding_frames(wave, sample_rate)
    if not len(sounding):
        return np.zeros(count, dtype=np.bool_)
    at = (np.arange(count) + 0.5) * len(wave) / count / (HOP_S * sample_rate)
    return sounding[np.minimum(at.astype(np.int64), len(sounding) - 1)]


def trim_silence(wave: Wave, sample_rate: int) -> Wave:
    """The clip from its first to its last frame with sound; the clip itself if there is none."""
    sounding, _ = sounding_frames(wave, sample_rate)
    if not sounding.any():
        return wave
    first, last = np.flatnonzero(sounding)[[0, -1]]
    start, stop = int(first * HOP_S * sample_rate), int((last * HOP_S + FRAME_S) * sample_rate)
    return wave[start:stop]


def at_level(wave: Wave, level_dbfs: float) -> Wave:
    """The clip without its DC offset, scaled up or down to an RMS of `level_dbfs`: for scorers that must ignore both.

    Silence is kept.
    """
    centred = wave - wave.mean(dtype=np.float64) if len(wave) else wave
    rms = float(np.sqrt(np.mean(np.square(centred, dtype=np.float64)))) if len(wave) else 0.0
    return wave if rms < 1e-9 else (centred * (10 ** (level_dbfs / 20) / rms)).astype(np.float32)


def integrated_loudness(wave: Wave, sample_rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4 by pyloudnorm); NaN under 0.4 s or for silence.

    Raises ImportError where pyloudnorm is not installed.
    """
    import pyloudnorm

    meter = pyloudnorm.Meter(sample_rate)
    if len(wave) <= meter.block_size * sample_rate:
        return float("nan")
    loudness = float(meter.integrated_loudness(wave.astype(np.float64)))
    return loudness if np.isfinite(loudness) else float("nan")


def sounding_frames(wave: Wave, sample_rate: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Frames of 25 ms every 10 ms that are within 35 dB of the loudest and above −60 dBFS, and the power of all."""
    length, hop = int(FRAME_S * sample_rate), int(HOP_S * sample_rate)
    if len(wave) < length:
        return np.zeros(0, dtype=np.bool_), np.zeros(0)
    total = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    power = np.maximum(total[length::hop] - total[:-length:hop], 0.0) / length
    level = 10.0 * np.log10(np.maximum(power, 1e-20))
    return level > max(float(level.max()) - _BELOW_PEAK_DB, _FLOOR_DBFS), power


def _fault(*, finite: bool, speech_s: float, clip_pct: float) -> str | None:
    if not finite:
        return "non-finite samples"
    if clip_pct > MAX_CLIP_PCT:
        return f"clipped ({clip_pct:.0f} % of the samples)"
    if speech_s < MIN_SPEECH_S:
        return f"too little speech ({speech_s:.2f} s)"
    return None


def _db(power: float) -> float:
    return float(10.0 * np.log10(power)) if power > 0 else float("-inf")
