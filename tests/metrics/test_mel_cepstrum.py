"""The mel-cepstrum of an envelope with known coefficients."""

import numpy as np
import pytest

from tracker_logging.metrics.distance import ALPHA, ORDER, align, bandwidth_hz, mel_cepstrum


def test_the_cepstrum_recovers_the_coefficients_of_a_synthetic_envelope() -> None:
    """By definition half the log power is the sum of c_m · cos(m Ω), with Ω the all-pass warping of the frequency."""
    made = np.zeros((3, ORDER + 1))
    made[:, :10] = np.random.default_rng(0).normal(size=(3, 10)) / np.arange(1, 11)
    frequency = np.linspace(0.0, np.pi, 1025)
    warped = frequency + 2.0 * np.arctan2(ALPHA * np.sin(frequency), 1.0 - ALPHA * np.cos(frequency))
    power = np.exp(2.0 * made @ np.cos(np.outer(np.arange(ORDER + 1), warped)))
    assert mel_cepstrum(power) == pytest.approx(made, abs=1e-6)


def test_silence_has_finite_coefficients() -> None:
    assert np.isfinite(mel_cepstrum(np.zeros((2, 1025)))).all()


HZ = np.linspace(0.0, 12_000.0, 1025)


def speech_like(seed: int, frames: int = 60) -> np.ndarray:
    """Power envelopes that fall by 30 dB to 12 kHz, with five resonances of varying strength."""
    rng = np.random.default_rng(seed)
    decibels = np.tile(-30.0 * HZ / 12_000.0, (frames, 1))
    for centre, width in ((500, 200), (1500, 250), (2600, 300), (3500, 400), (6000, 900)):
        peaks = centre * rng.uniform(0.9, 1.1, (frames, 1))
        decibels += rng.uniform(5, 20, (frames, 1)) * np.exp(-(((HZ - peaks) / width) ** 2))
    return 10.0 ** (decibels / 10.0)


def narrow(power: np.ndarray, band_hz: float) -> np.ndarray:
    return np.where(band_hz < HZ, 1e-12, power)


@pytest.mark.parametrize("band_hz", [4_000.0, 8_000.0])
def test_the_distortion_does_not_follow_the_bandwidth(band_hz: float) -> None:
    clip, other = speech_like(1), speech_like(2)
    assert bandwidth_hz(mel_cepstrum(narrow(clip, band_hz))) == pytest.approx(band_hz, rel=0.05)
    itself = align(mel_cepstrum(narrow(clip, band_hz)), mel_cepstrum(clip)).mcd_db
    another = align(mel_cepstrum(narrow(other, band_hz)), mel_cepstrum(clip)).mcd_db
    assert itself < 2.0 < another


def test_the_distortion_of_full_band_clips_is_the_published_formula() -> None:
    left, right = mel_cepstrum(speech_like(1, frames=1)), mel_cepstrum(speech_like(2, frames=1))
    squares = ((left[0, 1:] - right[0, 1:]) ** 2).sum()
    assert align(left, right).mcd_db == pytest.approx(10.0 / np.log(10.0) * np.sqrt(2.0 * squares))
