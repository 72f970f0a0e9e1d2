"""What is wrong, in words: what was seen, what it means and what to do. A value that knows numbers and text only.

- `level` says how bad it is: `info` (good to know), `warning` (look at it soon), `error` (this training fails).
- `certainty` says how sure we are of the cause: `certain`, `likely` or `possible`. What was seen is always true.

    Finding(name="learning_rate_zero", level="error", seen="train/learning_rate is 0 at steps 40 to 60", cause="…",
            cure="…", certainty="certain", since=40)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Level: TypeAlias = Literal["info", "warning", "error"]
Certainty: TypeAlias = Literal["certain", "likely", "possible"]

LEVELS: tuple[Level, ...] = get_args(Level)
"""From the mildest to the worst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or was.

    `name`: snake_case, the same in every run. `seen`: the evidence with its numbers. `since`: the optimizer step at
    which it was first seen; None before training. `until`: the step at which it had healed; None while it is open.
    """

    name: str
    level: Level
    seen: str
    cause: str
    cure: str
    certainty: Certainty
    since: int | None = None
    until: int | None = None

    @property
    def title(self) -> str:
        """The name as a heading: `Learning rate zero`."""
        return title(self.name)

    @property
    def is_open(self) -> bool:
        """Whether it has not healed."""
        return self.until is None

    @property
    def text(self) -> str:
        """All its words, a line each, without the title."""
        when = "" if self.since is None else f" Since step {self.since}."
        healed = "" if self.until is None else f" Healed at step {self.until}."
        return (
            f"Seen: {self.seen}.{when}{healed}\n"
            f"Likely cause ({self.certainty}): {self.cause}\n"
            f"What to do: {self.cure}"
        )  # fmt: skip


def title(name: str) -> str:
    """The name of a finding as a heading."""
    return name.replace("_", " ").capitalize()


def at_least(level: Level, limit: Level) -> bool:
    """Whether `level` is as bad as `limit`, or worse."""
    return LEVELS.index(level) >= LEVELS.index(limit)


def worst(findings: Iterable[Finding]) -> Level | None:
    """The worst level among `findings`; None where there are none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default=None)
