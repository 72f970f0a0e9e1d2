"""What logging costs the training thread, measured while it runs.

with cost.part("attention"):
    ...
cost.report()     # {"attention": 3.1, …} ms since the last report, and the share of wall time in %
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class CostReport:
    """`parts_ms`: milliseconds on the training thread by part; `overhead_pct`: their sum over wall time, in percent."""

    parts_ms: dict[str, float]
    overhead_pct: float


class CostMeter:
    """Adds up wall time of our own work on the training thread between two reports."""

    def __init__(self) -> None:
        self._spent_s: defaultdict[str, float] = defaultdict(float)
        self._depth = 0
        self._since = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Charge the body to `name`. A part inside a part is charged to the outer one only."""
        start, self._depth = time.perf_counter(), self._depth + 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._spent_s[name] += time.perf_counter() - start

    def report(self) -> CostReport:
        """What was spent since the last report; starts a new window."""
        now = time.perf_counter()
        wall_s = max(now - self._since, 1e-9)
        parts_ms = {name: 1e3 * spent for name, spent in self._spent_s.items()}
        report = CostReport(parts_ms=parts_ms, overhead_pct=100.0 * sum(self._spent_s.values()) / wall_s)
        self._spent_s.clear()
        self._since = now
        return report
