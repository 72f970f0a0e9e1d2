import numpy as np
import pytest

from tracker_logging.metrics.interval import Interval, grouped_interval, mean_interval, statistic_interval


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


def test_items_of_a_group_are_drawn_together() -> None:
    values, groups = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0], ["a", "a", "a", "a", "b", "b"]
    found = grouped_interval(values, groups)
    assert found == Interval(mean=pytest.approx(1 / 3), low=0.0, high=1.0, n=6)  # a draw may hold one group only
    alone = mean_interval(values)
    assert found.high - found.low > alone.high - alone.low


def test_groups_of_one_item_each_give_the_ordinary_interval() -> None:
    values = np.random.default_rng(3).normal(size=30)
    assert grouped_interval(values, [str(at) for at in range(30)]) == mean_interval(values)


def test_one_group_has_a_mean_and_no_interval_and_what_is_not_finite_has_neither() -> None:
    found = grouped_interval([1.0, 3.0], ["a", "a"])
    assert (found.mean, found.low, found.high, found.n) == (2.0, None, None, 2)
    assert grouped_interval([1.0, np.nan], ["a", "b"]) is None
    assert grouped_interval([], []) is None


def test_every_item_is_drawn() -> None:
    found = mean_interval([-1.0] + [0.0] * 8 + [1.0])
    assert found.low < 0.0 < found.high


def test_the_ends_are_the_percentiles_of_a_thousand_draws() -> None:
    values = iter([500.0, *map(float, range(1000))])
    found = statistic_interval(lambda rows: next(values), 5)
    assert found == Interval(mean=500.0, low=pytest.approx(24.975), high=pytest.approx(974.025), n=5)
