"""Compares the scores of two or more runs: each score per run, and the paired difference over the same voices.

    result = compare_runs(index)
    result["pairs"][0]["scores"][0]["sentence"]     # "sim_o: no difference shown with 12 voices (…)"

Guarantees
- Only voices with the same id are paired, at the last step that both runs have reached; the others are listed.
- The interval is that of `metrics.interval` over the differences. Where it includes zero, the sentence says that no
  difference is shown; with fewer than five voices there is no interval and no claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tracker_logging.metrics.interval import Interval, mean_interval
from tracker_logging.summary import best_point

Json = dict[str, Any]


def compare_runs(index: Mapping[str, Any]) -> Json:
    """`runs`: last and best of each score; `pairs`: each further run against the first. `index`: see `voice_index`."""
    names = [run["name"] for run in index["runs"]]
    scores = [score for score in index["scores"] if score["of"] == "generated"]
    return {
        "runs": [{"name": name, "scores": _scores_of(index, scores, name)} for name in names],
        "pairs": [_pair(index, scores, names[0], other) for other in names[1:]],
    }


def _entries(index: Mapping[str, Any], run: str) -> dict[str, list[Json]]:
    return {voice["id"]: voice["generated"][run] for voice in index["voices"] if run in voice["generated"]}


def _scores_of(index: Mapping[str, Any], scores: Sequence[Json], run: str) -> list[Json]:
    """For each score that the run has: mean over voices at the last step, and at the best one."""
    rows = []
    for score in scores:
        by_step: dict[int, list[float]] = {}
        for entries in _entries(index, run).values():
            for entry in entries:
                if score["name"] in entry["scores"]:
                    by_step.setdefault(entry["step"], []).append(entry["scores"][score["name"]])
        if by_step:
            means = {step: float(np.mean(values)) for step, values in sorted(by_step.items())}
            last = max(means)
            row = {"name": score["name"], "unit": score["unit"], "better": score["better"]}
            row |= {"last": {"step": last, "mean": means[last], "voices": len(by_step[last])}}
            best, _ = best_point(means.items(), score["better"]) or (None, None)
            row |= {"best": None if best is None else {"step": best, "mean": means[best], "voices": len(by_step[best])}}
            rows.append(row)
    return rows


def _pair(index: Mapping[str, Any], scores: Sequence[Json], first: str, second: str) -> Json:
    left, right = _entries(index, first), _entries(index, second)
    shared = [voice for voice in left if voice in right]
    pair: Json = {
        "first": first,
        "second": second,
        "step": min(
            (max(e["step"] for rows in side.values() for e in rows) for side in (left, right) if side), default=0
        ),
        "paired": shared,
        "only_first": [voice for voice in left if voice not in right],
        "only_second": [voice for voice in right if voice not in left],
    }
    pair["scores"] = [
        row
        for score in scores
        if (row := _difference(score, [(left[v], right[v]) for v in shared], step=pair["step"], second=second))
    ]
    return pair


def _difference(score: Json, voices: Sequence[tuple[list[Json], list[Json]]], *, step: int, second: str) -> Json | None:
    """Second − first over the voices that have the score in both runs; None without such a voice."""
    values = [(_at(left, step, score["name"]), _at(right, step, score["name"])) for left, right in voices]
    both = [(a, b) for a, b in values if a is not None and b is not None]
    interval = mean_interval([b - a for a, b in both])
    if interval is None:
        return None
    verdict = _verdict(score["better"], both)
    return {
        "name": score["name"],
        "unit": score["unit"],
        "first": float(np.mean([a for a, _ in both])),
        "second": float(np.mean([b for _, b in both])),
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "voices": interval.n,
        "verdict": verdict,
        "sentence": _sentence(score, interval, verdict, second=second),
    }


def _at(entries: Sequence[Json], step: int, score: str) -> float | None:
    """The score at `step` or the nearest earlier one."""
    earlier = [entry for entry in entries if entry["step"] <= step]
    return earlier[-1]["scores"].get(score) if earlier else None


def _verdict(better: str, values: Sequence[tuple[float, float]]) -> str:
    """ "none" (no difference shown), "better", "worse" or "different" (shown, and neither good nor bad by itself)."""
    gain = {
        "higher": lambda value: value,
        "lower": lambda value: -value,
        "zero": lambda value: -abs(value),
        "one": lambda value: -abs(value - 1.0),
    }.get(better)
    if _side([b - a for a, b in values]) == 0:
        return "none"
    gained = 0 if gain is None else _side([gain(b) - gain(a) for a, b in values])
    return ("different", "better", "worse")[gained]


def _side(differences: Sequence[float]) -> int:
    """1 or −1 where the interval of the mean is entirely on one side of zero, else 0."""
    interval = mean_interval(differences)
    if interval is None or interval.low is None or interval.high is None or interval.low <= 0.0 <= interval.high:
        return 0
    return 1 if interval.mean > 0 else -1


def _sentence(score: Json, interval: Interval, verdict: str, *, second: str) -> str:
    n = f"{interval.n} voice{'s' if interval.n != 1 else ''}"
    unit = f" {score['unit']}" if score["unit"] else ""
    mean = f"{interval.mean:+.3g}{unit}"
    if interval.low is None or interval.high is None:
        return f"{score['name']}: {mean} with {n}; no difference is claimed without an interval ({interval.reason})."
    span = f"95 % interval {interval.low:+.3g} to {interval.high:+.3g}"
    if verdict == "none":
        return f"{score['name']}: no difference shown with {n} ({mean}, {span} contains zero)."
    return f"{score['name']}: {second} is {verdict} with {n} ({mean}, {span})."


def differing_settings(settings: Mapping[str, Mapping[str, Any]]) -> Json:
    """`settings`: run → its settings. Lists the settings that differ and counts those that do not."""
    names = sorted({name for of_run in settings.values() for name in of_run})
    rows = {name: {run: of_run.get(name) for run, of_run in settings.items()} for name in names}
    differing = [
        {"name": name, "values": values}
        for name, values in rows.items()
        if any(a != b for a, b in pairwise(values.values()))
    ]
    return {"differing": differing, "same": len(rows) - len(differing)}
