"""At which steps runs are compared, and over which voices.

    choose({"a": run_a.voices, "b": run_b.voices}, at="last-common")    # Chosen(steps={"a": 400, "b": 400}, …)

Guarantees
- A round in which a clip waits for its scores does not count; one with fewer voices than another does.
- `last-common`: one step for all runs, at which each has scores. Never a step that a run does not have.
- `last`, `best`: each run's own step. `best` looks at the mean of one score over the same voices; where the runs have
  steps in common, only those are candidates, so that each run has equally many chances.
- `Chosen.note` names the voices and the later rounds that are left out. Where nothing can be chosen, `Chosen.reason`
  tells why and what to do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tracker_logging.runs import Voice
from tracker_logging.summary import best_point
from tracker_logging.tags import SCORES

At = Literal["last-common", "last", "best"]
AT: tuple[At, ...] = ("last-common", "last", "best")
Voices = Mapping[str, Voice]


Rounds = Mapping[int, frozenset[str]]
"""Step → the voices that were scored, or failed, at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`steps`: run → step; empty with a `reason`. `voices`: those that all runs have there, which are compared.

    `note`: what to know of the choice. `fair`: whether each run had equally many steps to choose from.
    """

    steps: Mapping[str, int]
    voices: frozenset[str] = frozenset()
    reason: str = ""
    note: str = ""
    fair: bool = True


def choose(runs: Mapping[str, Voices], *, at: At, best_by: str | None = None) -> Chosen:
    """The step of each run. `runs`: run → its voices, only those to be compared. `best_by`: the score of `best`."""
    rounds = {name: complete_rounds(voices) for name, voices in runs.items()}
    without = [name for name, steps in rounds.items() if not steps]
    if without:
        return _refused(runs, f"{_listed(without)} has no score of any shared voice.")
    common = [step for step in next(iter(rounds.values())) if _voices_at(rounds, dict.fromkeys(runs, step))]
    if at == "last-common" and not common:
        have = "; ".join(f"{name}: {_steps_text(list(steps))}" for name, steps in rounds.items())
        return _refused(
            runs,
            f"No step has scores of the same voices in all of them ({have}). Compare each run's own step with "
            "--at last or --at best.",
        )
    is_common = bool(common) and at != "last"
    last = {name: common[-1] if is_common else max(of_run) for name, of_run in rounds.items()}
    voices = _voices_at(rounds, last)
    if not voices:
        return _refused(runs, f"No voice in common has scores at these steps ({_each(last)}).")
    chosen = Chosen(steps=last, voices=voices)
    if at == "best":
        chosen = _best(runs, rounds, chosen, is_common=is_common, score=best_by)
    elif len(set(last.values())) > 1:
        chosen = replace(chosen, note="The steps differ: a difference may come from longer training.")
    if not chosen.steps:
        return chosen
    notes = (chosen.note, _left_out_voices(runs, rounds, last, voices), _left_out_rounds(runs, chosen.steps))
    return replace(chosen, note=" ".join(filter(None, notes)))


def complete_rounds(voices: Voices) -> dict[int, frozenset[str]]:
    """The `Rounds` in which no clip waits for its scores, ascending: all clips of a round are there before a score."""
    finished: dict[int, set[str]] = {}
    for name, voice in voices.items():
        for step, entry in voice.steps.items():
            if entry.scores or entry.error:
                finished.setdefault(step, set()).add(name)
    waiting = _waiting(voices)
    return {step: frozenset(names) for step, names in sorted(finished.items()) if step not in waiting}


def steps_with(voices: Collection[str], rounds: Rounds) -> list[int]:
    """The steps that have all of these voices, ascending: means over them can be compared."""
    return [step for step, names in rounds.items() if names.issuperset(voices)]


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
    runs: Mapping[str, Voices], rounds: Mapping[str, Rounds], last: Chosen, *, is_common: bool, score: str | None
) -> Chosen:
    """Each run's best step by the mean of `score` over the voices of `last`."""
    if score is None:
        return _refused(runs, "No score by which the best step could be chosen is in all of them.")
    better = next(each.better for each in SCORES if each.name == score)
    candidates = {name: steps_with(last.voices, of_run) for name, of_run in rounds.items()}
    if is_common:
        shared = set.intersection(*map(set, candidates.values()))
        candidates = dict.fromkeys(runs, sorted(shared))
    steps = {}
    for name, voices in runs.items():
        means = mean_by_step({voice: voices[voice] for voice in last.voices}, score)
        best = best_point([(step, means[step]) for step in candidates[name] if step in means], better)
        if best is None:
            return _refused(runs, f"{name} has no {score} at a step that could be chosen.")
        steps[name] = best[0]
    counts = [str(len(each)) for each in candidates.values()]
    note = f"Each run at its best step by {score}"
    if is_common:
        return replace(last, steps=steps, note=f"{note}, of the {counts[0]} steps that all have.")
    return replace(
        last,
        steps=steps,
        note=f"{note}. The runs have no step in common and {_listed(counts)} "
        "steps to choose from; more steps have a better maximum by chance, so no verdict is given.",
        fair=False,
    )


def _refused(runs: Mapping[str, Voices], reason: str) -> Chosen:
    return Chosen(steps={}, reason=" ".join(filter(None, (reason, _left_out_rounds(runs, {})))))


def _voices_at(rounds: Mapping[str, Rounds], steps: Mapping[str, int]) -> frozenset[str]:
    """The voices that all runs have at their steps."""
    return frozenset.intersection(*(rounds[name].get(step, frozenset()) for name, step in steps.items()))


def _left_out_voices(
    runs: Mapping[str, Voices], rounds: Mapping[str, Rounds], steps: Mapping[str, int], voices: Collection[str]
) -> str:
    shared = len(next(iter(runs.values())))
    if len(voices) == shared:
        return ""
    lacking = {name: shared - len(rounds[name][step]) for name, step in steps.items()}
    where = ", ".join(f"{name} at step {steps[name]} ({count})" for name, count in lacking.items() if count)
    are = "is" if shared - len(voices) == 1 else "are"
    return f"{shared - len(voices)} of the {shared} voices in common {are} left out: not scored in {where}."


def _left_out_rounds(runs: Mapping[str, Voices], steps: Mapping[str, int]) -> str:
    """The rounds after `steps` in which clips wait for their scores."""
    waiting = [
        f"step {step} of {name} ({count} of {sum(step in voice.steps for voice in voices.values())} clips)"
        for name, voices in runs.items()
        for step, count in _waiting(voices).items()
        if step > steps.get(name, -1)
    ]
    return f"Left out as clips wait for their scores: {_listed(waiting)}." if waiting else ""


def _waiting(voices: Voices) -> dict[int, int]:
    """Step → how many clips wait for their scores."""
    waits = (step for voice in voices.values() for step, entry in voice.steps.items() if not entry.scored)
    return dict(sorted(Counter(waits).items()))


def _each(steps: Mapping[str, int]) -> str:
    return ", ".join(f"{name} at step {step}" for name, step in steps.items())


def _steps_text(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps)) if len(steps) <= 4 else f"{steps[0]}, {steps[1]}, …, {steps[-1]}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
