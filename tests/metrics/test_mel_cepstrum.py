"""The mel-cepstrum of an envelope with known coefficients."""

import numpy as np
import pytest

from tracker_logging.metrics.distance import ALPHA, ORDER, mel_cepstrum


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
