"""How often the 95 % intervals contain the truth, by simulation: the sizes and scores are those that are logged."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from tracker_logging.metrics import similarity
from tracker_logging.metrics.interval import Interval, mean_interval, share_interval, statistic_interval

REPEATS = 1500
# 95 % ± 1.7 points would be chance alone at three standard errors of 1,500 draws.
LOWEST, HIGHEST = 0.93, 0.97

Draw = Callable[[np.random.Generator, tuple[int, ...]], npt.NDArray[np.float64]]
SCORES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "even": (lambda rng, size: rng.uniform(size=size), 0.5),
    "skewed to the right": (lambda rng, size: rng.gamma(4.0, size=size), 4.0),
    "like cosines": (lambda rng, size: rng.beta(12.0, 4.0, size=size), 0.75),
}
# (speakers, clips of each, share of the variance that is the speaker's)
SIZES = [(5, 1, 1.0), (6, 1, 1.0), (6, 2, 0.5), (6, 2, 0.0), (12, 1, 1.0), (12, 3, 0.8)]


def covered(found: list[Interval], truth: float) -> tuple[float, float]:
    """(share of intervals that contain the truth, share that lie above it)."""
    assert all(own.low is not None for own in found)
    inside = [own.low <= truth <= own.high for own in found]
    above = [own.low > truth for own in found]
    return float(np.mean(inside)), float(np.mean(above))


def of_speakers(count: int, clips: int) -> list[int]:
    return [speaker for speaker in range(count) for _ in range(clips)]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_interval_of_a_mean_contains_the_truth_in_95_percent(score: str, size: tuple[int, int, float]) -> None:
    draw, mean = SCORES[score]
    speakers, clips, between = size
    rng = np.random.default_rng(1)
    found = []
    for _ in range(REPEATS):
        own, inner = draw(rng, (speakers, 1)), draw(rng, (speakers, clips))
        values = np.sqrt(between) * own + np.sqrt(1.0 - between) * inner
        found.append(mean_interval(values.ravel(), of_speakers(speakers, clips)))
    inside, above = covered(found, mean * (np.sqrt(between) + np.sqrt(1.0 - between)))
    assert LOWEST <= inside <= HIGHEST
    if score == "normal":
        assert above <= 0.03 + 3 * np.sqrt(0.03 * 0.97 / REPEATS)


@pytest.mark.parametrize("size", [(6, 1, 3), (6, 2, 4), (12, 1, 5)], ids=str)
def test_several_takes_of_each_prompt_do_not_count_as_more_speakers(size: tuple[int, int, int]) -> None:
    speakers, prompts, takes = size
    rng = np.random.default_rng(3)
    found = []
    for _ in range(REPEATS):
        of_speaker, of_prompt = rng.normal(0.0, 0.1, (speakers, 1, 1)), rng.normal(0.0, 0.05, (speakers, prompts, 1))
        values = of_speaker + of_prompt + rng.normal(0.0, 0.05, size)
        found.append(mean_interval(values.ravel(), of_speakers(speakers, prompts * takes)))
    assert LOWEST <= covered(found, 0.0)[0] <= HIGHEST


@pytest.mark.parametrize("size", [(5, 2), (6, 2), (6, 4), (10, 1)], ids=str)
def test_a_gap_of_zero_is_above_zero_in_at_most_3_percent(size: tuple[int, int]) -> None:
    speakers, prompts = size
    rng = np.random.default_rng(2)
    found = []
    for _ in range(4 * REPEATS):
        gaps = rng.normal(0.0, 0.02, (speakers, 1)) + rng.normal(0.0, 0.01, (speakers, prompts))
        found.append(mean_interval(gaps.ravel(), of_speakers(speakers, prompts)))
    assert covered(found, 0.0)[1] <= 0.03


@pytest.mark.parametrize("clips", [6, 12, 24])
def test_the_interval_of_a_share_contains_the_truth_in_95_percent_on_average(clips: int) -> None:
    """Exact, by adding up the probability of every count. Counts jump, and coverage with them."""
    intervals = [share_interval([1.0] * hits + [0.0] * (clips - hits)) for hits in range(clips + 1)]
    coverage = [
        sum(
            math.comb(clips, hits) * share**hits * (1.0 - share) ** (clips - hits)
            for hits, found in enumerate(intervals)
            if found.low <= share <= found.high
        )
        for share in np.linspace(0.01, 0.99, 197)
    ]
    assert LOWEST <= np.mean(coverage) <= HIGHEST
    assert min(coverage) >= 0.905


def test_a_perfect_share_is_not_certain() -> None:
    perfect, none = share_interval([1.0] * 12), share_interval([0.0] * 12)
    assert (perfect.mean, perfect.high) == (1.0, 1.0) and perfect.low == pytest.approx(0.7575, abs=1e-3)
    assert (none.mean, none.low) == (0.0, 0.0) and none.high == pytest.approx(1.0 - 0.7575, abs=1e-3)


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("size", [(6, 2, 0.0), (6, 2, 0.3), (8, 3, 0.3)], ids=str)
def test_the_interval_of_a_share_of_clustered_clips_contains_the_truth_in_at_least_93_percent(
    share: float, size: tuple[int, int, float]
) -> None:
    speakers, clips, correlation = size
    rng = np.random.default_rng(3)
    found = []
    for _ in range(REPEATS):
        scale = (1.0 - correlation) / correlation if correlation else np.inf
        own = rng.beta(share * scale, (1.0 - share) * scale, (speakers, 1)) if correlation else share
        hits = rng.uniform(size=(speakers, clips)) < own
        found.append(share_interval(hits.ravel().astype(float), of_speakers(speakers, clips)))
    assert 0.93 <= covered(found, share)[0] <= 0.999


@pytest.mark.parametrize("rate", [0.03, 0.08, 0.25])
def test_the_interval_of_a_word_error_rate_contains_the_truth_in_at_least_93_percent(rate: float) -> None:
    """Twelve clips of six speakers, 6 to 14 words each; speakers differ in how well they are understood."""
    rng = np.random.default_rng(4)
    speakers = of_speakers(6, 2)
    found = []
    for _ in range(REPEATS):
        own = np.repeat(rng.beta(rate * 30.0, (1.0 - rate) * 30.0, 6), 2)
        words = rng.integers(6, 15, 12)
        errors = rng.binomial(words, own)
        found.append(
            statistic_interval(
                lambda rows, errors=errors, words=words: errors[rows].sum() / words[rows].sum(),
                speakers,
                trials=int(words.sum()),
            )
        )
    assert 0.93 <= covered(found, rate)[0] <= 0.999


@pytest.mark.parametrize("speakers", [6, 12])
def test_the_interval_of_the_similarity_between_speakers_contains_the_truth(speakers: int) -> None:
    rng = np.random.default_rng(5)
    names = of_speakers(speakers, 2)

    def similarities(count: int) -> npt.NDArray[np.float64]:
        voices = rng.normal(0.35, 1.0, (count, 1, 24))
        clips = (voices + rng.normal(0.0, 0.4, (count, 2, 24))).reshape(-1, 24)
        return similarity.cosines(clips, clips)

    _, truth = similarity.within_and_between(similarities(400), speakers=of_speakers(400, 2))
    found = []
    for _ in range(REPEATS):
        between = similarities(speakers)
        found.append(
            statistic_interval(
                lambda rows, between=between: similarity.within_and_between(
                    between[np.ix_(rows, rows)], speakers=[names[row] for row in rows]
                )[1],
                names,
            )
        )
    assert 0.93 <= covered(found, truth)[0] <= 0.99
