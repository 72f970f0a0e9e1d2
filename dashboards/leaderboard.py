"""One line per run: its scores with intervals, its best step and its open findings. For the page, the tab, the console.

    rows = leaderboard({"a": run_a.voices}, findings={"a": run_a.findings})
    rows[0]["scores"]["sim_margin"]["mean"]

An interval is one of `metrics/interval.py`, over speakers; it is about the run by itself. Whether two runs differ is
decided on their differences over the same voices (`comparison.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracker_logging.events import Finding
from tracker_logging.metrics.interval import mean_interval
from tracker_logging.runs import Voice
from tracker_logging.summary import best_point
from tracker_logging.tags import SCORES

from .checkpoints import complete_rounds, mean_by_step, steps_with, values_at
from .questions import measured_scores, primary_scores

Json = dict[str, Any]

_POINTS = 16  # of a sparkline
_ABOUT = {score.name: score for score in SCORES}


def leaderboard(runs: Mapping[str, Mapping[str, Voice]], *, findings: Mapping[str, Sequence[Finding]]) -> list[Json]:
    """A line per run, in the order given. `runs`: run → its voices."""
    return [line(name, voices, findings.get(name, ())) for name, voices in runs.items()]


def line(name: str, voices: Mapping[str, Voice], findings: Sequence[Finding]) -> Json:
    """One run. `scores`: name → mean, low, high and voices at the last complete step, and the best step.

    `curve`: [step, mean] of `best_by`, the first score. All means are over the voices of the last complete step.
    """
    rounds = complete_rounds(voices)
    last = max(rounds, default=None)
    of_last = {} if last is None else {name: voice for name, voice in voices.items() if name in rounds[last]}
    steps = steps_with(of_last, rounds)
    names = primary_scores(measured_scores(voices.values()), languages=[voice.language for voice in voices.values()])
    means = {name: _means(of_last, name, steps) for name in names.values()}
    scores = {name: _score(of_last, name, steps[-1], of_score) for name, of_score in means.items() if of_score}
    best_by = next(iter(scores), None)
    curve = {} if best_by is None else means[best_by]
    return {
        "name": name,
        "step": last,
        "best_step": None if best_by is None else scores[best_by]["best_step"],
        "best_by": best_by,
        "voices": len(voices),
        "speakers": len({voice.speaker or "" for voice in voices.values()}),
        "scores": scores,
        "curve": [[step, _short(curve[step])] for step in _thinned(list(curve))],
        "findings": open_findings(findings),
    }


def open_findings(findings: Sequence[Finding]) -> list[Json]:
    """Those that a line shows."""
    return [{"name": finding.title, "level": finding.level} for finding in findings if finding.until is None]


def every_score(runs: Mapping[str, Mapping[str, Voice]]) -> list[Json]:
    """Run by run, every score of generated clips: its mean over voices at the last step, and at the best one."""
    return [{"name": name, "scores": [*_every_score(voices)]} for name, voices in runs.items()]


def _every_score(voices: Mapping[str, Voice]) -> Iterator[Json]:
    for score in SCORES:
        means = {} if score.of_real_clips else mean_by_step(voices, score.name)
        if means:
            best = best_point(means.items(), score.better)
            yield {
                "name": score.name,
                "unit": score.unit,
                "better": score.better,
                "last": _at(voices, score.name, max(means), means),
                "best": None if best is None else _at(voices, score.name, best[0], means),
            }


def _at(voices: Mapping[str, Voice], score: str, step: int, means: Mapping[int, float]) -> Json:
    return {"step": step, "mean": means[step], "voices": len(values_at(voices, step=step, score=score))}


def _means(voices: Mapping[str, Voice], score: str, steps: Sequence[int]) -> dict[int, float]:
    """Mean over voices at those of `steps` that have the score."""
    return {step: mean for step, mean in mean_by_step(voices, score).items() if step in set(steps)}


def _score(voices: Mapping[str, Voice], score: str, last: int, means: Mapping[int, float]) -> Json:
    """A score at the last complete step (None where it is missing there) and its best step."""
    values = values_at(voices, step=last, score=score)
    interval = mean_interval(list(values.values()), [voices[voice].speaker or "" for voice in values])
    best = best_point(means.items(), _ABOUT[score].better)
    return {
        "mean": None if interval is None else _short(interval.mean),
        "low": None if interval is None else _short(interval.low),
        "high": None if interval is None else _short(interval.high),
        "voices": len(values),
        "best_step": None if best is None else best[0],
        "best": None if best is None else _short(best[1]),
    }


def _thinned(steps: Sequence[int]) -> list[int]:
    """At most `_POINTS` of the steps, evenly, with the first and the last."""
    if len(steps) <= _POINTS:
        return list(steps)
    places = {round(place * (len(steps) - 1) / (_POINTS - 1)) for place in range(_POINTS)}
    return [steps[place] for place in sorted(places)]


def _short(value: float | None) -> float | None:
    """Four significant digits: a line of the leaderboard is read by eye and sent for hundreds of runs."""
    return None if value is None else float(f"{value:.4g}")
