"""The findings of a check, counted without limit and kept up to one.

- Every finding is counted, and given to `sink` as soon as it is found. `MOST` of each check are kept for the report, so
  that a file in which every row has one needs no more memory than another.

>>> log = FindingLog()
>>> log.add_all([checks.FILE_MISSING.at(checks.Place("train.json"), seen="no such file")])
>>> log.counts, [finding.name for finding in log.in_order()]
(Counter({'file_missing': 1}), ['file_missing'])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding

MOST = 10_000  # of one check


class FindingLog:
    """`sink` is called with each finding on the thread that adds it. `counts`: all findings by name."""

    def __init__(self, sink: Callable[[DataFinding], None] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._sink = sink
        self._kept: dict[str, list[DataFinding]] = {}

    def add_all(self, findings: Iterable[DataFinding]) -> None:
        """Count and keep `findings`, in this order."""
        for finding in findings:
            self.counts[finding.name] += 1
            if self._sink is not None:
                self._sink(finding)
            if self.counts[finding.name] <= MOST:
                self._kept.setdefault(finding.name, []).append(finding)

    def in_order(self) -> tuple[DataFinding, ...]:
        """Those that were kept, in the order of the table of checks and within a check as they were added."""
        return tuple(finding for check in checks.ALL for finding in self._kept.get(check.name, ()))
