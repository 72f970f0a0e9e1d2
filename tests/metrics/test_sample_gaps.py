"""Samples whose own text or reference does not help are told from the conditioning gaps; nothing is told too early."""

from __future__ import annotations

import pytest

from tracker_logging.metrics.sample_gaps import REFERENCE_USELESS, TEXT_USELESS, GapHistory, SampleGap


def suspects(*rounds: dict[str, tuple[float, float]]) -> list[tuple[str, str]]:
    """(why, text) of the suspects after `rounds` of (reference gap, text gap) by text, beside six usual samples."""
    history = GapHistory()
    for step, gaps in enumerate(rounds):
        usual = [SampleGap(f"usual {number}", 2.0, 2.5, 0.4, 0.6 + 0.1 * number) for number in range(6)]
        history.add([*usual, *(SampleGap(text, 1.0, 3.0, *both) for text, both in gaps.items())], step=step)
    return [(hard.why, hard.text) for hard in history.suspects()]


def test_a_text_and_a_reference_that_do_not_help_are_named() -> None:
    useless = {"text": (0.4, 0.05), "reference": (-0.1, 0.8), "fine": (0.3, 0.5)}
    assert suspects(useless, useless, useless) == [(TEXT_USELESS, "text"), (REFERENCE_USELESS, "reference")]
    assert suspects(useless, useless) == []


def test_a_sample_that_gets_better_is_no_suspect_any_more() -> None:
    bad, good = {"late": (0.4, -0.2)}, {"late": (0.4, 0.5)}
    assert suspects(bad, bad, bad, good) == []
    assert suspects(bad, bad, good, bad, bad) == []


def test_nothing_is_told_before_the_model_uses_texts_at_all() -> None:
    history = GapHistory()
    for step in range(5):
        history.add([SampleGap(f"{number}", 1.0, 6.0, 0.01, -0.01 * number) for number in range(8)], step=step)
    assert history.suspects() == []


@pytest.mark.parametrize("gap", [None, -0.3])
def test_too_few_samples_and_missing_gaps_tell_nothing(gap: float | None) -> None:
    history = GapHistory()
    for step in range(5):
        history.add([SampleGap("a", 1.0, 3.0, None, 0.5), SampleGap("b", 1.0, 3.0, None, gap)], step=step)
    assert history.suspects() == []


def test_a_suspect_has_its_numbers() -> None:
    history = GapHistory()
    for step in range(4):
        samples = [SampleGap(f"{number}", 1.0, 2.0, 0.4, 0.5) for number in range(7)]
        history.add([*samples, SampleGap("wrong", 1.5, 4.0 - 0.5 * step, 0.3, 0.0)], step=10 * step)
    (hard,) = history.suspects()
    assert (hard.nll, hard.usual, hard.first_nll, hard.seen, hard.step) == (2.5, 2.0, 4.0, 4, 30)
    assert (hard.seconds, hard.reference_gap, hard.text_gap) == (1.5, 0.3, 0.0)
