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


_FLAT_NLL = [4.0 + 0.01 * (look % 3) for look in range(32)]
_UNCERTAIN = {"outputs/accuracy/mean": [0.1] * 32}
_FLAT: Trace = {"outputs/nll/mean": _FLAT_NLL} | _UNCERTAIN
_WARM_UP = [4e-8 * look for look in range(32)]
_RISING = {"train/learning_rate": [1e-7 * look for look in range(32)]}


def _updates(**components: Sequence[float]) -> dict[str, Sequence[float]]:
    return {f"gradients/update_ratio/{name}": own for name, own in components.items()}


def _planned(steps: int) -> dict[str, Sequence[float]]:
    return {"planned_steps": [float(steps)]}


DOES_NOT_LEARN: tuple[Sequence[Trace], Sequence[Trace]] = (
    [
        _FLAT,
        _FLAT | _updates(heads=[2e-4] * 32),
        _FLAT | _updates(lora_audio_ffn=[6e-4] * 32),
        _FLAT | _updates(heads=[1e-6] * 32) | _planned(5_000),
    ],
    [
        _FLAT | _updates(heads=[5e-5] * 32),
        _FLAT | _updates(lora_audio_ffn=[2e-4] * 32),
        _FLAT | _updates(norms=[1.0] * 32, heads=[1e-6] * 32),
        _FLAT | _updates(heads=[1e-6] * 32) | _planned(50_000),
        _FLAT | _updates(heads=_WARM_UP) | _planned(30_000) | _RISING,
        {"outputs/nll/mean": _FLAT_NLL, "outputs/accuracy/mean": [0.9] * 32},
        {"outputs/nll/mean": [4.0 * 0.99**look for look in range(32)]} | _UNCERTAIN,
        {"outputs/nll/mean": _FLAT_NLL[:20]} | _UNCERTAIN,
        {"outputs/nll/mean": [6.0, 4.0, *_FLAT_NLL]} | _UNCERTAIN,
    ],
)
"""Flat traces of updates that went far or never will, and of healthy ones that have not gone far yet."""
