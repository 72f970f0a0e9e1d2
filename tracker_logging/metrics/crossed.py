"""The mean of judgements of which both the judged (speakers) and the judges (raters) are a sample.

An interval over speakers alone holds for these raters only. Here both are random and crossed: each rater judged several
speakers and each speaker was judged by several raters. The variance of the mean is that of speakers plus that of raters
less the part of their cells, which both contain: in a complete table (MS speakers + MS raters − MS cells) / votes, the
estimate of the two-way random-effects analysis of variance (Searle, Casella & McCulloch 1992, ch. 4), and the two-way
cluster-robust variance (Cameron, Gelbach & Miller 2011) where votes are missing. Degrees of freedom by Satterthwaite.

Guarantees
- Never less than the variance over speakers alone or raters alone.
- None with fewer than `MIN_GROUPS` speakers or raters, or where all votes agree.

Simulated coverage is 92 to 98 % (`tests/metrics/test_crossed.py`).

>>> votes = np.add.outer([0.0, 1.0, 2.0, 1.0, 1.0], [0.0, 0.2, 0.4, 0.2, 0.2])  # speakers × raters
>>> crossed = crossed_mean(votes.ravel(), np.repeat(range(5), 5), np.tile(range(5), 5))
>>> round(crossed.low, 2), round(crossed.high, 2), round(crossed.p(0.0), 3)
(0.33, 2.07, 0.018)
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker_logging.metrics.interval import CONFIDENCE, MIN_GROUPS

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CrossedMean:
    """A mean, its standard `error` and degrees of freedom, with speakers and raters random."""

    mean: float
    error: float
    degrees: float

    @property
    def low(self) -> float:
        return self.mean - self._half_width

    @property
    def high(self) -> float:
        return self.mean + self._half_width

    @property
    def _half_width(self) -> float:
        from scipy.stats import t

        return float(t.ppf(0.5 + CONFIDENCE / 2.0, self.degrees)) * self.error

    def p(self, expected: float) -> float:
        """Two-sided p value of the true mean being `expected`."""
        from scipy.stats import t

        return float(2.0 * t.sf(abs(self.mean - expected) / self.error, self.degrees))


def crossed_mean(
    values: Array, speakers: Sequence[Hashable], raters: Sequence[Hashable], weights: Array | None = None
) -> CrossedMean | None:
    """The weighted mean of votes [n] (default: equal weights) with the speaker and the rater of each."""
    share = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    share = share / share.sum()
    rows, columns = _numbers(speakers), _numbers(raters)
    counts = (rows.max() + 1, columns.max() + 1)
    if min(counts) < MIN_GROUPS:
        return None
    mean = float(share @ values)
    residuals = values - mean
    of_rows, of_columns = _sums(share * residuals, rows), _sums(share * residuals, columns)
    effects = (of_rows / _sums(share, rows))[rows] + (of_columns / _sums(share, columns))[columns]
    cells = rows * counts[1] + columns
    of_cells = _sums(share * (residuals - effects), cells)
    by_row, by_column = (_variance(sums, len(sums) - 1) for sums in (of_rows, of_columns))
    by_cell = _variance(of_cells, (counts[0] - 1) * (counts[1] - 1), groups=counts[0] * counts[1])
    variance = max(by_row + by_column - by_cell, by_row, by_column)
    if variance <= 1e-18 * max(1.0, mean**2):
        return None
    degrees = variance**2 / (by_row**2 / (counts[0] - 1) + by_column**2 / (counts[1] - 1))
    return CrossedMean(mean, math.sqrt(variance), max(degrees, float(min(counts) - 1)))


def _variance(sums: Array, degrees: int, groups: int | None = None) -> float:
    """Of the mean, from the sums of weighted residuals of each group."""
    return float((sums**2).sum()) * (len(sums) if groups is None else groups) / degrees


def _numbers(names: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], dtype=np.int64)


def _sums(values: Array, groups: npt.NDArray[np.int64]) -> Array:
    return np.asarray(np.bincount(groups, weights=values), dtype=np.float64)
