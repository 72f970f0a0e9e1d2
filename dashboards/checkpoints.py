"""At which steps runs are compared.

    choose({"a": run_a.voices, "b": run_b.voices}, at="last-common")    # Chosen({"a": 400, "b": 400})

Guarantees
- `last-common`: one step for all runs, at which each has scores. Never a step that a run does not have.
- `last`, `best`: each run's own step. `best` looks at the mean of one score over the same voices; where the runs have
  steps in common, only those are candidates, so that each run has equally many chances.
- Where nothing can be chosen, `Chosen.reason` tells why and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tracker_logging.runs import Voice
from tracker_logging.summary import best_point
from tracker_logging.tags import SCORES

At = Literal["last-common", "last", "best"]
AT: tuple[At, ...] = ("last-common", "last", "best")
Voices = Mapping[str, Voice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`steps`: run → step; empty with a `reason`. `note`: what to know of the choice. `fair`: whether each run had
    equally many steps to choose from."""

    steps: Mapping[str, int]
    reason: str = ""
    note: str = ""
    fair: bool = True


def choose(runs: Mapping[str, Voices], *, at: At, best_by: str | None = None) -> Chosen:
    """The step of each run. `runs`: run → its voices, only those to be compared. `best_by`: the score of `best`."""
    rounds = {name: finished_steps(voices) for name, voices in runs.items()}
    without = [name for name, steps in rounds.items() if not steps]
    if without:
        return Chosen(steps={}, reason=f"{_listed(without)} has no score of any shared voice.")
    common = _common(list(rounds.values()))
    if at == "last-common":
        if not common:
            have = "; ".join(f"{name}: {_steps_text(sorted(steps))}" for name, steps in rounds.items())
            return Chosen(
                steps={},
                reason=f"No step has scores in all of them ({have}). Compare each run's own step with --at last or "
                "--at best.",
            )
        return Chosen(steps=dict.fromkeys(runs, common[-1]))
    if at == "last":
        steps = {name: complete_steps(of_run)[-1] for name, of_run in rounds.items()}
        differ = len(set(steps.values())) > 1
        return Chosen(
            steps=steps, note="The steps differ: a difference may come from longer training." if differ else ""
        )
    return _best(runs, rounds, common, best_by)


def finished_steps(voices: Voices) -> dict[int, int]:
    """Step → how many voices were scored, or failed, at it. Clips that wait for their scores do not count."""
    counts: dict[int, int] = {}
    for voice in voices.values():
        for step, entry in voice.steps.items():
            if entry.scores or entry.error:
                counts[step] = counts.get(step, 0) + 1
    return dict(sorted(counts.items()))


def complete_steps(finished: Mapping[int, int]) -> list[int]:
    """Of step → finished voices, the steps with most of them, ascending: a round in progress is left out."""
    most = max(finished.values(), default=0)
    return sorted(step for step, voices in finished.items() if voices == most)


def values_at(voices: Voices, *, step: int, score: str) -> dict[str, float]:
    """Voice → its score at the step, for the voices that have it."""
    entries = {name: voice.steps.get(step) for name, voice in voices.items()}
    return {name: entry.scores[score] for name, entry in entries.items() if entry and score in entry.scores}


def mean_by_step(voices: Voices, score: str) -> dict[int, float]:
    """Step → mean of a score over the voices that have it there."""
    values: dict[int, list[float]] = {}
    for voice in voices.values():
        for step, entry in voice.steps.items():
            if score in entry.scores:
                values.setdefault(step, []).append(entry.scores[score])
    return {step: math.fsum(of_step) / len(of_step) for step, of_step in sorted(values.items())}


def _best(
    runs: Mapping[str, Voices], rounds: Mapping[str, Mapping[int, int]], common: Sequence[int], score: str | None
) -> Chosen:
    if score is None:
        return Chosen(steps={}, reason="No score by which the best step could be chosen is in all of them.")
    better = next(each.better for each in SCORES if each.name == score)
    steps = {}
    for name, voices in runs.items():
        means = mean_by_step(voices, score)
        candidates = common or complete_steps(rounds[name])
        best = best_point([(step, means[step]) for step in candidates if step in means], better)
        if best is None:
            return Chosen(steps={}, reason=f"{name} has no {score} at a step that could be chosen.")
        steps[name] = best[0]
    note = f"Each run at its best step by {score}"
    if common:
        return Chosen(steps=steps, note=f"{note}, of the {len(common)} steps that all have.")
    return Chosen(
        steps=steps,
        note=f"{note}. The runs have no step in common and {_listed([str(len(each)) for each in rounds.values()])} "
        "steps to choose from; more steps have a better maximum by chance, so no verdict is given.",
        fair=False,
    )


def _common(rounds: Sequence[Mapping[int, int]]) -> list[int]:
    """The complete steps that all have."""
    steps = set.intersection(*(set(of_run) for of_run in rounds))
    return complete_steps({step: min(of_run[step] for of_run in rounds) for step in steps})


def _steps_text(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps)) if len(steps) <= 4 else f"{steps[0]}, {steps[1]}, …, {steps[-1]}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
