"""The repetition of clips that loop and of clips that do not."""

import numpy as np
import pytest

from tracker_logging.metrics.repetition import STRETCH, repetition
from tracker_logging.metrics.speech import sounding_stretches


def test_codes_without_repeats_have_no_repetition() -> None:
    assert repetition(np.arange(40)[None]) == 0.0


def test_a_loop_and_a_held_sound_are_almost_all_repetition() -> None:
    loop = np.tile(np.arange(10), 10)
    assert repetition(loop[None]) == pytest.approx(1 - 10 / 93)
    assert repetition(np.full((4, 100), 7)) == pytest.approx(1 - 1 / 93)


def test_a_phrase_that_occurs_twice_counts_once() -> None:
    phrase = np.arange(30)
    twice = np.concatenate([phrase, 50 + np.arange(20), phrase])
    total = len(twice) - STRETCH + 1
    assert repetition(twice[None]) == pytest.approx((len(phrase) - STRETCH + 1) / total)


def test_later_codebooks_do_not_hide_a_loop() -> None:
    loop = np.tile(np.arange(10), 10)
    noise = np.random.default_rng(0).integers(0, 256, size=(3, 100))
    assert repetition(np.concatenate([loop[None], noise])) > 0.8


def test_a_clip_of_one_stretch_or_less_has_no_value() -> None:
    assert repetition(np.arange(STRETCH)[None]) is None
    assert repetition(np.zeros((4, 0), dtype=np.int64)) is None


def test_frames_of_silence_are_distinguished_from_frames_with_sound() -> None:
    rate = 16_000
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    wave = np.concatenate([np.zeros(rate, dtype=np.float32), tone, np.zeros(rate, dtype=np.float32)])
    found = sounding_stretches(wave, rate, count=75)
    assert found[26:49].all() and not found[:24].any() and not found[51:].any()
    assert not sounding_stretches(np.zeros(rate, dtype=np.float32), rate, count=25).any()
    assert not sounding_stretches(np.zeros(0, dtype=np.float32), rate, count=3).any()
