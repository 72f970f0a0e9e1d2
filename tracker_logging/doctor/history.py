"""The logged scalars as the rules see them: a series per tag, steps ascending.

- A series keeps its first value and its last `KEPT` ones. A value that comes again for its step replaces the old one.
- A tag that was never logged has an empty series, so that a rule need not ask whether it is there.

    history = History()
    history.add(100, {"outputs/nll/mean": 4.31})
    history["outputs/nll/mean"].last          # 4.31
    history.family(tags.NLL)                  # {"0": Series, "1": Series, …}: one per codebook
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from tracker_logging.tags import Tag

KEPT = 400
SMOOTH = 3
"""Values in the mean that is taken for the present one, where a single value is too noisy to judge by."""
BLOCK = 4
"""Values in each of the means to which the present is compared, where the best of many must not be a lucky one."""

# What the Trainer itself logs, under the names of its own reporters.
TRAIN_LOSS = "train/loss"
TRAIN_GRADIENT_NORM = "train/grad_norm"
LEARNING_RATE = "train/learning_rate"
EVAL_LOSS = "eval/loss"


@dataclass(slots=True)
class Series:
    """The values of one tag. Everything is NaN or None where there is no value."""

    first: float = math.nan
    points: list[tuple[int, float]] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Take a value; one that comes late is put where it belongs."""
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
        """The step of the newest value; -1 before the first."""
        return self.points[-1][0] if self.points else -1

    @property
    def recent(self) -> float:
        """Mean of the newest `SMOOTH` values, or of as many as there are."""
        return _mean(value for _, value in self.points[-SMOOTH:])

    def blocks(self) -> list[tuple[int, float]]:
        """(step of its newest value, mean) of every `BLOCK` values, side by side, the last of them the newest ones."""
        start = len(self.points) % BLOCK
        return [
            (self.points[end - 1][0], _mean(value for _, value in self.points[end - BLOCK : end]))
            for end in range(start + BLOCK, len(self.points) + 1, BLOCK)
        ]

    def block_noise(self) -> float:
        """Standard deviation of the mean of a block by chance alone, from the jumps between neighbours."""
        values = [value for _, value in self.points]
        jumps = [abs(after - before) for before, after in pairwise(values)]
        return statistics.median(jumps) / 0.954 / math.sqrt(BLOCK) if jumps else math.nan

    def at(self, step: int) -> float:
        """The newest value up to `step`; NaN before the first."""
        return next((value for at, value in reversed(self.points) if at <= step), math.nan)


class History:
    """Series by tag. `watched`: the names and families that are kept (None: all)."""

    def __init__(self, watched: Iterable[Tag | str] | None = None) -> None:
        self._series: dict[str, Series] = {}
        self._watched = None if watched is None else tuple(watched)
        self._is_watched: dict[str, bool] = {}

    def add(self, step: int, values: Mapping[str, float]) -> list[str]:
        """Take the values of a step; gives back the names of those that are kept."""
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

    def _keeps(self, name: str) -> bool:
        if self._watched is None:
            return True
        if name not in self._is_watched:
            self._is_watched[name] = any(belongs(name, to=watched) for watched in self._watched)
        return self._is_watched[name]


def belongs(name: str, *, to: Tag | str) -> bool:
    """Whether a name is that of a tag, or one of its family."""
    return name == to if isinstance(to, str) else bool(to.pattern.match(name))


def has_learned(history: History, *, nll: str, share: float = 0.3) -> bool:
    """Whether the model has visibly learned since training began: the nll, or the Trainer's loss, is down by `share`.

    A finding about what a model ought to have learned waits for this, so that none is raised in the first steps.
    """
    return any(history[name].recent <= (1.0 - share) * history[name].first for name in (nll, TRAIN_LOSS))


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


_EMPTY = Series()
