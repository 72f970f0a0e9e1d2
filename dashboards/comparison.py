"""Compares runs, or groups of runs of one setting, over the same voices at chosen steps.

    result = compare_sides([Side("a", {"a": run_a}), Side("b", {"b": run_b})])
    result["pairs"][0]["scores"][0]["sentence"]     # "sim_margin: b is better, +0.05 (…)"

Guarantees
- Only voices with the same id are paired, at steps at which the runs have them (`checkpoints.py`); the others are
  listed or counted.
- One score per question (`questions.py`) has a verdict. In 95 % of pages on which nothing differs there is none at all:
  speakers are the unit of chance, and the tests of a page are corrected for their number (`metrics/sign_flip.py`). All
  other scores are described, with the interval of `metrics/interval.py`.
- With too few speakers a row tells how many it needs; without a verdict, which difference would be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.metrics.interval import MIN_GROUPS, mean_interval
from tracker_logging.metrics.sign_flip import (
    ALPHA,
    crossed_test,
    detectable_difference,
    holm,
    minimum_groups,
    sign_flip_p,
)
from tracker_logging.runs import Run, Voice
from tracker_logging.tags import SCORES, Better, Score

from .checkpoints import At, Chosen, choose, values_at
from .conditions import conditions
from .questions import measured_scores, primary_scores
from .sentences import row_sentence

Json = dict[str, Any]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Side:
    """A run, or several runs of one setting that differ in their seed. `runs`: displayed name → run."""

    name: str
    runs: Mapping[str, Run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One score of a pair: means of both sides over the same voices, and second − first.

    `question`: "" for a score that is only described. `p`: adjusted for all tests of the page. `detectable`: the true
    difference that such a page would find in 80 % of cases. `verdict`: "better", "worse", "none" (no difference shown),
    "too few" or "" (described).
    """

    name: str
    question: str
    unit: str
    better: Better
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    voices: int
    speakers: int
    missing: Mapping[str, int]
    p: float | None = None
    detectable: float | None = None
    verdict: str = ""
    needs: int | None = None


def compare_sides(sides: Sequence[Side], *, at: At = "last-common", also: Sequence[str] = ()) -> Json:
    """`pairs`: each further side against the first. `also`: more scores that get a verdict."""
    comparisons = [_Pair(sides[0], other, at=at, also=also, comparisons=len(sides) - 1) for other in sides[1:]]
    return {"at": at, "pairs": [pair.as_json() for pair in comparisons]}


