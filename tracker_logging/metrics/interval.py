"""A number over a set of clips, with how sure it is.

Guarantees
- The interval is the percentile bootstrap over the items (Efron 1979), 95 %, from a generator of its own: the same
  values give the same interval, and no global random state is touched.
- Fewer than two items have a mean and no interval (`low` and `high` are None).

    >>> mean_interval([0.5, 0.5, 0.5])
    Interval(mean=0.5, low=0.5, high=0.5, n=3)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 1000
_SEED = 20_260_101

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """`mean` (or the statistic itself) over `n` items and the ends of its 95 % bootstrap interval."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float] | npt.NDArray[np.floating]) -> Interval | None:
    """Mean over the finite values, or None if there is none."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) == 0:
        return None
    return _interval(float(finite.mean()), finite[_draws(len(finite))].mean(axis=1), n=len(finite))


def grouped_interval(values: Sequence[float] | npt.NDArray[np.floating], groups: Sequence[str]) -> Interval | None:
    """Mean over all values, with the bootstrap over groups: items of one group (a speaker) are drawn together.

    One group has a mean and no interval. `n` counts items. None if a value is not finite or there is none.
    """
    numbers, names = np.asarray(values, dtype=np.float64), np.asarray(groups)
    if len(numbers) == 0 or not np.isfinite(numbers).all():
        return None
    members = [np.flatnonzero(names == name) for name in dict.fromkeys(groups)]
    sums, counts = np.array([numbers[own].sum() for own in members]), np.array([len(own) for own in members])
    draws = _draws(len(members))
    return _interval(float(numbers.mean()), sums[draws].sum(axis=1) / counts[draws].sum(axis=1), n=len(numbers))


def statistic_interval(statistic: Callable[[Indices], float], n: int) -> Interval | None:
    """`statistic(rows)` of all `n` items, with the bootstrap over items.

    `statistic` gets row indices [n] with repetitions; it may return NaN for a draw that has no value, and that draw is
    left out. None if it is NaN over all items.
    """
    whole = statistic(np.arange(n))
    if not np.isfinite(whole):
        return None
    return _interval(whole, np.array([statistic(rows) for rows in _draws(n)]), n=n)


def _draws(n: int) -> Indices:
    """[draws, n] row indices with repetitions; no draws where there is nothing to draw from."""
    return np.random.default_rng(_SEED).integers(0, n, size=(RESAMPLES if n > 1 else 0, n))


def _interval(whole: float, drawn: npt.NDArray[np.float64], *, n: int) -> Interval:
    finite = drawn[np.isfinite(drawn)]
    if len(finite) == 0:
        return Interval(mean=whole, low=None, high=None, n=n)
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(finite, [tail, 100.0 - tail])
    return Interval(mean=whole, low=float(low), high=float(high), n=n)
