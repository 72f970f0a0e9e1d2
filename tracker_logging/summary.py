"""Keeps the last and the best value of the numbers by which a run is judged.

>>> keeper = SummaryKeeper()
>>> for step, value in ((100, 0.61), (200, 0.74), (300, 0.70)):
...     keeper.hear(Scalars(step=step, values={"voices/sim_o/mean": value}))
>>> keeper.summary(step=300).values["voices/sim_o/mean"]
SummaryValue(last=0.7, last_step=300, best=0.74, best_step=200, base=None)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from tracker_logging.events import Event, Scalars, Summary, SummaryValue
from tracker_logging.tags import Better, direction

KEPT = 1_000
"""Newest steps of a tag whose values may still be replaced."""

_DISTANCES: Mapping[Better, Callable[[float], float]] = {
    "higher": lambda value: -value,
    "lower": lambda value: value,
    "zero": abs,
    "one": lambda value: abs(value - 1.0),
}


def best_point(points: Iterable[tuple[int, float]], better: Better) -> tuple[int, float] | None:
    """The (step, value) that is best, the earliest of equal ones. None without a direction or a finite value.

    >>> best_point([(1, 0.5), (2, float("nan")), (3, 0.2)], "lower")
    (3, 0.2)
    """
    distance = _DISTANCES.get(better)
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    if distance is None or not finite:
        return None
    return min(finite, key=lambda point: (distance(point[1]), point[0]))


def summarize(points: Iterable[tuple[int, float]], better: Better) -> SummaryValue | None:
    """Last and best of the points of one scalar in any order; None without a point."""
    in_order = sorted(points)
    if not in_order:
        return None
    last_step, last = in_order[-1]
    best_step, best = best_point(in_order, better) or (None, None)
    first_step, first = in_order[0]
    base = first if first_step == 0 else None
    return SummaryValue(last=last, last_step=last_step, best=best, best_step=best_step, base=base)


class SummaryKeeper:
    """Takes `Scalars` events and gives the `Summary` of the tags that have a direction. For one thread.

    A value of a step that was heard before replaces the earlier one, as after a resume, among the newest `KEPT` steps
    of a tag. Of older steps only the best value and that of step 0 are kept.
    """

    def __init__(self) -> None:
        self._points: dict[str, dict[int, float]] = {}
        self._best: dict[str, tuple[int, float]] = {}
        self._base: dict[str, tuple[int, float]] = {}  # of step 0

    @property
    def points(self) -> int:
        """How many values are kept."""
        return sum(map(len, self._points.values())) + len(self._best)

    def hear(self, event: Event) -> None:
        """Take the values of a `Scalars` event; other events are ignored."""
        if isinstance(event, Scalars):
            for tag, value in event.values.items():
                if direction(tag):
                    points = self._points.setdefault(tag, {})
                    points[event.step] = float(value)
                    if event.step == 0:
                        self._base[tag] = 0, float(value)
                    if len(points) > KEPT:
                        oldest = next(iter(points))
                        self._settle(tag, (oldest, points.pop(oldest)))

    def summary(self, *, step: int) -> Summary:
        """The summary of everything heard so far, in the order in which the tags came."""
        values = {
            tag: summarize([*self._older(tag), *points.items()], direction(tag)) for tag, points in self._points.items()
        }
        return Summary(step=step, values={tag: value for tag, value in values.items() if value is not None})

    def state(self, step: int) -> dict[str, list[list[float]]]:
        """For the checkpoint of `step`: by tag, [step, value] of step 0, the best and the last one up to there."""
        kept = {}
        for tag, points in list(self._points.items()):  # another thread may add one
            in_order = sorted(point for point in {*self._older(tag), *points.items()} if point[0] <= step)
            best = best_point(in_order, direction(tag))
            base = [point for point in in_order[:1] if point[0] == 0]
            kept[tag] = [list(point) for point in sorted({*base, *in_order[-1:], *([] if best is None else [best])})]
        return kept

    def restore(self, state: Mapping[str, Iterable[tuple[int, float]]]) -> None:
        """Go on from the `state` of a checkpoint, before anything is heard."""
        for tag, points in state.items():
            for step, value in points:
                self.hear(Scalars(step=step, values={tag: value}))

    def _settle(self, tag: str, point: tuple[int, float]) -> None:
        """Keep a point that is too old to be replaced if it is the best of these."""
        best = best_point([*self._older(tag), point], direction(tag))
        if best is not None:
            self._best[tag] = best

    def _older(self, tag: str) -> list[tuple[int, float]]:
        return [kept[tag] for kept in (self._base, self._best) if tag in kept]
