"""Draws the clips of one `VoiceComparison` below each other: mels on one time and colour scale, with pitch.

Guarantees
- All rows have the same time axis and the same colour scale (dB of full scale, never normalised): a quiet or short
  clip looks quiet or short.
- Measured pitch is a light blue line with its own scale at the right (Hz, logarithmic).
- The 16-bit samples are drawn, which are also stored and played.
- Only clips that exist are drawn. A pure function: no state, safe on any thread.

    pixels = draw_mel_strip(comparison)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tracker_logging.events import Clip, FloatArray, VoiceComparison
from tracker_logging.metrics.mel import HOP_S, hz_to_mel, mel_db
from tracker_logging.rendering.colours import INFERNO, colourise, no_data
from tracker_logging.rendering.ink import DARK, MIDDLE, Sheet, fit
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.rendering.ticks import nice_ticks, written

LOW_DB, HIGH_DB = -90.0, -10.0
PITCH_LOW_HZ, PITCH_HIGH_HZ = 50.0, 500.0
SHOWN_SCORES = ("sim_o", "sim_ceiling", "sim_margin", "wer", "mcd_db", "f0_median_shift_cents", "dur_ratio")
_PITCH_COLOUR = (96, 226, 255)
_LEFT, _TOP, _ROW, _GAP, _RIGHT, _BOTTOM = 122, 74, 110, 12, 118, 44
_WIDTH = 760
_HZ_TICKS = (250, 1000, 2000, 4000, 8000, 16000)
_PITCH_TICKS = (50, 100, 200, 400)


def draw_mel_strip(comparison: VoiceComparison) -> npt.NDArray[np.uint8]:
    """Pixels [height, 1000, 3] uint8 of one comparison; a note in place of the rows where it has no clip."""
    clips = comparison.shown_clips
    height = _TOP + max(1, len(clips)) * (_ROW + _GAP) - _GAP + _BOTTOM
    sheet = Sheet(_LEFT + _WIDTH + _RIGHT, height)
    _heading(sheet, comparison)
    if not clips:
        reason = fit(comparison.error or "no clip", size=12, width=_WIDTH)
        sheet.text(_LEFT, _TOP + 20, reason, grey=MIDDLE)
        return sheet.pixels()
    seconds = max(max(len(clip.samples) / clip.sample_rate for clip in clips.values()), HOP_S)
    high_hz = min(clip.sample_rate for clip in clips.values()) / 2
    for index, (name, clip) in enumerate(clips.items()):
        top = _TOP + index * (_ROW + _GAP)
        pixels = _mel_pixels(clip, seconds=seconds, high_hz=high_hz)
        pitch = comparison.pitch_hz.get(name)
        if pitch is not None and len(pitch):
            pixels = _with_pitch(pixels, pitch, share=len(clip.samples) / clip.sample_rate / seconds)
            _pitch_axis(sheet, top)
        sheet.block(_LEFT, top, pixels)
        sheet.frame(_LEFT, top, _WIDTH, _ROW)
        _row_axis(sheet, top, name=name, clip=clip, high_hz=high_hz)
    _time_axis(sheet, top + _ROW, seconds)
    _colour_bar(sheet, height)
    return sheet.pixels()


def _heading(sheet: Sheet, comparison: VoiceComparison) -> None:
    who = " · ".join(part for part in (comparison.voice_id, comparison.speaker, comparison.language) if part)
    width = _LEFT + _WIDTH + _RIGHT - 20
    sheet.text(10, 8, fit(f"{who}   step {comparison.step}", size=15, width=width), size=15)
    transcript = f"    heard: {comparison.transcript}" if comparison.transcript else ""
    sheet.text(10, 32, fit(f"target: {comparison.target_text}{transcript}", size=12, width=width), grey=DARK)
    known = [(name, comparison.scores[name]) for name in SHOWN_SCORES if name in comparison.scores]
    scores = "   ".join(f"{name} {value:.3g}" for name, value in known)
    stop = f"   stopped: {comparison.stop_reason}" if comparison.stop_reason else ""
    failed = f"   error: {comparison.error}" if comparison.error else ""
    sheet.text(10, 51, fit(f"{scores}{stop}{failed}".strip(), size=12, width=width - 60), grey=DARK)


def _mel_pixels(clip: Clip, *, seconds: float, high_hz: float) -> npt.NDArray[np.uint8]:
    """One row of the strip [_ROW, _WIDTH, 3]: low frequencies at the bottom, hatched after the end of the clip."""
    samples = to_pcm16(clip.samples).astype(np.float32) / 32767.0
    mel = mel_db(samples, sample_rate=clip.sample_rate, high_hz=high_hz)[::-1]
    at = (np.arange(_WIDTH) + 0.5) / _WIDTH * seconds
    columns = np.minimum(np.rint(at / HOP_S).astype(int), mel.shape[1] - 1)
    rows = np.arange(_ROW) * mel.shape[0] // _ROW
    pixels = colourise(mel[rows][:, columns], low=LOW_DB, high=HIGH_DB, table=INFERNO)
    past_end = at > len(clip.samples) / clip.sample_rate
    pixels[:, past_end] = no_data(_ROW, _WIDTH)[:, past_end]
    return pixels


def _with_pitch(pixels: npt.NDArray[np.uint8], pitch_hz: FloatArray, *, share: float) -> npt.NDArray[np.uint8]:
    """Pitch [frames] in Hz drawn over the first `share` of the row, with a gap where it is NaN."""
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    points = [
        (round((frame + 0.5) / len(pitch_hz) * share * _WIDTH), round(_pitch_y(float(hz)))) if hz > 0 else None
        for frame, hz in enumerate(pitch_hz)
    ]
    for width, colour in ((5, (0, 0, 0)), (2, _PITCH_COLOUR)):
        for before, after in zip([None, *points], points, strict=False):
            if after is not None:
                pen.line([before or after, after], fill=colour, width=width)
                pen.point(after, fill=colour)
    return np.array(picture)


def _pitch_y(hz: float) -> float:
    """Pixels from the top of a row to where a pitch is drawn."""
    share = math.log(min(max(hz, PITCH_LOW_HZ), PITCH_HIGH_HZ) / PITCH_LOW_HZ) / math.log(PITCH_HIGH_HZ / PITCH_LOW_HZ)
    return (1.0 - share) * (_ROW - 1)


def _pitch_axis(sheet: Sheet, top: int) -> None:
    x = _LEFT + _WIDTH
    for hz in _PITCH_TICKS:
        y = top + _pitch_y(hz)
        sheet.line(x + 1, y, x + 4, y, grey=MIDDLE)
        sheet.text(x + 7, y, f"{hz}", size=10, anchor="lm", grey=MIDDLE)
    sheet.upright(x + 36, top + _ROW / 2, "F0 Hz", size=10, grey=MIDDLE)


def _row_axis(sheet: Sheet, top: int, *, name: str, clip: Clip, high_hz: float) -> None:
    sheet.text(10, top + _ROW / 2 - 8, fit(name, size=12, width=76), anchor="lm")
    sheet.text(
        10, top + _ROW / 2 + 8, f"{len(clip.samples) / clip.sample_rate:.2f} s", size=11, anchor="lm", grey=MIDDLE
    )
    for hz in (tick for tick in _HZ_TICKS if tick < high_hz * 0.93):
        y = top + (1.0 - hz_to_mel(hz) / hz_to_mel(high_hz)) * (_ROW - 1)
        sheet.line(_LEFT - 5, y, _LEFT - 2, y, grey=MIDDLE)
        sheet.text(_LEFT - 8, y, f"{hz / 1000:g}k" if hz >= 1000 else f"{hz}", size=10, anchor="rm", grey=MIDDLE)
    sheet.text(_LEFT - 8, top + 2, "Hz", size=10, anchor="rm", grey=MIDDLE)


def _time_axis(sheet: Sheet, bottom: int, seconds: float) -> None:
    ticks = nice_ticks(0.0, seconds, count=8)
    for tick in ticks:
        x = _LEFT + tick / seconds * (_WIDTH - 1)
        sheet.line(x, bottom + 1, x, bottom + 4, grey=MIDDLE)
        sheet.text(x, bottom + 6, written(tick, ticks), size=11, anchor="ma", grey=DARK)
    sheet.text(_LEFT + _WIDTH / 2, bottom + 22, "time (s)", anchor="ma")


def _colour_bar(sheet: Sheet, height: int) -> None:
    x, bar = _LEFT + _WIDTH + 56, height - _TOP - _BOTTOM
    ramp = np.linspace(HIGH_DB, LOW_DB, bar, dtype=np.float32)[:, None]
    sheet.block(x, _TOP, colourise(np.repeat(ramp, 14, axis=1), low=LOW_DB, high=HIGH_DB, table=INFERNO))
    sheet.frame(x, _TOP, 14, bar)
    for level in np.linspace(HIGH_DB, LOW_DB, 5):
        y = _TOP + (HIGH_DB - level) / (HIGH_DB - LOW_DB) * (bar - 1)
        sheet.text(x + 19, y, f"{level:.0f}", size=11, anchor="lm", grey=DARK)
    sheet.text(x, _TOP - 5, "dB FS", size=11, anchor="ls", grey=DARK)
