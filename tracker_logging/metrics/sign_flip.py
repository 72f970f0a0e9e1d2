"""Tests whether two runs differ, over the same voices, with a known error rate at small numbers of speakers.

`sign_flip_p` flips the sign of *all differences of a speaker* at once. If the runs do not differ, each of these 2^G
outcomes is equally likely, whatever the distribution of the scores: the p value is exact for any number of speakers.
Several scores are tested together: Holm's step-down procedure on the joint distribution of the flips (maxT of Westfall
& Young 1993, algorithm 2.8). Holm on separate p values would need 8 speakers for four scores where this needs 6: the
smallest p value of G speakers is 2 / 2^G.

`crossed_test` compares groups of runs (seeds): speakers and runs are both random, and their variances are added
(Clark 1973; degrees of freedom by Satterthwaite 1946).

Guarantees
- Deterministic: more than `EXACT_GROUPS` speakers use flips from a generator of a fixed seed of its own.
- A value that is NaN is left out; a score without a difference has p = 1.

>>> import numpy as np
>>> steady = np.array([[0.10], [0.12], [0.09], [0.11], [0.10], [0.08]])
>>> sign_flip_p(steady, list("abcdef")).tolist()  # 2 / 2**6
[0.03125]
>>> minimum_groups(comparisons=1), minimum_groups(comparisons=3)
(6, 7)
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np
import numpy.typing as npt

ALPHA = 0.05
POWER = 0.8
EXACT_GROUPS = 14
_FLIPS = 10_000  # of more than EXACT_GROUPS speakers
_POWER_FLIPS, _POWER_PAGES = 1_024, 400
_TINY = 1e-9  # two equal statistics may differ by rounding

Array = npt.NDArray[np.float64]


def sign_flip_p(differences: Array, groups: Sequence[Hashable]) -> Array:
    """Two-sided p values [scores] of mean 0, adjusted for all scores. `differences` [items, scores], NaN where missing.

    `groups` [items]: the speaker of each item. Raises `ValueError` where the lengths differ.
    """
    if len(differences) != len(groups):
        raise ValueError(f"{len(differences)} items and {len(groups)} groups")
    sums = _group_sums(differences, groups)
    scale = np.sqrt((sums**2).sum(axis=0))
    scale[scale == 0.0] = np.inf
    observed = np.abs(sums.sum(axis=0)) / scale
    flipped = np.abs(_signs(len(sums)) @ sums) / scale
    order = np.argsort(-observed, kind="stable")
    adjusted = np.ones(len(order))
    largest = 0.0
    for place, score in enumerate(order):
        remaining = flipped[:, order[place:]].max(axis=1)
        largest = max(largest, float((remaining >= observed[score] - _TINY).mean()))
        adjusted[score] = largest
    return adjusted


def minimum_groups(*, comparisons: int) -> int:
    """The fewest speakers with which a sign-flip test can reach `ALPHA` among `comparisons` pairs of runs."""
    return next(groups for groups in count(1) if comparisons * 2.0 / 2.0**groups <= ALPHA)


def detectable_difference(
    differences: Array, groups: Sequence[Hashable], *, scores: int, comparisons: int
) -> float | None:
    """The true mean difference that the test would find in 80 % of such pages, in the unit of `differences` [items].

    `scores` and `comparisons`: how many scores are tested together, in how many pairs of runs. None with fewer than
    `minimum_groups` speakers, or where all differences are equal.
    """
    error = standard_error(differences, groups)
    speakers = len(set(groups))
    if error is None or error == 0.0 or speakers < minimum_groups(comparisons=comparisons):
        return None
    return _detectable_sds(speakers, scores, comparisons) * error * math.sqrt(speakers)


def standard_error(values: Array, groups: Sequence[Hashable]) -> float | None:
    """Standard error of the mean of `values` [items], clustered by `groups`; None with fewer than two groups."""
    counts = _group_sums(np.ones((len(values), 1)), groups)[:, 0]
    if len(counts) < 2:
        return None
    sums = _group_sums(np.asarray(values)[:, None], groups)[:, 0]
    mean = sums.sum() / counts.sum()
    spread = ((sums - mean * counts) ** 2).sum() * len(counts) / (len(counts) - 1)
    return float(math.sqrt(spread) / counts.sum())


@dataclass(frozen=True, slots=True)
class CrossedTest:
    """`difference` of the group means, its standard `error`, degrees of freedom and two-sided `p`."""

    difference: float
    error: float
    degrees: float
    p: float

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the difference."""
        from scipy.stats import t

        return float(t.ppf(1.0 - ALPHA / 2.0, self.degrees)) * self.error

    def detectable(self, *, tests: int) -> float:
        """The true difference found in 80 % of such comparisons, among `tests` tests."""
        from scipy.stats import t

        return float(t.ppf(1.0 - ALPHA / (2.0 * tests), self.degrees) + t.ppf(POWER, self.degrees)) * self.error


