"""A finding: one problem of a training, with the evidence, the cause and the fix. A value of numbers and text only.

- `level` is how bad the problem is: `info` (good to know), `warning` (look at it soon), `error` (this training fails).
- `certainty` is about the cause: `certain`, `likely` or `possible`. What is in `seen` was measured in any case.

>>> finding = Finding(name="learning_rate_zero", level="error", seen="train/learning_rate is 0 at step 60",
...                   cause="the schedule has ended.", fix="raise max_steps.", certainty="likely", since=40)
>>> finding.title, finding.is_open
('Learning rate zero', True)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Level: TypeAlias = Literal["info", "warning", "error"]
Certainty: TypeAlias = Literal["certain", "likely", "possible"]

LEVELS: tuple[Level, ...] = get_args(Level)
"""From the mildest to the worst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem, open or resolved.

    `name`: snake_case, the same in every run. `seen`: the measured evidence with its numbers, as part of a sentence.
    `cause`: the cause, or ranked alternatives. `since`: the optimizer step of the first evidence; None before training.
    `until`: the step at which it was resolved; None while it is open.
    """

    name: str
    level: Level
    seen: str
    cause: str
    fix: str
    certainty: Certainty
    since: int | None = None
    until: int | None = None

    @property
    def title(self) -> str:
        """The name as a heading: `Learning rate zero`."""
        return title(self.name)

    @property
    def is_open(self) -> bool:
        """Whether it is not resolved."""
        return self.until is None

    @property
    def text(self) -> str:
        """Evidence, cause and fix, one line each, without the title."""
        since = "" if self.since is None else f" Since step {self.since}."
        resolved = "" if self.until is None else f" Resolved at step {self.until}."
        return f"Seen: {self.seen}.{since}{resolved}\nCause ({self.certainty}): {self.cause}\nFix: {self.fix}"


def title(name: str) -> str:
    """The name of a finding as a heading."""
    return name.replace("_", " ").capitalize()


def at_least(level: Level, limit: Level) -> bool:
    """Whether `level` is as bad as `limit`, or worse."""
    return LEVELS.index(level) >= LEVELS.index(limit)
