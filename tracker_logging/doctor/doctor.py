"""Watches a training by its logged numbers, and keeps the findings: which are open, which have healed.

Guarantees
- A finding opens once, closes when it has healed, and may open again as a new one.
- A rule that raises misses that look, and after `FAILURES_UNTIL_OFF` times all others; `take_errors` tells.
- `hear` may be called from any thread; `examine` from one thread.

    doctor = Doctor()
    doctor.hear(100, {"outputs/nll/mean": 0.2, "outputs/nll_shift0/mean": 0.01})
    for finding in doctor.examine():
        print(finding.title, finding.text)
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tracker_logging.doctor.finding import LEVELS, Finding
from tracker_logging.doctor.history import History, belongs
from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import RULES

FAILURES_UNTIL_OFF = 3


@dataclass(slots=True)
class _Watch:
    """How a rule stands: looks with and without evidence in a row, and its finding's place in the list while open."""

    rule: Rule
    newest: int = -1
    looked: int = -1
    bad: int = 0
    good: int = 0
    since: int = -1
    open_at: int | None = None
    failures: int = 0


class Doctor:
    """`rules`: what to look for. Values of tags that no rule reads are forgotten at once."""

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        self._lock = threading.Lock()
        self._history = History(tag for rule in rules for tag in rule.reads)
        self._watches = tuple(_Watch(rule) for rule in rules)
        self._concerned: dict[str, tuple[_Watch, ...]] = {}
        self._findings: list[Finding] = []
        self._errors: list[tuple[str, Exception]] = []
        self._has_news = False

    @property
    def has_news(self) -> bool:
        """Whether a rule has something to look at."""
        return self._has_news

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings so far, in the order in which they opened."""
        return tuple(self._findings)

    def counts(self) -> dict[str, int]:
        """Open findings by level."""
        levels = [finding.level for finding in self._findings if finding.is_open]
        return {level: levels.count(level) for level in LEVELS}

    def hear(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step: a lock and a few list operations. Any thread."""
        with self._lock:
            for name in self._history.add(step, values):
                for watch in self._of(name):
                    watch.newest = max(watch.newest, step)
                    self._has_news = True

    def examine(self) -> list[Finding]:
        """Let every rule look that has something new; the findings that opened (`is_open`) or closed by that."""
        changed = []
        with self._lock:
            self._has_news = False
            for watch in self._watches:
                if watch.newest > watch.looked and watch.failures < FAILURES_UNTIL_OFF:
                    watch.looked = watch.newest
                    try:
                        seen = watch.rule.evidence(self._history)
                    except Exception as error:
                        watch.failures += 1
                        self._errors.append((watch.rule.name, error))
                        continue
                    finding = self._judge(watch, seen)
                    changed += [finding] if finding is not None else []
        return changed

    def take_errors(self) -> list[tuple[str, Exception]]:
        """(rule, what it raised) since the last call."""
        errors, self._errors = self._errors, []
        return errors

    def _of(self, name: str) -> tuple[_Watch, ...]:
        """The rules that look when `name` has a new value."""
        if name not in self._concerned:
            self._concerned[name] = tuple(
                watch for watch in self._watches if any(belongs(name, to=tag) for tag in watch.rule.looks_at)
            )
        return self._concerned[name]

    def _judge(self, watch: _Watch, seen: str | None) -> Finding | None:
        """Count this look; the finding, where it opens or closes one."""
        if seen is None:
            watch.bad, watch.good = 0, watch.good + 1
            if watch.open_at is None or watch.good < watch.rule.closes_after:
                return None
            healed = replace(self._findings[watch.open_at], until=watch.looked)
            self._findings[watch.open_at] = healed
            watch.open_at = None
            return healed
        if watch.bad == 0:
            watch.since = watch.looked
        watch.bad, watch.good = watch.bad + 1, 0
        if watch.open_at is not None or watch.bad < watch.rule.opens_after:
            return None
        watch.open_at = len(self._findings)
        self._findings.append(watch.rule.finding(seen, since=watch.since))
        return self._findings[-1]