class _Pair:
    """Two sides, the steps that were chosen, and the voices that all their runs have there."""

    def __init__(self, first: Side, second: Side, *, at: At, also: Sequence[str], comparisons: int) -> None:
        self.first, self.second, self.comparisons = first, second, comparisons
        self.runs = {**first.runs, **second.runs}
        common = [v for v in next(iter(self.runs.values())).voices if all(v in r.voices for r in self.runs.values())]
        shared = {name: {voice: run.voices[voice] for voice in common} for name, run in self.runs.items()}
        self.primary = _primary(shared, also) if common else {}
        best_by = next(iter(self.primary.values()), None)
        self.chosen: Chosen = (
            choose(shared, at=at, best_by=best_by)
            if common
            else Chosen(steps={}, reason="They have no voice in common. Runs of the same prompts have the same voices.")
        )
        self.paired = [voice for voice in common if voice in self.chosen.voices or not self.chosen.steps]
        self.voices = {name: {voice: of_run[voice] for voice in self.paired} for name, of_run in shared.items()}

    def as_json(self) -> Json:
        rows = self._rows() if self.chosen.steps else []
        return {
            "first": self.first.name,
            "second": self.second.name,
            "groups": {side.name: list(side.runs) for side in (self.first, self.second)},
            "steps": dict(self.chosen.steps),
            "reason": self.chosen.reason,
            "note": self.chosen.note,
            "paired": self.paired,
            "speakers": len({self._speaker(voice) for voice in self.paired}),
            "only_first": self._only(self.first, self.second),
            "only_second": self._only(self.second, self.first),
            "conditions": [asdict(c) for c in conditions(self.runs, voices=self.paired, steps=self.chosen.steps)],
            "scores": [{**asdict(row), "sentence": row_sentence(row, second=self.second.name)} for row in rows],
        }

    def _only(self, side: Side, other: Side) -> list[str]:
        return sorted(
            {v for run in side.runs.values() for v in run.voices} - {v for r in other.runs.values() for v in r.voices}
        )

    def _speaker(self, voice: str) -> str:
        """The speaker; voices of unknown speakers may all be of one, and count as one."""
        return next(iter(self.voices.values()))[voice].speaker or ""

    def _rows(self) -> list[Row]:
        """The rows of the questions, then all others in the order of the table of tags."""
        questions = {name: question for question, name in self.primary.items()}
        order = [*questions, *(score.name for score in SCORES if score.name not in questions)]
        about = {score.name: score for score in SCORES}
        tables = {name: table for name in order if (table := self._table(name)) is not None}
        rows = [self._described(about[name], table, question=questions.get(name, "")) for name, table in tables.items()]
        tested = [row for row in rows if row.question]
        if not self.chosen.fair:
            return rows
        is_group = len(self.first.runs) + len(self.second.runs) > 2
        judged = self._judged_groups(tested, tables) if is_group else self._judged(tested, tables)
        return [judged.get(row.name, row) for row in rows]

    def _table(self, score: str) -> tuple[list[str], Array, Array] | None:
        """The voices that all runs have the score of, and its values [runs of a side, voices]; None without a voice."""
        if next(each for each in SCORES if each.name == score).of_real_clips:
            return None
        values = {n: values_at(v, step=self.chosen.steps[n], score=score) for n, v in self.voices.items()}
        having = [voice for voice in self.paired if all(voice in of_run for of_run in values.values())]
        if not having:
            return None
        first, second = (
            np.array([[values[run][voice] for voice in having] for run in side.runs])
            for side in (self.first, self.second)
        )
        return having, first, second

    def _described(self, score: Score, table: tuple[list[str], Array, Array], *, question: str) -> Row:
        having, first, second = table
        speakers = [self._speaker(voice) for voice in having]
        interval = mean_interval(second.mean(axis=0) - first.mean(axis=0), speakers)
        assert interval is not None
        missing = {
            name: count
            for name, voices in self.voices.items()
            if (count := len(self.paired) - len(values_at(voices, step=self.chosen.steps[name], score=score.name)))
        }
        return Row(
            name=score.name,
            question=question,
            unit=score.unit,
            better=score.better,
            first=float(first.mean()),
            second=float(second.mean()),
            difference=interval.mean,
            low=interval.low,
            high=interval.high,
            voices=len(having),
            speakers=len(set(speakers)),
            missing=missing,
        )

    def _judged(self, rows: Sequence[Row], tables: Mapping[str, tuple[list[str], Array, Array]]) -> dict[str, Row]:
        """Two runs: one sign-flip test of all rows together, corrected for the number of pairs on the page."""
        differences = np.full((len(self.paired), len(rows)), np.nan)
        for column, row in enumerate(rows):
            having, first, second = tables[row.name]
            differences[[self.paired.index(voice) for voice in having], column] = gain(second, row.better).mean(
                axis=0
            ) - gain(first, row.better).mean(axis=0)
        speakers = [self._speaker(voice) for voice in self.paired]
        p_values = sign_flip_p(differences, speakers) if rows else np.ones(0)
        judged = {}
        for column, row in enumerate(rows):
            needs = minimum_groups(comparisons=self.comparisons)
            known = np.isfinite(differences[:, column])
            least = detectable_difference(
                differences[known, column],
                [speaker for speaker, is_known in zip(speakers, known, strict=True) if is_known],
                scores=len(rows),
                comparisons=self.comparisons,
            )
            p = min(1.0, self.comparisons * float(p_values[column]))
            gained = float(differences[known, column].mean())
            judged[row.name] = (
                _with_verdict(row, p=p, gained=gained, detectable=least)
                if row.speakers >= needs
                else replace(row, verdict="too few", needs=needs)
            )
        return judged

    def _judged_groups(
        self, rows: Sequence[Row], tables: Mapping[str, tuple[list[str], Array, Array]]
    ) -> dict[str, Row]:
        """Groups of runs: speakers and runs are random; Holm over the scores, and all pairs of the page."""
        tests = {}
        for row in rows:
            having, first, second = tables[row.name]
            test = crossed_test(
                gain(first, row.better), gain(second, row.better), [self._speaker(voice) for voice in having]
            )
            if test is not None:
                tests[row.name] = test
        adjusted = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
        judged = {}
        for row in rows:
            test = tests.get(row.name)
            if test is None or row.speakers < MIN_GROUPS:
                judged[row.name] = replace(row, verdict="too few", needs=MIN_GROUPS)
                continue
            half = test.half_width
            judged[row.name] = _with_verdict(
                replace(row, low=row.difference - half, high=row.difference + half),
                p=min(1.0, self.comparisons * adjusted[row.name]),
                gained=test.difference,
                detectable=test.detectable(tests=len(tests) * self.comparisons),
            )
        return judged


def gain(values: Array, better: Better) -> Array:
    """How good the values are: larger is better, whatever the direction of the score."""
    if better in ("higher", ""):
        return values
    return -values if better == "lower" else -np.abs(values - (1.0 if better == "one" else 0.0))


def _with_verdict(row: Row, *, p: float, gained: float, detectable: float | None) -> Row:
    """`gained`: mean of second − first, where larger is better."""
    verdict = "none" if p > ALPHA else "better" if gained > 0 else "worse"
    return replace(row, p=p, detectable=detectable, verdict=verdict)


def _primary(runs: Mapping[str, Mapping[str, Voice]], also: Sequence[str]) -> dict[str, str]:
    """Question → the score that answers it: the first that every run has. `also` is asked under its own name."""
    everywhere = set.intersection(*(measured_scores(voices.values()) for voices in runs.values()))
    languages = [voice.language for voice in next(iter(runs.values())).values()]
    chosen = primary_scores(everywhere, languages=languages)
    return chosen | {name: name for name in also if name in everywhere and name not in chosen.values()}
