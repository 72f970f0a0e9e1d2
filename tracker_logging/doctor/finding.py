"""Levels of findings. A finding itself is a value of `events`.

- `level` is how bad the problem is: `info` (good to know), `warning` (look at it soon), `error` (this training fails).
- `certainty` is about the cause: `certain`, `likely` or `possible`. What is in `seen` was measured in any case.
"""

from __future__ import annotations

from typing import TypeAlias, get_args

from tracker_logging.events import AlertLevel, Certainty, Finding

Level: TypeAlias = AlertLevel
LEVELS: tuple[Level, ...] = get_args(AlertLevel)
"""From the mildest to the worst."""

__all__ = ["LEVELS", "Certainty", "Finding", "Level", "at_least", "title"]


def title(name: str) -> str:
    """The name of a finding as a heading.

    >>> title("learning_rate_zero")
    'Learning rate zero'
    """
    return name.replace("_", " ").capitalize()


def at_least(level: Level, limit: Level) -> bool:
    """Whether `level` is as bad as `limit`, or worse."""
    return LEVELS.index(level) >= LEVELS.index(limit)
