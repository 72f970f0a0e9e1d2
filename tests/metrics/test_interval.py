import numpy as np
import pytest

from tracker_logging.metrics.interval import mean_interval, statistic_interval


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    found = mean_interval(values)
    assert found is not None and found.n == 400 and found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * 2.0 / 20, abs=0.03)
    assert found.high == pytest.approx(values.mean() + 1.96 * 2.0 / 20, abs=0.03)


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    draws = np.random.default_rng(2).normal(size=(200, 40))
    held = [found.low <= 0.0 <= found.high for row in draws if (found := mean_interval(row)) is not None]
    assert 0.88 <= np.mean(held) <= 0.99


def test_non_finite_values_are_left_out_and_nothing_has_no_mean() -> None:
    assert mean_interval([1.0, np.nan, 3.0]).n == 2
    assert mean_interval([np.nan]) is None


def test_one_value_has_no_interval() -> None:
    found = mean_interval([2.0])
    assert (found.mean, found.low, found.high, found.n) == (2.0, None, None, 1)


def test_equal_values_give_equal_intervals_and_touch_no_global_random_state() -> None:
    before = np.random.get_state()[1].copy()
    assert mean_interval([1.0, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])
    assert (np.random.get_state()[1] == before).all()


def test_draws_without_a_value_are_left_out() -> None:
    values = np.array([1.0, 2.0, 3.0])
    found = statistic_interval(lambda rows: float(values[rows].mean()) if len(set(rows)) > 1 else np.nan, 3)
    assert found is not None and 1.0 < found.low < found.high < 3.0
