import numpy as np
import pytest

from tracker_logging.metrics.pitch import pitch_error, pitch_shift

NAN = float("nan")
STRAIGHT = np.stack([np.arange(100) / 100] * 2, axis=1)


def glide(start: float, stop: float, frames: int = 100) -> np.ndarray:
    return np.geomspace(start, stop, frames).astype(np.float32)


def test_an_octave_is_1200_cents_and_keeps_its_spread() -> None:
    shift = pitch_shift(glide(200, 400), glide(100, 200))
    assert shift.median_shift_cents == pytest.approx(1200, abs=0.1)
    assert shift.std_ratio == pytest.approx(1.0, abs=1e-3)


def test_half_the_range_has_half_the_spread() -> None:
    assert pitch_shift(glide(100, 2**0.5 * 100), glide(100, 200)).std_ratio == pytest.approx(0.5, abs=1e-3)


def test_unvoiced_frames_do_not_count() -> None:
    voiced = glide(100, 200)
    gaps = np.concatenate([np.full(50, NAN, dtype=np.float32), voiced])
    assert pitch_shift(gaps, voiced).median_shift_cents == pytest.approx(0.0)


def test_a_whisper_has_no_pitch_shift() -> None:
    assert np.isnan(pitch_shift(np.full(50, NAN, dtype=np.float32), glide(100, 200)).median_shift_cents)


def test_errors_along_a_path() -> None:
    same = pitch_error(glide(100, 200), glide(100, 200), STRAIGHT)
    assert (same.rmse_cents, same.vuv_err) == (0.0, 0.0) and same.log_correlation == pytest.approx(1.0)
    semitone = pitch_error(glide(100, 200) * np.float32(2 ** (1 / 12)), glide(100, 200), STRAIGHT)
    assert semitone.rmse_cents == pytest.approx(100.0, abs=0.1)
    assert pitch_error(glide(200, 100), glide(100, 200), STRAIGHT).log_correlation == pytest.approx(-1.0)


def test_a_clip_at_half_the_frame_rate_is_compared_at_the_same_times() -> None:
    assert pitch_error(glide(100, 200, 50), glide(100, 200, 100), STRAIGHT).rmse_cents < 30


def test_voicing_errors_are_a_share_of_frames() -> None:
    half = glide(100, 200)
    half[:25] = NAN
    assert pitch_error(half, glide(100, 200), STRAIGHT).vuv_err == pytest.approx(0.25)


def test_frames_outside_the_range_of_speech_are_tracking_errors() -> None:
    clean = glide(100, 200)
    hiss = clean.copy()
    hiss[::4] = 1800.0
    hiss[3::8] = 20.0
    assert pitch_shift(hiss, clean).median_shift_cents == pytest.approx(0.0, abs=40.0)
    assert pitch_shift(hiss, clean).std_ratio == pytest.approx(1.0, abs=0.05)
    error = pitch_error(hiss, clean, STRAIGHT)
    assert error.rmse_cents == pytest.approx(0.0, abs=1e-6) and error.vuv_err == pytest.approx(0.38, abs=0.03)
