"""What logging costs the training thread, measured while it runs.

with cost.part("attach", component="capture"):
    ...
cost.report(budget_pct=2.0)      # milliseconds by part, and the share of wall time, by tag
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tracker_logging import tags


@dataclass(frozen=True)
class Spent:
    """Seconds of our own work on the training thread within `wall_s` seconds, by part and by component."""

    parts_s: Mapping[str, float]
    components_s: Mapping[str, float]
    wall_s: float

    @property
    def pct(self) -> float:
        """Share of wall time in percent."""
        return 100.0 * sum(self.parts_s.values()) / self.wall_s


class Window:
    """A period of time over which cost is added up."""

    def __init__(self) -> None:
        self._parts: defaultdict[str, float] = defaultdict(float)
        self._components: defaultdict[str, float] = defaultdict(float)
        self._since = time.perf_counter()

    def add(self, part: str, component: str, seconds: float) -> None:
        self._parts[part] += seconds
        self._components[component] += seconds

    def spent(self) -> Spent:
        wall_s = max(time.perf_counter() - self._since, 1e-9)
        return Spent(parts_s=dict(self._parts), components_s=dict(self._components), wall_s=wall_s)


class CostMeter:
    """Three windows side by side: since the last report, since the last thinning decision, and the whole run."""

    def __init__(self) -> None:
        self._inside = False
        self.start()

    def start(self) -> None:
        """Start all windows now."""
        self._report, self._cycle, self.run = Window(), Window(), Window()

    @contextmanager
    def part(self, name: str, *, component: str) -> Iterator[None]:
        """Charge the body to `name`. A part inside a part is charged to the outer one only."""
        if self._inside:
            yield
            return
        self._inside, start = True, time.perf_counter()
        try:
            yield
        finally:
            self._inside = False
            seconds = time.perf_counter() - start
            for window in (self._report, self._cycle, self.run):
                window.add(name, component, seconds)

    def add(self, name: str, *, component: str, seconds: float) -> None:
        """Charge time that was measured elsewhere, such as inside of hooks."""
        for window in (self._report, self._cycle, self.run):
            window.add(name, component, seconds)

    def report(self, *, budget_pct: float) -> dict[str, float]:
        """Scalars: milliseconds by part and the share of wall time since the last call, and that of the run."""
        spent = self.since_last_report()
        values = {tags.COST(part=part): 1e3 * seconds for part, seconds in spent.parts_s.items()}
        shares = {tags.OVERHEAD(): spent.pct, tags.OVERHEAD_TOTAL(): self.run.spent().pct, tags.BUDGET(): budget_pct}
        return values | shares

    def since_last_report(self) -> Spent:
        """What was spent since the last call."""
        spent, self._report = self._report.spent(), Window()
        return spent

    def since_last_cycle(self) -> Spent:
        """The same, for thinning decisions."""
        spent, self._cycle = self._cycle.spent(), Window()
        return spent
