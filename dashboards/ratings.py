"""Merges the files of the raters of a listening test (`static/votes.js` writes them) into one table.

    merged = merge([read_ratings(path) for path in paths])
    merged["results"][0]["sentence"]  # "b against a: +1.4 (+0.9 to +1.9), …"

Guarantees
- Only clips of the same steps are pooled; a rater's later file replaces votes of an earlier one on the same trial.
- Raters with fewer than three quarters of their catch trials right are left out and named.
- From five raters on, intervals and verdicts are about other raters, too: both speakers and raters are random
  (`metrics/crossed.py`). With fewer raters they are about new speakers as these raters hear them
  (`metrics/interval.py`), and the sentence says so.
- Verdicts flip the signs of whole speakers (`metrics/sign_flip.py`), with Holm over the table; from five raters on, the
  p value is at least that of the mean with speakers and raters random.
- Agreement is Krippendorff's alpha (`metrics/agreement.py`), on what was judged and not on the letters.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.metrics.agreement import Level, krippendorff_alpha
from tracker_logging.metrics.crossed import crossed_mean
from tracker_logging.metrics.interval import mean_interval
from tracker_logging.metrics.sign_flip import ALPHA, holm, minimum_groups, sign_flip_p

FORMAT = "tracker_logging ratings"
VERSION = 1
CATCH_SHARE = 0.75  # of a rater's catch trials that must be right
SCALES = {
    "preference": "−3 to +3",
    "abx": "share right, guessing 0.5",
    "similarity": "1 to 5",
    "naturalness": "1 to 5",
}
"""Mode → its scale. Preference: comparison category rating, naturalness: absolute category rating of ITU-T P.800."""

Json = dict[str, Any]
Array = npt.NDArray[np.float64]


class RatingsError(ValueError):
    """A file that is no file of ratings."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One judgement. `systems`: what it is about ("run@step" or "real recording"), the baseline first; `value`: of the
    second against the first, whether ABX was right (1 or 0), or the grade of the only one."""

    rater: str
    mode: str
    voice: str
    speaker: str
    systems: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class RatingFile:
    """The votes of one rater in one test of `runs`, and the catch trials: how many were right, of how many."""

    rater: str
    mode: str
    runs: tuple[str, ...]
    votes: tuple[Vote, ...]
    catch_right: int
    catch_total: int


def read_ratings(path: Path) -> RatingFile:
    """One file. Raises `RatingsError` naming the file, `OSError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] != VERSION or content["mode"] not in SCALES:
            raise RatingsError(f"{path}: a file of another format or version ({content['format']}).")
        checks = [vote["right"] for vote in content["votes"] if vote["catch"] is not None]
        votes = tuple(_vote(content, vote) for vote in content["votes"] if vote["catch"] is None)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, RatingsError):
            raise
        raise RatingsError(f"{path}: not a file of ratings, which the listening test of a board saves.") from error
    return RatingFile(
        rater=str(content["rater"]), mode=content["mode"], runs=tuple(content["runs"]), votes=votes,
        catch_right=sum(map(bool, checks)), catch_total=len(checks),
    )  # fmt: skip


def _vote(content: Json, vote: Json) -> Vote:
    mode, clips = content["mode"], vote["clips"]
    names = {letter: _name(clip) for letter, clip in clips.items()}
    value = float(vote["right"]) if mode == "abx" else float(vote["answer"])
    if mode in ("similarity", "naturalness"):
        systems: tuple[str, ...] = (names["A"],)
    else:
        order = {run: place for place, run in enumerate(content["runs"])}
        first = min("AB", key=lambda letter: order[clips[letter]["system"]])
        systems = (names[first], names["B" if first == "A" else "A"])
        value = -value if mode == "preference" and first == "B" else value
    return Vote(str(content["rater"]), mode, vote["voice"], vote["speaker"] or "", systems, value)


def _name(clip: Json) -> str:
    return str(clip["system"]) if clip["step"] is None else f"{clip['system']}@{clip['step']}"


def merge(files: Sequence[RatingFile], *, keep_all: bool = False) -> Json:
    """`raters`, `results` (a row per pair, or per system and pair) and `agreement` (per mode), each a list of rows.

    `keep_all`: also keep raters who failed the catch trials.
    """
    raters = _raters(files, keep_all=keep_all)
    kept = {row["rater"] for row in raters if row["kept"]}
    newest = {  # of each rater and trial the last vote
        (vote.rater, vote.mode, vote.voice, frozenset(vote.systems)): vote for file in files for vote in file.votes
    }
    votes = _oriented([vote for vote in newest.values() if vote.rater in kept])
    by_mode = {mode: [vote for vote in votes if vote.mode == mode] for mode in SCALES}
    runs = list(dict.fromkeys(run for file in files for run in file.runs))
    rows = [row for mode, of_mode in by_mode.items() for row in _rows(mode, of_mode, runs)]
    return {
        "raters": raters,
        "results": _judged(rows),
        "agreement": [_agreement(mode, of_mode) for mode, of_mode in by_mode.items() if of_mode],
    }


def _oriented(votes: Sequence[Vote]) -> list[Vote]:
    """The votes with the systems of each pair in the order of its first vote; a preference changes its sign with it."""
    order: dict[tuple[str, frozenset[str]], tuple[str, ...]] = {}
    oriented = []
    for vote in votes:
        systems = order.setdefault((vote.mode, frozenset(vote.systems)), vote.systems)
        is_turned = systems != vote.systems and vote.mode == "preference"
        oriented.append(replace(vote, systems=systems, value=-vote.value if is_turned else vote.value))
    return oriented


def _raters(files: Sequence[RatingFile], *, keep_all: bool) -> list[Json]:
    rows = []
    for rater in dict.fromkeys(file.rater for file in files):
        of_rater = [file for file in files if file.rater == rater]
        right, total = sum(file.catch_right for file in of_rater), sum(file.catch_total for file in of_rater)
        rows.append({
            "rater": rater,
            "tests": sorted({file.mode for file in of_rater}),
            "votes": sum(len(file.votes) for file in of_rater),
            "catch_right": right,
            "catch_total": total,
            "kept": keep_all or right >= CATCH_SHARE * total,
        })  # fmt: skip
    return rows


def _rows(mode: str, votes: Sequence[Vote], runs: Sequence[str]) -> list[Json]:
    """A row per pair of systems, or per system and then per pair with the first run."""
    if mode in ("preference", "abx"):
        by_pair: dict[tuple[str, ...], list[Vote]] = {}
        for vote in votes:
            by_pair.setdefault(vote.systems, []).append(vote)
        return [_row(mode, systems, *_table(of_pair), tested=True) for systems, of_pair in by_pair.items()]
    place = {run: number for number, run in enumerate(runs)}
    systems = sorted({v.systems[0] for v in votes}, key=lambda name: (place.get(_run_of(name), len(place)), name))
    grades = {name: _table([vote for vote in votes if vote.systems == (name,)]) for name in systems}
    generated = [name for name in systems if _run_of(name) in place]
    rows = [_row(mode, (name,), *grades[name], tested=False) for name in systems]
    return rows + [
        _row(mode, (generated[0], other), *_difference(grades[generated[0]], grades[other]), tested=True)
        for other in generated[1:]
    ]


def _run_of(system: str) -> str:
    return system.rpartition("@")[0]


Graded = tuple[dict[tuple[str, str], float], dict[str, str]]  # (rater, voice) → value; voice → speaker


def _table(votes: Sequence[Vote]) -> Graded:
    return {(v.rater, v.voice): v.value for v in votes}, {v.voice: v.speaker for v in votes}


def _difference(first: Graded, second: Graded) -> Graded:
    """Second − first, of what the same rater graded of the same voice."""
    return {key: second[0][key] - value for key, value in first[0].items() if key in second[0]}, first[1]


def _row(
    mode: str,
    systems: Sequence[str],
    values: Mapping[tuple[str, str], float],
    speakers: Mapping[str, str],
    *,
    tested: bool,
) -> Json:
    voices = list(dict.fromkeys(voice for _, voice in values))
    raters = list(dict.fromkeys(rater for rater, _ in values))
    of_voice = [_mean_of(values, voice) for voice in voices]
    names = [speakers[voice] for voice in voices]
    votes_of = Counter(voice for _, voice in values)
    crossed = (
        crossed_mean(
            np.array(list(values.values())),
            [speakers[voice] for _, voice in values],
            [rater for rater, _ in values],
            weights=np.array([1.0 / votes_of[voice] for _, voice in values]),  # each voice counts once
        )
        if values
        else None
    )
    interval = crossed or mean_interval(of_voice, names)
    row: Json = {
        "mode": mode,
        "systems": list(systems),
        "scale": SCALES[mode] if len(systems) == 1 or mode in ("preference", "abx") else "difference of grades",
        "mean": None if interval is None else interval.mean,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "interval_over": "speakers" if crossed is None else "speakers and raters",
        "raters": len(raters),
        "votes": len(values),
        "voices": len(voices),
        "speakers": len(set(names)),
        "p": None,
        "verdict": "",
    }
    if tested and voices:
        chance = 0.5 if mode == "abx" else 0.0
        of_signs = float(sign_flip_p(np.array(of_voice)[:, None] - chance, names)[0])
        row["p"] = of_signs if crossed is None else max(of_signs, crossed.p(chance))
    return row


def _mean_of(values: Mapping[tuple[str, str], float], voice: str) -> float:
    return float(np.mean([value for (_, of), value in values.items() if of == voice]))


def _judged(rows: Sequence[Json]) -> list[Json]:
    """The rows with verdicts, corrected for all tests of the table, and sentences."""
    tested = [row for row in rows if row["p"] is not None]
    needs = minimum_groups(comparisons=max(1, len(tested)))
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        chance = 0.5 if row["mode"] == "abx" else 0.0
        row["p"] = p
        better, worse = ("heard", "none") if row["mode"] == "abx" else ("better", "worse")
        verdict = "none" if p > ALPHA else better if row["mean"] > chance else worse
        row["verdict"] = "too few" if row["speakers"] < needs else verdict
    return [{**row, "sentence": _sentence(row, needs=needs)} for row in rows]


def _sentence(row: Json, *, needs: int) -> str:
    systems, is_pair = row["systems"], len(row["systems"]) == 2
    sign = "+" if is_pair and row["mode"] != "abx" else ""
    interval = "" if row["low"] is None else f" ({row['low']:{sign}.2f} to {row['high']:{sign}.2f})"
    what = f"{systems[1]} against {systems[0]}" if is_pair else systems[0]
    verdicts = {
        "better": f"{systems[-1]} is better",
        "worse": f"{systems[-1]} is worse",
        "heard": "a difference is heard",
        "none": "no difference shown",
        "too few": f"too few speakers to tell (it needs {needs})",
    }
    told = f"; {verdicts[row['verdict']]}" if row["verdict"] else ""
    if row["verdict"] in ("better", "worse", "heard") and row["interval_over"] == "speakers":
        told += " for these raters" if row["raters"] > 1 else " for this rater"
    p = f", p = {row['p']:.2g}" if row["p"] is not None and row["verdict"] != "too few" else ""
    counts = (
        f"{_count(row['votes'], 'vote')} of {_count(row['raters'], 'rater')} on {_count(row['speakers'], 'speaker')}"
    )
    return f"{row['mode']}, {what}: {row['mean']:{sign}.2f}{interval}, {row['scale']}; {counts}{p}{told}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _agreement(mode: str, votes: Sequence[Vote]) -> Json:
    """Alpha of one mode: rows are raters, units are voices of a system or pair."""
    raters = list(dict.fromkeys(vote.rater for vote in votes))
    units = list(dict.fromkeys((vote.voice, vote.systems) for vote in votes))
    ratings: Array = np.full((len(raters), len(units)), np.nan)
    for vote in votes:
        ratings[raters.index(vote.rater), units.index((vote.voice, vote.systems))] = vote.value
    level: Level = "nominal" if mode == "abx" else "interval"
    return {
        "mode": mode,
        "alpha": krippendorff_alpha(ratings, level),
        "level": level,
        "raters": len(raters),
        "units": len(units),
    }


def result_table(merged: Json) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns and rows of the results, for the console, a page or a tracker."""
    columns = ("test", "what", "mean", "low", "high", "scale", "raters", "votes", "speakers", "p", "verdict", "alpha")
    alpha = {row["mode"]: row["alpha"] for row in merged["agreement"]}
    rows: list[tuple[Any, ...]] = [
        (row["mode"], " against ".join(reversed(row["systems"])), row["mean"], row["low"], row["high"], row["scale"],
         row["raters"], row["votes"], row["speakers"], row["p"], row["verdict"], alpha[row["mode"]])
        for row in merged["results"]
    ]  # fmt: skip
    return columns, rows
