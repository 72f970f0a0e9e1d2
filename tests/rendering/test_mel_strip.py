"""Mels are in dB of full scale, and the strip shows clips on one time scale."""

from dataclasses import replace

import numpy as np
import pytest
from tracker_examples import RATE, clip, comparison

from tracker_logging.metrics.mel import BANDS, FLOOR_DB, hz_to_mel, mel_db, mel_to_hz
from tracker_logging.rendering.mel_strip import draw_mel_strip


@pytest.mark.parametrize("hz", [200.0, 1000.0, 5000.0])
@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
def test_a_full_scale_sine_is_about_zero_db_in_its_own_band(hz, rate):
    samples = np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32)
    column = mel_db(samples, sample_rate=rate)[:, 50]
    centres = np.linspace(0, hz_to_mel(rate / 2), BANDS + 2)[1:-1]
    assert abs(np.argmax(column) - np.argmin(abs(centres - hz_to_mel(hz)))) <= 1
    assert -2.5 < column.max() < 2.5


def test_a_tenth_of_the_level_is_twenty_db_less():
    sound = clip(1.0, hz=1000, level=1.0).samples
    loud, quiet = (mel_db(sound * level, sample_rate=RATE) for level in (1.0, 0.1))
    peak = np.argmax(loud[:, 50])
    assert loud[peak, 50] - quiet[peak, 50] == pytest.approx(20.0, abs=0.01)


def test_silence_is_the_floor_and_a_broken_sample_is_not_a_number():
    samples = np.zeros(RATE, np.float32)
    assert np.allclose(mel_db(samples, sample_rate=RATE), FLOOR_DB)
    samples[RATE // 2] = np.nan
    broken = np.isnan(mel_db(samples, sample_rate=RATE)).any(axis=0)
    assert broken[50]
    assert not broken[:40].any()


def test_shapes_and_scale():
    assert mel_db(np.zeros(24_000, np.float32), sample_rate=24_000).shape == (80, 101)
    assert mel_db(np.zeros(0, np.float32), sample_rate=24_000).shape == (80, 1)
    assert mel_to_hz(hz_to_mel(440.0)) == pytest.approx(440.0)
    with pytest.raises(ValueError, match="one channel"):
        mel_db(np.zeros((2, 5), np.float32), sample_rate=8_000)


def test_a_clip_half_as_long_ends_half_way():
    both = replace(comparison(), clips={"target": clip(2.0), "generated": clip(1.0)}, pitch_hz={})
    pixels = draw_mel_strip(both)
    lower = pixels[250, 123:881]
    hatched = (lower.min(axis=1) >= 200) & (lower.max(axis=1) == lower.min(axis=1))
    assert np.flatnonzero(hatched)[0] == pytest.approx(380, abs=4)
    assert hatched[385:].all()


def test_pitch_is_drawn_only_where_it_was_measured():
    voice = replace(comparison(), clips={"generated": clip(1.0)})
    without = draw_mel_strip(replace(voice, pitch_hz={}))
    pitch = np.full(100, 150.0, np.float32)
    pitch[50:] = np.nan
    drawn = draw_mel_strip(replace(voice, pitch_hz={"generated": pitch}))
    changed = (without[:, 122:882] != drawn[:, 122:882]).any(axis=(0, 2))
    assert changed[10:370].mean() > 0.9
    assert not changed[390:].any()


@pytest.mark.parametrize(
    "clips",
    [
        {},
        {"generated": replace(clip(), samples=np.zeros(0, np.float32))},
        {"generated": replace(clip(), samples=np.full(500, np.nan, np.float32))},
        {"target": clip(), "generated": replace(clip(), sample_rate=8_000)},
    ],
)
def test_strange_clips_are_drawn(clips):
    pixels = draw_mel_strip(replace(comparison(), clips=clips, error="out of memory"))
    assert pixels.shape[1] == 1000
