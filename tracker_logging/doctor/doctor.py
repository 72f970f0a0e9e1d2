"""Evaluates the rules over the logged numbers of a training and keeps the findings, open and resolved.

Guarantees
- A finding opens once, is closed when its evidence is gone, and may open again as a new finding.
- A rule that raises skips that evaluation, and is switched off after `FAILURES_UNTIL_OFF` exceptions; `take_errors`
  returns them.
- `add` may be called from any thread, everything else from one thread.
- `state` is plain JSON. A doctor that restored it goes on as if training had not been interrupted.

>>> doctor = Doctor()
>>> doctor.add(100, {"outputs/non_finite_logits": 3.0})
>>> [finding.title for finding in doctor.examine()]
['Non finite values']
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tracker_logging.doctor.finding import LEVELS, Finding
from tracker_logging.doctor.history import History, belongs
from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import RULES

FAILURES_UNTIL_OFF = 3
STATE_FORMAT = 1


@dataclass(slots=True)
class _Watch:
    """Progress of one rule: steps of the newest value and of the last evaluation, evaluations in a row with (`bad`) and
    without (`good`) evidence, the step of the first evidence, and the index of the open finding."""

    rule: Rule
    newest: int = -1
    evaluated: int = -1
    bad: int = 0
    good: int = 0
    since: int = -1
    open_at: int | None = None
    failures: int = 0


_SAVED = ("newest", "evaluated", "bad", "good", "since", "open_at")


class Doctor:
    """`rules`: what to look for. Values of tags that no rule reads are discarded."""

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        self._lock = threading.Lock()
        self._history = History(tag for rule in rules for tag in rule.reads)
        self._watches = tuple(_Watch(rule) for rule in rules)
        self._triggered: dict[str, tuple[_Watch, ...]] = {}
        self._findings: list[Finding] = []
        self._errors: list[tuple[str, Exception]] = []
        self._has_new_values = False

    @property
    def has_new_values(self) -> bool:
        """Whether a rule has a value that it has not been evaluated on."""
        return self._has_new_values

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings so far, in the order in which they opened."""
        return tuple(self._findings)

    def counts(self) -> dict[str, int]:
        """Open findings by level."""
        levels = [finding.level for finding in self._findings if finding.is_open]
        return {level: levels.count(level) for level in LEVELS}

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add the numbers of a step. Costs a lock and a few list operations. Any thread."""
        with self._lock:
            for name in self._history.add(step, values):
                for watch in self._triggered_by(name):
                    watch.newest = max(watch.newest, step)
                    self._has_new_values = True

    def examine(self) -> list[Finding]:
        """Evaluate every rule that has a new value; returns the findings that this opened (`is_open`) or closed."""
        changed = []
        with self._lock:
            self._has_new_values = False
            for watch in self._watches:
                if watch.newest > watch.evaluated and watch.failures < FAILURES_UNTIL_OFF:
                    watch.evaluated = watch.newest
                    try:
                        finding = self._update(watch, watch.rule.evidence(self._history))
                    except Exception as error:
                        watch.failures += 1
                        self._errors.append((watch.rule.name, error))
                        continue
                    changed += [finding] if finding is not None else []
        return changed

    def never_judged(self) -> list[Rule]:
        """The rules of which no value came."""
        return [watch.rule for watch in self._watches if watch.newest < 0]

    def take_errors(self) -> list[tuple[str, Exception]]:
        """(rule, exception) since the last call."""
        errors, self._errors = self._errors, []
        return errors

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs, as plain JSON values."""
        with self._lock:
            return {
                "format": STATE_FORMAT,
                "findings": [asdict(finding) for finding in self._findings],
                "rules": {watch.rule.name: {name: getattr(watch, name) for name in _SAVED} for watch in self._watches},
                "history": self._history.state(),
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, in place of anything added before. Open findings of rules that no longer exist are
        dropped. Raises ValueError for a state that cannot be read, and then changes nothing."""
        try:
            if state["format"] != STATE_FORMAT:
                raise ValueError(f"format {state['format']!r}, expected {STATE_FORMAT}")
            findings = [Finding(**finding) for finding in state["findings"]]
            saved = {
                str(name): {field: saved_rule[field] for field in _SAVED} for name, saved_rule in state["rules"].items()
            }
            history = History()
            history.restore(state["history"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"The doctor's saved state cannot be read ({type(error).__name__}: {error}).") from error
        with self._lock:
            open_at = {watch.rule.name: saved[watch.rule.name]["open_at"] for watch in self._watches
                       if watch.rule.name in saved}  # fmt: skip
            known = set(open_at.values())
            kept = [index for index, finding in enumerate(findings) if not finding.is_open or index in known]
            self._findings = [findings[index] for index in kept]
            for watch in self._watches:
                for field, value in saved.get(watch.rule.name, {}).items():
                    setattr(watch, field, value)
                watch.open_at = kept.index(watch.open_at) if watch.open_at in kept else None
            self._history.restore(history.state())

    def _triggered_by(self, name: str) -> tuple[_Watch, ...]:
        """The rules that are evaluated when `name` has a new value."""
        if name not in self._triggered:
            self._triggered[name] = tuple(
                watch for watch in self._watches if any(belongs(name, to=tag) for tag in watch.rule.triggers)
            )
        return self._triggered[name]

    def _update(self, watch: _Watch, seen: str | None) -> Finding | None:
        """Count this evaluation; the finding, where this opens or closes one."""
        if seen is None:
            watch.bad, watch.good = 0, watch.good + 1
            if watch.open_at is None or watch.good < watch.rule.closes_after:
                return None
            resolved = replace(self._findings[watch.open_at], until=watch.evaluated)
            self._findings[watch.open_at] = resolved
            watch.open_at = None
            return resolved
        if watch.bad == 0:
            watch.since = watch.evaluated
        watch.bad, watch.good = watch.bad + 1, 0
        if watch.open_at is not None and watch.rule.updates_seen:
            self._findings[watch.open_at] = replace(self._findings[watch.open_at], seen=seen)
        if watch.open_at is not None or watch.bad < watch.rule.opens_after:
            return None
        finding = watch.rule.finding(seen, since=watch.since, history=self._history)
        watch.open_at = len(self._findings)
        self._findings.append(finding)
        return finding
