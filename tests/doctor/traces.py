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


def every(*values: float) -> list[float]:
    """The last value goes on."""
    return [*values, *[values[-1]] * (8 - len(values))]


def gap(low: Sequence[float], high: Sequence[float], which: str = "gap") -> dict[str, Sequence[float]]:
    return {f"conditioning/{which}/low": low, f"conditioning/{which}/high": high}


def faded(*means: float, below: float, which: str = "gap") -> dict[str, Sequence[float]]:
    """A gap with an interval of `below` on both sides."""
    values = every(*means)
    ends = gap([value - below for value in values], [value + below for value in values], which)
    return ends | {f"conditioning/{which}/mean": values}


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


def _of_groups(trained: Sequence[float], unseen: Sequence[float], *, half: float | None = 0.05) -> Trace:
    means = {"voices/group/trained_speakers": trained, "voices/group/unseen_real": unseen}
    ends = {} if half is None else {"low": -half, "high": half}
    return {f"{group}/sim_margin": values for group, values in means.items()} | {
        f"{group}/sim_margin/{end}": [value + shift for value in values]
        for group, values in means.items()
        for end, shift in ends.items()
    }


_IMPROVING = [0.1, 0.2, 0.3, 0.35, 0.4]
OTHERS_LOST: tuple[Sequence[Trace], Sequence[Trace]] = (
    [_of_groups(_IMPROVING, [0.3, 0.31, 0.28, 0.2, 0.1]), _of_groups(_IMPROVING, [0.3, 0.2, 0.2, 0.2, 0.2], half=0.01)],
    [
        _of_groups(_IMPROVING, [0.3, 0.26, 0.27, 0.26, 0.27]),
        _of_groups(_IMPROVING, [0.3, 0.28, 0.28, 0.28, 0.28], half=0.01),  # surely lower, and by less than a tenth
        _of_groups(_IMPROVING, [0.3, 0.31, 0.1, 0.32, 0.1]),
        _of_groups([0.3, 0.2, 0.1, 0.1, 0.1], [0.3, 0.2, 0.1, 0.1, 0.1]),  # nothing is learned
        _of_groups(_IMPROVING, [0.3, 0.31, 0.28, 0.2, 0.1], half=None),
        _of_groups([0.3, 0.31, 0.28, 0.2, 0.1], _IMPROVING),
        _of_groups([0.0, 0.2, 0.3, 0.35, 0.4], [0.01, 0.0, -0.02, 0.0, -0.01]),  # a base that clones nobody
    ],
)
"""Traces in which unseen voices get worse while trained ones get better, and healthy ones."""


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
