"""Forgetting is found in noisy rounds of voices, and not where unseen voices only vary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from doctor.traces import Trace, examined

from tracker_logging.doctor.rules import groups
from tracker_logging.metrics.interval import mean_interval

ROUNDS, SPEAKERS, CLIPS = 20, 8, 2
BETWEEN, WITHIN = 0.08, 0.05  # standard deviations of the margin: of speakers, and of clips of a speaker in a round


def rounds(group: str, course: Sequence[float], random: np.random.Generator) -> dict[str, list[float]]:
    """The margins of a group whose true mean follows `course`, with intervals as they are logged."""
    speakers = random.normal(0.0, BETWEEN, SPEAKERS).repeat(CLIPS)
    names = np.arange(SPEAKERS).repeat(CLIPS).tolist()
    trace: dict[str, list[float]] = {f"voices/group/{group}/sim_margin{end}": [] for end in ("", "/low", "/high")}
    for mean in course:
        interval = mean_interval(mean + speakers + random.normal(0.0, WITHIN, SPEAKERS * CLIPS), names)
        assert interval is not None and interval.low is not None and interval.high is not None
        for values, value in zip(trace.values(), (interval.mean, interval.low, interval.high), strict=True):
            values.append(value)
    return trace


def found(unseen: Sequence[float], *, seed: int) -> bool:
    random = np.random.default_rng(seed)
    trained = rounds("trained", np.linspace(0.1, 0.4, ROUNDS).tolist(), random)
    trace: Trace = trained | rounds("unseen", unseen, random)
    return [one.name for one in examined(trace, rules=groups.RULES)] == ["cloning_others_lost"]


HEALTHY = {
    "as good as the base": np.full(ROUNDS, 0.25),
    "better": np.linspace(0.25, 0.35, ROUNDS),
    "a little worse": np.linspace(0.25, 0.23, ROUNDS),
    "a base that clones nobody": np.zeros(ROUNDS),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_unseen_voices_that_only_vary_are_no_finding(name: str) -> None:
    alarms = sum(found(HEALTHY[name].tolist(), seed=seed) for seed in range(30))
    assert alarms <= 1, f"{alarms} of 30 trainings"


def test_unseen_voices_that_are_lost_are_found() -> None:
    lost = np.concatenate([np.full(5, 0.25), np.linspace(0.25, 0.1, ROUNDS - 5)]).tolist()
    assert sum(found(lost, seed=seed) for seed in range(30)) >= 29
