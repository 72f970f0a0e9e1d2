"""The test behind every verdict: exact against enumeration, its error rate, and the power that it promises."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from tracker_logging.metrics.sign_flip import (
    crossed_test,
    detectable_difference,
    holm,
    minimum_groups,
    sign_flip_p,
    standard_error,
)


def test_one_score_is_the_enumerated_sign_flip_test() -> None:
    values = np.array([0.3, -0.1, 0.5, 0.2, 0.4, -0.2, 0.6])
    outcomes = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=len(values))]
    expected = np.mean([outcome >= abs(values.sum()) - 1e-12 for outcome in outcomes])
    assert sign_flip_p(values[:, None], range(7)) == pytest.approx([expected])
    assert stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue == pytest.approx(expected)


def test_clips_of_a_speaker_flip_together() -> None:
    values = np.array([[0.3], [0.2], [0.5], [0.1]])
    assert sign_flip_p(values, ["a", "a", "b", "b"]).tolist() == [0.5]  # two speakers: 2 of 4 outcomes


def test_the_joint_test_is_sharper_than_holm_and_keeps_the_order() -> None:
    random = np.random.default_rng(1)
    base = random.standard_normal(8) + 1.2
    scores = np.stack([base, base + 0.1 * random.standard_normal(8), random.standard_normal(8)], axis=1)
    alone = [float(sign_flip_p(scores[:, [place]], range(8))[0]) for place in range(3)]
    together = sign_flip_p(scores, range(8))
    assert all(a <= b for a, b in zip(alone, together, strict=True))
    assert together[0] < holm(alone)[0]
    assert sign_flip_p(scores[:, ::-1], range(8)) == pytest.approx(together[::-1])


def test_missing_and_equal_values_are_no_evidence() -> None:
    values = np.array([[0.0, np.nan], [0.0, 1.0], [0.0, 1.0]])
    assert sign_flip_p(values, range(3)).tolist() == [1.0, 0.5]  # two speakers with the same sign
    with pytest.raises(ValueError, match="3 items and 2 groups"):
        sign_flip_p(values, "ab")


@pytest.mark.parametrize("speakers", [3, 6, 9, 20])
def test_at_most_one_page_in_twenty_has_a_false_verdict(speakers: int) -> None:
    """Four correlated, skewed scores of twice as many voices as speakers; exchangeable runs."""
    random = np.random.default_rng(speakers)
    pages = 600 if speakers < 20 else 150
    false = 0
    for _ in range(pages):
        runs = random.standard_exponential((2, 2 * speakers, 1)) + 0.5 * random.standard_exponential(
            (2, 2 * speakers, 4)
        )
        runs = runs + random.standard_normal((2, speakers, 1)).repeat(2, axis=1)
        false += bool(sign_flip_p(runs[1] - runs[0], np.arange(2 * speakers) // 2).min() <= 0.05)
    assert stats.binomtest(false, pages, 0.05, alternative="greater").pvalue > 0.001
    assert speakers >= minimum_groups(comparisons=1) or false == 0


@pytest.mark.parametrize(("speakers", "scores"), [(6, 1), (8, 3), (12, 1)])
def test_the_promised_difference_is_found_in_about_four_pages_of_five(speakers: int, scores: int) -> None:
    random = np.random.default_rng(7)
    found, pages, promised = 0, 400, []
    for _ in range(pages):
        noise = random.standard_normal((speakers, scores))
        promised.append(detectable_difference(noise[:, 0], range(speakers), scores=scores, comparisons=1))
    typical = float(np.sqrt(np.mean(np.square(promised))))  # the estimates of the spread vary from page to page
    for _ in range(pages):
        noise = random.standard_normal((speakers, scores))
        noise[:, 0] += typical
        found += bool(sign_flip_p(noise, range(speakers))[0] <= 0.05)
    assert 0.72 < found / pages < 0.88


def test_too_few_speakers_promise_nothing() -> None:
    assert detectable_difference(np.array([1.0, 2.0, 3.0]), range(3), scores=1, comparisons=1) is None
    assert detectable_difference(np.ones(9), range(9), scores=1, comparisons=1) is None


def test_the_standard_error_is_that_of_the_speakers_means() -> None:
    values = np.array([1.0, 2.0, 5.0, 6.0, 2.0, 3.0])
    means = values.reshape(3, 2).mean(axis=1)
    assert standard_error(values, [0, 0, 1, 1, 2, 2]) == pytest.approx(stats.sem(means))
    assert standard_error(values, [0] * 6) is None


def test_holm_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_groups_of_runs_are_told_apart_by_chance_in_at_most_one_of_twenty(runs: int) -> None:
    random = np.random.default_rng(runs)
    pages, false = 800, 0
    for _ in range(pages):
        prompts = random.standard_normal(12)
        sides = [
            prompts + random.standard_normal((runs, 1)) + 0.5 * random.standard_normal((runs, 12)) for _ in range(2)
        ]
        test = crossed_test(*sides, np.arange(12) // 2)
        assert test is not None
        false += test.p <= 0.05
    assert stats.binomtest(false, pages, 0.05, alternative="greater").pvalue > 0.001


def test_single_runs_have_no_variance_between_runs() -> None:
    assert crossed_test(np.zeros((1, 6)), np.ones((1, 6)), range(6)) is None