def crossed_test(first: Array, second: Array, groups: Sequence[Hashable]) -> CrossedTest | None:
    """Compare two groups of runs over the same voices. `first` and `second`: [runs, voices] without NaN.

    None where the runs of neither group are several, with fewer than two speakers, or without any variance.
    """
    from scipy.stats import t

    run_degrees = len(first) + len(second) - 2
    by_voice = second.mean(axis=0) - first.mean(axis=0)
    of_speakers = standard_error(by_voice, groups)
    if run_degrees < 1 or of_speakers is None:
        return None
    means = [side.mean(axis=1) for side in (first, second)]
    pooled = sum(float(((side - side.mean()) ** 2).sum()) for side in means) / run_degrees
    of_runs = pooled * (1.0 / len(first) + 1.0 / len(second))
    variance = of_speakers**2 + of_runs
    if variance == 0.0:
        return None
    degrees = variance**2 / (of_speakers**4 / (len(set(groups)) - 1) + of_runs**2 / run_degrees)
    difference = float(by_voice.mean())
    error = math.sqrt(variance)
    return CrossedTest(difference, error, degrees, float(2.0 * t.sf(abs(difference) / error, degrees)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted by Holm's step-down procedure (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _group_sums(values: Array, groups: Sequence[Hashable]) -> Array:
    """Sums [groups, columns] of `values` [items, columns]; NaN counts as nothing."""
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(places), values.shape[1]))
    np.add.at(sums, [places[group] for group in groups], np.nan_to_num(values))
    return sums


@lru_cache(maxsize=32)
def _signs(groups: int) -> Array:
    """Sign patterns [patterns, groups], the observed one first: all that differ by more than the sign of the whole, or
    random ones."""
    if groups <= EXACT_GROUPS:
        numbers = np.arange(2 ** max(0, groups - 1))
        bits = (numbers[:, None] >> np.arange(groups)) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(_FLIPS, groups))
        bits[0] = 0
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)


@lru_cache(maxsize=256)
def _detectable_sds(groups: int, scores: int, comparisons: int) -> float:
    """The detectable difference in standard deviations between speakers: simulated with normal, independent scores."""
    from scipy.optimize import brentq

    noise = np.random.default_rng(0).standard_normal((_POWER_PAGES, groups, scores))
    signs = _signs(groups)
    if len(signs) > _POWER_FLIPS:
        signs = np.concatenate([signs[:1], signs[1 :: len(signs) // _POWER_FLIPS]])
    rest = np.abs(np.einsum("ng,pgs->nps", signs, noise[..., 1:])) / np.sqrt((noise[..., 1:] ** 2).sum(axis=1))
    of_others = rest.max(axis=2) if scores > 1 else np.zeros((len(signs), _POWER_PAGES))
    flipped, of_shift = signs @ noise[..., 0].T, signs.sum(axis=1)[:, None]

    def power(shift: float) -> float:
        scale = np.sqrt(((noise[..., 0] + shift) ** 2).sum(axis=1))
        shifted = np.abs(flipped + shift * of_shift) / scale
        p = (np.maximum(shifted, of_others) >= shifted[0] - _TINY).mean(axis=0)
        return float((comparisons * p <= ALPHA).mean())

    return float(brentq(lambda shift: power(shift) - POWER, 0.0, 50.0, xtol=0.01))
