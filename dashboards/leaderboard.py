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

from .checkpoints import complete_steps, finished_steps, mean_by_step, values_at
from .comparison import QUESTIONS

Json = dict[str, Any]

SHOWN = tuple(name for names in QUESTIONS.values() for name in names)
"""The scores of a line, where they were measured."""
_POINTS = 24  # of a sparkline
_ABOUT = {score.name: score for score in SCORES}


def leaderboard(runs: Mapping[str, Mapping[str, Voice]], *, findings: Mapping[str, Sequence[Finding]]) -> list[Json]:
    """A line per run, in the order given. `runs`: run → its voices."""
    return [line(name, voices, findings.get(name, ())) for name, voices in runs.items()]


def line(name: str, voices: Mapping[str, Voice], findings: Sequence[Finding]) -> Json:
    """One run. `scores`: name → mean, low, high, voices and speakers at the last finished step, best step and curve."""
    complete = complete_steps(finished_steps(voices))
    last = complete[-1] if complete else None
    best_by = next((score for score in SHOWN if any(mean_by_step(voices, score))), None)
    scores = {
        score: row for score in SHOWN if last is not None and (row := _score(voices, score, complete)) is not None
    }
    open_findings = [finding for finding in findings if finding.until is None]
    return {
        "run": name,
        "step": last,
        "best_step": scores[best_by]["best_step"] if best_by in scores else None,
        "best_by": best_by,
        "voices": len(voices),
        "speakers": len({voice.speaker or "" for voice in voices.values()}),
        "scores": scores,
        "findings": [{"name": finding.title, "level": finding.level} for finding in open_findings],
    }


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


def _score(voices: Mapping[str, Voice], score: str, steps: Sequence[int]) -> Json | None:
    """A score over the complete `steps`; None where it was never measured. Missing at the last step: only the curve."""
    means = {step: mean for step, mean in mean_by_step(voices, score).items() if step in set(steps)}
    if not means:
        return None
    values = values_at(voices, step=steps[-1], score=score)
    interval = mean_interval(list(values.values()), [voices[voice].speaker or "" for voice in values])
    best = best_point(means.items(), _ABOUT[score].better)
    return {
        "mean": None if interval is None else _short(interval.mean),
        "low": None if interval is None else _short(interval.low),
        "high": None if interval is None else _short(interval.high),
        "voices": len(values),
        "best_step": None if best is None else best[0],
        "best": None if best is None else _short(best[1]),
        "curve": [[step, _short(means[step])] for step in _thinned(list(means))],
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
