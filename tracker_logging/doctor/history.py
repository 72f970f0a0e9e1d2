"""The logged scalars as the rules read them: one series per tag, steps ascending.

- A series keeps its first value and its last `KEPT` ones. A second value for a step replaces the first.
- A tag that was never logged has an empty series, so a rule need not test for it.
- Tags are logged at different steps. A rule that compares two of them takes values of the same time: of one batch or
  round (`Series.on`, `History.newest`), of the same steps (`Series.windows`, `mean_of`), or `Series.near`.

>>> history = History()
>>> history.add(100, {"outputs/nll/codebook_0": 4.25})
['outputs/nll/codebook_0']
>>> history["outputs/nll/codebook_0"].last
4.25
>>> sorted(history.family(tags.NLL))        # one series per codebook
['0']
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tracker_logging import tags
from tracker_logging.tags import Tag

KEPT = 400
SMOOTH = 3
"""Values in the mean that stands for the present, where a single value is too noisy."""
BLOCK = 4
"""Values in each of the means that are compared over time, so that the best of many is not a lucky one."""

# Logged by the Trainer itself, under the names of its own reporters.
TRAIN_LOSS = "train/loss"
TRAIN_GRADIENT_NORM = "train/grad_norm"
LEARNING_RATE = "train/learning_rate"
EVAL_LOSS = "eval/loss"

PLANNED_STEPS = "planned_steps"
"""The steps that the loop means to train, at step 0. No tag: it is not logged."""


@dataclass(slots=True)
class Series:
    """The values of one tag. Properties are NaN or -1 without a value."""

    first: float = math.nan
    points: list[tuple[int, float]] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Add a value; a late one is sorted in."""
        if not self.points:
            self.first = value
        while self.points and self.points[-1][0] == step:
            self.points.pop()
        self.points.append((step, value))
        if len(self.points) > 1 and self.points[-2][0] > step:
            self.points.sort()
        del self.points[:-KEPT]

    def __bool__(self) -> bool:
        return bool(self.points)

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1] if self.points else math.nan

    @property
    def step(self) -> int:
        """The step of the newest value; -1 without one."""
        return self.points[-1][0] if self.points else -1

    @property
    def recent(self) -> float:
        """Mean of the newest `SMOOTH` values, or of as many as there are."""
        return _mean(value for _, value in self.points[-SMOOTH:])

    def blocks(self) -> list[tuple[int, float]]:
        """(step of its newest value, mean) of consecutive blocks of `BLOCK` values, the last of them the newest."""
        start = len(self.points) % BLOCK
        return [
            (self.points[end - 1][0], _mean(value for _, value in self.points[end - BLOCK : end]))
            for end in range(start + BLOCK, len(self.points) + 1, BLOCK)
        ]

    def block_noise(self) -> float:
        """Standard deviation of the mean of a block by chance alone, from the differences of neighbours."""
        values = [value for _, value in self.points]
        jumps = [abs(after - before) for before, after in pairwise(values)]
        return statistics.median(jumps) / 0.954 / math.sqrt(BLOCK) if jumps else math.nan

    def at(self, step: int) -> float:
        """The newest value up to `step`; NaN before the first."""
        return next((value for at, value in reversed(self.points) if at <= step), math.nan)

    def on(self, step: int) -> float:
        """The value measured at `step`; NaN without one."""
        return self.mean_of(range(step, step + 1))

    def near(self, step: int) -> float:
        """The value measured nearest to `step`; NaN if it is further away than the values are apart there."""
        if not self.points:
            return math.nan
        nearest = min(range(len(self.points)), key=lambda index: abs(self.points[index][0] - step))
        at, value = self.points[nearest]
        spacing = at - self.points[nearest - 1][0] if nearest else at
        return value if abs(at - step) <= spacing else math.nan

    def mean_of(self, steps: range) -> float:
        """Mean of the values measured at `steps`; NaN without one."""
        start, stop = (bisect_left(self.points, end, key=lambda point: point[0]) for end in (steps.start, steps.stop))
        return _mean(value for _, value in self.points[start:stop])

    def windows(self) -> list[tuple[range, float]]:
        """(the steps since the value before, value), for a number that its logger averages over these steps."""
        return [
            (range(before + 1, step + 1), value) for (before, _), (step, value) in pairwise([(-1, 0.0), *self.points])
        ]


class History:
    """Series by tag. `watched`: the names and families that are kept (None: all)."""

    def __init__(self, watched: Iterable[Tag | str] | None = None) -> None:
        self._series: dict[str, Series] = {}
        self._watched = None if watched is None else tuple(watched)
        self._is_watched: dict[str, bool] = {}

    def add(self, step: int, values: Mapping[str, float]) -> list[str]:
        """Add the values of a step; returns the names of those that are kept."""
        kept = [name for name in values if self._keeps(name)]
        for name in kept:
            self._series.setdefault(name, Series()).add(step, float(values[name]))
        return kept

    def __getitem__(self, name: str) -> Series:
        return self._series.get(name, _EMPTY)

    def family(self, tag: Tag) -> dict[str, Series]:
        """The members of a family with one field, by the field's value, in order."""
        names = sorted(name for name in self._series if tag.pattern.match(name))
        start = tag.template.index("{")
        end = len(tag.template) - tag.template.index("}") - 1
        return {name[start : len(name) - end]: self._series[name] for name in names}

    def newest(self, tag: Tag) -> tuple[int, dict[str, float]]:
        """The newest step of a family, and its members measured then; (-1, {}) without any."""
        family = self.family(tag)
        step = max((series.step for series in family.values()), default=-1)
        return step, {name: series.last for name, series in family.items() if series.step == step}

    def state(self) -> dict[str, Any]:
        """All series as plain JSON values; NaN and infinity as text, which strict JSON has no number for."""
        return {
            name: {"first": _plain(series.first), "points": [[step, _plain(value)] for step, value in series.points]}
            for name, series in self._series.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Replace all series by those of `state`; tags that are no longer watched are dropped."""
        self._series = {
            name: Series(float(saved["first"]), [(int(step), float(value)) for step, value in saved["points"]][-KEPT:])
            for name, saved in state.items()
            if self._keeps(name)
        }

    def _keeps(self, name: str) -> bool:
        if self._watched is None:
            return True
        if name not in self._is_watched:
            self._is_watched[name] = any(belongs(name, to=watched) for watched in self._watched)
        return self._is_watched[name]


def belongs(name: str, *, to: Tag | str) -> bool:
    """Whether `name` is the tag `to`, or a member of its family."""
    return name == to if isinstance(to, str) else bool(to.pattern.match(name))


def has_learned(history: History, *, share: float = 0.3) -> bool:
    """Whether the nll, or the Trainer's loss, has fallen by `share` since training began.

    Findings about what a model should have learned wait for this, so that none opens in the first steps.
    """
    return any(history[name].recent <= (1.0 - share) * history[name].first for name in (tags.NLL_MEAN(), TRAIN_LOSS))


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan


_EMPTY = Series()
