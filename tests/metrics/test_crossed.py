"""Means of votes with speakers and raters random: against the analysis of variance, and by simulation."""

from __future__ import annotations

import doctest

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import t

from tracker_logging.metrics import crossed
from tracker_logging.metrics.crossed import crossed_mean

Array = npt.NDArray[np.float64]


def names(speakers: int, raters: int, takes: int = 1) -> tuple[list[int], list[int]]:
    """The speaker and the rater of each entry of a table [speakers, raters, takes]."""
    places = [(speaker, rater) for speaker in range(speakers) for rater in range(raters) for _ in range(takes)]
    return [speaker for speaker, _ in places], [rater for _, rater in places]


def draw(random: np.random.Generator, *, speakers: int, raters: int, sds: tuple[float, float, float]) -> Array:
    """Votes [speakers, raters] of true mean 0; `sds`: between speakers, between raters, within."""
    of_speakers, of_raters = (
        sds[0] * random.standard_normal((speakers, 1)),
        sds[1] * random.standard_normal((1, raters)),
    )
    return of_speakers + of_raters + sds[2] * random.standard_normal((speakers, raters))


def test_the_examples_hold() -> None:
    assert doctest.testmod(crossed).failed == 0


def test_a_complete_table_has_the_variance_of_the_two_way_analysis_of_variance() -> None:
    votes = draw(np.random.default_rng(3), speakers=7, raters=5, sds=(1.0, 1.0, 0.5))
    mean = votes.mean()
    speakers, raters = votes.mean(axis=1) - mean, votes.mean(axis=0) - mean
    rest = votes - mean - speakers[:, None] - raters
    squares = 5 * (speakers**2).sum() / 6, 7 * (raters**2).sum() / 4, (rest**2).sum() / 24
    assert min(squares[:2]) > squares[2]  # else the larger of both counts alone
    variance = (squares[0] + squares[1] - squares[2]) / 35
    degrees = variance**2 / ((squares[0] / 35) ** 2 / 6 + (squares[1] / 35) ** 2 / 4)
    found = crossed_mean(votes.ravel(), *names(7, 5))
    assert found is not None
    assert found.error == pytest.approx(np.sqrt(variance)) and found.degrees == pytest.approx(degrees)
    assert found.high - found.low == pytest.approx(2 * t.ppf(0.975, degrees) * np.sqrt(variance))


@pytest.mark.parametrize("sds", [(1.0, 1.0, 1.0), (0.3, 1.0, 1.0), (1.0, 0.3, 1.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.3)])
@pytest.mark.parametrize(("speakers", "raters", "missing"), [(6, 5, 0.0), (12, 8, 0.0), (8, 24, 0.0), (12, 8, 0.3)])
def test_the_interval_covers_the_true_mean(
    sds: tuple[float, float, float], speakers: int, raters: int, missing: float
) -> None:
    random = np.random.default_rng(7)
    of_speaker, of_rater = map(np.array, names(speakers, raters))
    covered, pages = 0, 400
    for _ in range(pages):
        votes = draw(random, speakers=speakers, raters=raters, sds=sds).ravel()
        there = random.random(len(votes)) >= missing
        found = crossed_mean(votes[there], of_speaker[there].tolist(), of_rater[there].tolist())
        assert found is not None
        covered += found.low <= 0.0 <= found.high
        assert (found.p(0.0) > 0.05) == (found.low <= 0.0 <= found.high)
    assert covered / pages >= 0.92, covered / pages


def test_several_voices_of_a_speaker_are_no_further_evidence() -> None:
    votes = draw(np.random.default_rng(2), speakers=6, raters=6, sds=(1.0, 1.0, 0.5))
    once = crossed_mean(votes.ravel(), *names(6, 6))
    twice = crossed_mean(np.repeat(votes.ravel(), 2), *names(6, 6, takes=2))
    assert once is not None and twice is not None
    assert twice.error == pytest.approx(once.error) and twice.degrees == pytest.approx(once.degrees)


def test_too_few_raters_or_votes_that_agree_have_none() -> None:
    assert crossed_mean(np.arange(24.0), *names(6, 4)) is None
    assert crossed_mean(np.full(36, 2.0), *names(6, 6)) is None
