import numpy as np
import pytest

from tracker_logging.metrics.speech import at_level, integrated_loudness, speech_levels, trim_silence

RATE = 16_000


def tone(seconds: float, *, amplitude: float = 0.5, hz: float = 440.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def test_the_level_of_a_tone_between_silences_is_that_of_the_tone() -> None:
    found = speech_levels(np.concatenate([silence(1.0), tone(2.0), silence(1.0)]), RATE)
    assert found.fault is None
    assert found.duration_s == 4.0
    assert found.speech_s == pytest.approx(2.0, abs=0.05)
    assert found.silence_pct == pytest.approx(50.0, abs=1.5)
    assert found.level_dbfs == pytest.approx(-9.03, abs=0.2)
    assert found.peak_dbfs == pytest.approx(-6.02, abs=0.05)


@pytest.mark.parametrize(
    ("wave", "fault"),
    [
        (silence(2.0), "too little speech"),
        (silence(0.0), "too little speech"),
        (tone(0.1), "too little speech"),
        (np.full(RATE, np.nan, dtype=np.float32), "non-finite"),
        (np.sign(tone(1.0)), "clipped"),
    ],
)
def test_an_invalid_clip_has_a_reason(wave: np.ndarray, fault: str) -> None:
    assert fault in str(speech_levels(wave, RATE).fault)


def test_speech_of_a_voice_activity_detector_replaces_sound() -> None:
    assert "too little speech" in str(speech_levels(tone(2.0), RATE, speech_s=0.0).fault)


def test_one_clipped_sample_in_a_hundred_is_reported_and_valid() -> None:
    wave = tone(1.0)
    wave[::100] = 1.0
    found = speech_levels(wave, RATE)
    assert found.clip_pct == pytest.approx(1.0) and found.fault is None


def test_trimming_keeps_the_frames_with_sound() -> None:
    trimmed = trim_silence(np.concatenate([silence(0.7), tone(1.0), silence(0.4)]), RATE)
    assert len(trimmed) / RATE == pytest.approx(1.0, abs=0.06)
    assert len(trim_silence(silence(1.0), RATE)) == RATE


def test_at_level_reaches_the_level_from_above_and_below() -> None:
    for amplitude in (0.9, 0.001):
        levelled = at_level(tone(1.0, amplitude=amplitude), -30.0)
        assert 20 * np.log10(np.sqrt(np.mean(levelled**2))) == pytest.approx(-30.0, abs=0.01)
    assert not at_level(silence(1.0), -30.0).any()


def test_loudness_of_a_full_scale_tone_is_that_of_the_standard() -> None:
    # ITU-R BS.1770: a sine of 997 Hz at 0 dBFS in one channel reads -3.01 LUFS.
    wave = (np.sin(2 * np.pi * 997 * np.arange(48_000 * 3) / 48_000)).astype(np.float32)
    assert integrated_loudness(wave, 48_000) == pytest.approx(-3.01, abs=0.05)
    assert np.isnan(integrated_loudness(silence(0.2), RATE))


def test_a_dc_offset_is_reported_and_changes_no_level() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32)
    noise[:12_000] = 0.0
    clean, offset = speech_levels(noise, 24_000), speech_levels(noise + np.float32(0.1), 24_000)
    assert offset.dc_offset == pytest.approx(0.1, abs=1e-3) and clean.dc_offset == pytest.approx(0.0, abs=1e-3)
    assert (offset.level_dbfs, offset.silence_pct) == (pytest.approx(clean.level_dbfs, abs=0.01), clean.silence_pct)
    assert offset.peak_dbfs > clean.peak_dbfs, "the peak is that of the file"
    centred = at_level(noise + np.float32(0.1), -30.0)
    assert centred.mean() == pytest.approx(0.0, abs=1e-6)
    assert 20 * np.log10(centred.std()) == pytest.approx(-30.0, abs=0.01)
