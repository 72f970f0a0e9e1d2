"""Traces of healthy and failing runs as {tag: [value at each evaluation]}, and their findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tracker_logging.doctor.doctor import Doctor
from tracker_logging.doctor.finding import Finding
from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import RULES

Trace: TypeAlias = Mapping[str, Sequence[float | None]]
EVERY = 100


def rule(name: str) -> Rule:
    return next(own for own in RULES if own.name == name)


def examined(trace: Trace, *, rules: Sequence[Rule] = RULES) -> list[Finding]:
    """All findings of a run that logs the trace at steps 1, 100, 200, …; None is a tag that is absent then."""
    doctor = Doctor(rules)
    for look in range(max(map(len, trace.values()))):
        values = {tag: own[look] for tag, own in trace.items() if look < len(own)}
        doctor.add(EVERY * look or 1, {tag: value for tag, value in values.items() if value is not None})
        doctor.examine()
    assert doctor.take_errors() == []
    return list(doctor.findings)


def names(trace: Trace) -> set[str]:
    return {finding.name for finding in examined(trace)}


def _margins(means: Sequence[float], lows: Sequence[float], losses: Sequence[float]) -> Trace:
    return {"voices/sim_margin/mean": means, "voices/sim_margin/low": lows, "eval/loss": losses}


LOSS_AND_VOICE: tuple[Sequence[Trace], Sequence[Trace]] = (
    [_margins([0.1, 0.3, 0.2, 0.1, 0.1], [0.05, 0.25, 0.15, 0.05, 0.05], [5.0, 4.0, 3.0, 2.0, 1.0])],
    [
        _margins([0.1, 0.3, 0.28, 0.27, 0.28], [0.05, 0.25, 0.2, 0.2, 0.2], [5.0, 4.0, 3.0, 2.0, 1.0]),
        _margins([0.3, 0.2, 0.1, 0.1, 0.1], [0.25, 0.15, 0.05, 0.05, 0.05], [1.0, 4.0, 3.0, 2.0, 4.0]),
    ],
)
"""Traces in which the lowest loss and the best voice are at different steps, and healthy ones."""
