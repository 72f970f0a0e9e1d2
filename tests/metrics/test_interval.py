import numpy as np
import pytest

from tracker_logging.metrics.interval import Interval, mean_interval, share_interval, statistic_interval

T4, T5 = 2.776445, 2.570582  # 97.5 % quantiles of Student's t


def test_the_interval_of_independent_values_is_students_t_with_its_small_sample_factor() -> None:
    values = [0.1, 0.4, 0.2, 0.5, 0.8]
    found = mean_interval(values)
    half = T4 * np.std(values, ddof=1) / np.sqrt(5) * np.sqrt(5 / 4)
    assert found == Interval(
        mean=pytest.approx(0.4), low=pytest.approx(0.4 - half), high=pytest.approx(0.4 + half), n=5
    )


def test_clips_of_one_speaker_are_one_group() -> None:
    means = np.array([0.1, 0.4, 0.2, 0.5, 0.8, 0.3])
    values = np.repeat(means, 4) + np.tile([-0.3, 0.3, -0.1, 0.1], 6)
    found = mean_interval(values, np.repeat(np.arange(6), 4).tolist())
    half = T5 * np.std(means, ddof=1) / np.sqrt(6) * np.sqrt(6 / 5)
    assert (found.low, found.high, found.n) == (
        pytest.approx(means.mean() - half),
        pytest.approx(means.mean() + half),
        24,
    )


def test_non_finite_values_are_left_out_and_their_groups_with_them() -> None:
    values = [1.0, np.nan, 3.0, 2.0, 5.0, 4.0]
    assert mean_interval(values) == mean_interval([1.0, 3.0, 2.0, 5.0, 4.0])
    assert mean_interval([np.nan]) is None and share_interval([np.nan]) is None


@pytest.mark.parametrize("groups", [None, ["a", "b", "a", "b", "a", "b"]])
def test_few_speakers_have_a_mean_and_no_interval_but_the_reason(groups: list[str] | None) -> None:
    values = [1.0, 2.0, 3.0, 4.0] if groups is None else [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = mean_interval(values, groups)
    assert (found.low, found.high) == (None, None)
    assert found.reason == f"{4 if groups is None else 2} speakers, it needs 5"


def test_equal_values_have_no_interval() -> None:
    found = mean_interval([0.5] * 8)
    assert (found.mean, found.low, found.reason) == (0.5, None, "all speakers have the same value")


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1234.567, 1e-17])
def test_equal_values_whose_means_differ_by_rounding_have_no_interval(value: float) -> None:
    """Of 0.1 the mean over ten speakers and that over nine are not the same float."""
    for speakers in (6, 10, 11):
        values = [value] * speakers + [value + value * 1e-15] * 3
        found = mean_interval(values)
        assert found is not None and (found.low, found.reason) == (None, "all speakers have the same value")
    apart = mean_interval([value * (1 + 1e-6 * index) for index in range(10)])
    assert value < 1e-12 or (apart is not None and apart.low is not None)


def test_a_statistic_that_needs_every_speaker_has_no_interval() -> None:
    found = statistic_interval(lambda rows: 1.0 if 0 in rows else np.nan, list("abcdef"))
    assert (found.mean, found.low, found.reason) == (1.0, None, "not defined without one of the speakers")
    assert statistic_interval(lambda rows: np.nan, list("abcdef")) is None


def test_intervals_are_deterministic_and_touch_no_random_state() -> None:
    before = np.random.get_state()[1].copy()
    assert mean_interval([1.0, 2.0, 4.0, 8.0, 16.0]) == mean_interval([1.0, 2.0, 4.0, 8.0, 16.0])
    assert (np.random.get_state()[1] == before).all()


def test_a_share_of_independent_clips_is_wilsons() -> None:
    found = share_interval([1.0] * 10 + [0.0] * 10)
    assert (found.low, found.high) == pytest.approx((0.2993, 0.7007), abs=1e-4)  # published example: 10 of 20


def test_a_share_whose_clips_agree_within_speakers_has_fewer_effective_clips() -> None:
    agreeing = share_interval([1.0] * 12 + [0.0] * 12, np.repeat(np.arange(8), 3).tolist())
    independent = share_interval([1.0] * 12 + [0.0] * 12)
    assert agreeing.high - agreeing.low > 1.4 * (independent.high - independent.low)


def test_an_error_rate_above_one_has_a_t_interval() -> None:
    rates = np.array([1.5, 2.0, 0.5, 1.0, 2.5])
    found = statistic_interval(lambda rows: float(rates[rows].mean()), list("abcde"), trials=50)
    assert found == mean_interval(rates)


def test_values_and_groups_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 values and 2 groups"):
        mean_interval([1.0, 2.0, 3.0], ["a", "b"])
