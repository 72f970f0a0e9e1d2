"""Reading audio files: rates, channels, level and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tracker_logging.data.audio import check_audio, load_audio
from tracker_logging.data.sample import DataError


def tone(rate: int, seconds: float = 0.5, level: float = 0.25) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
def test_any_rate_becomes_the_asked_one_at_the_same_level(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(rate), rate)
    wave = load_audio(tmp_path / "tone.wav", 24_000)
    assert wave.dtype == np.float32
    assert len(wave) == pytest.approx(12_000, abs=2)
    assert np.abs(wave[2_000:-2_000]).max() == pytest.approx(0.25, rel=0.01)


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "two.wav", np.stack([tone(24_000), np.zeros(12_000, np.float32)], axis=1), 24_000)
    np.testing.assert_allclose(load_audio(tmp_path / "two.wav", 24_000), tone(24_000) / 2, atol=1e-4)


def test_the_header_tells_the_seconds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.flac", tone(16_000), 16_000)
    assert check_audio(tmp_path / "tone.flac") == pytest.approx(0.5)


def test_missing_broken_empty_non_finite_and_unscaled_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF....WAVE")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 24_000)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), 24_000, subtype="FLOAT")
    soundfile.write(tmp_path / "unscaled.wav", 32_768 * tone(24_000), 24_000, subtype="FLOAT")
    for name, message in [
        ("gone.wav", "no such audio file"),
        ("broken.wav", "not a readable audio file"),
        ("empty.wav", "is empty"),
        ("nan.wav", "NaN or infinite"),
        ("unscaled.wav", "has samples up to 8,19., and full scale is 1"),
    ]:
        with pytest.raises(DataError, match=message):
            load_audio(tmp_path / name, 24_000)


def test_a_clip_somewhat_beyond_full_scale_is_read_as_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", tone(24_000, level=4.0), 24_000, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(tmp_path / "loud.wav", 24_000), tone(24_000, level=4.0))
