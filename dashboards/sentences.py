"""The results of a comparison in words: one sentence a score, and one paragraph a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]
_MOST = 4  # conditions, voices, … in a paragraph


def row_sentence(row: Any, *, second: str) -> str:
    """What one `comparison.Row` shows."""
    unit = f" {row.unit}" if row.unit and row.unit not in ("share", "cosine") else ""
    over = f"{counted(row.voices, 'voice')} of {counted(row.speakers, 'speaker')}"
    span = "" if row.low is None else f", 95 % interval {row.low:+.3g} to {row.high:+.3g}"
    numbers = f"{row.difference:+.3g}{unit}{span}; {over}"
    if row.verdict in ("better", "worse"):
        return f"{row.name}: {second} is {row.verdict} ({numbers}; p = {row.p:.2g}).{_missing(row.missing)}"
    if row.verdict == "none":
        least = f" A difference of {row.detectable:.2g}{unit} would be found in 80 %." if row.detectable else ""
        return f"{row.name}: no difference shown ({numbers}).{least}{_missing(row.missing)}"
    if row.verdict == "too few":
        return (
            f"{row.name}: too few speakers to tell ({row.difference:+.3g}{unit}; {over}, it needs "
            f"{counted(row.needs, 'speaker')}).{_missing(row.missing)}"
        )
    return f"{row.name}: {numbers} (no verdict).{_missing(row.missing)}"


def answer(pair: Json) -> str:
    """What a pair shows, as one paragraph: first what differs between the runs, then the verdicts."""
    first, second = pair["first"], pair["second"]
    if pair["reason"]:
        return f"{second} and {first} cannot be compared. {pair['reason']} Each is shown by itself."
    parts = [_differs(pair["conditions"])] if pair["conditions"] else []
    tested = [row for row in pair["scores"] if row["question"]]
    for verdict in ("better", "worse"):
        rows = [row for row in tested if row["verdict"] == verdict]
        if rows:
            parts.append(f"{second} is {verdict} than {first} in {_listed([_with_numbers(row) for row in rows])}.")
    open_rows = [row for row in tested if row["verdict"] == "none"]
    if open_rows:
        parts.append(f"No difference is shown in {_listed([_with_power(row) for row in open_rows])}.")
    few = [row for row in tested if row["verdict"] == "too few"]
    if few:
        parts.append(
            f"Too few speakers to tell in {_listed([row['name'] for row in few])}: "
            f"{counted(max(row['speakers'] for row in few), 'speaker')}, it needs {few[0]['needs']}."
        )
    if not tested:
        parts.append("None of the scores that get a verdict was measured in both.")
    parts += [pair["note"]] if pair["note"] else []
    parts.append(_scope(pair))
    return " ".join(parts)


def counted(number: int | None, what: str) -> str:
    """
    >>> counted(1, "voice"), counted(12, "speaker")
    ('1 voice', '12 speakers')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def steps_text(steps: Mapping[str, int]) -> str:
    """
    >>> steps_text({"a": 400, "b": 400}), steps_text({"a": 400, "b": 300})
    ('step 400', 'a at step 400, b at step 300')
    """
    if len(set(steps.values())) == 1:
        return f"step {next(iter(steps.values()))}"
    return ", ".join(f"{name} at step {step}" for name, step in steps.items())


def _differs(rows: Sequence[Json]) -> str:
    shown = "; ".join(f"{row['kind']} ({row['text']})" for row in rows[:_MOST])
    more = f" and {len(rows) - _MOST} more" if len(rows) > _MOST else ""
    return f"They differ in more than the model: {shown}{more}."


def _scope(pair: Json) -> str:
    several = any(len(runs) > 1 for runs in pair["groups"].values())
    voices = f"{counted(len(pair['paired']), 'voice')} of {counted(pair['speakers'], 'speaker')}"
    what = (
        "It is about new trainings of these settings."
        if several
        else "It is about these two trainings: another seed may differ (--group)."
    )
    return f"Compared over {voices}, {steps_text(pair['steps'])}. {what}"


def _with_numbers(row: Json) -> str:
    span = "" if row["low"] is None else f", 95 % interval {row['low']:+.3g} to {row['high']:+.3g}"
    return f"{row['name']} ({row['difference']:+.3g}{span})"


def _with_power(row: Json) -> str:
    return f"{row['name']} ({row['detectable']:.2g} would be found in 80 %)" if row["detectable"] else str(row["name"])


def _missing(missing: Mapping[str, int]) -> str:
    parts = [f"{counted(count, 'voice')} in {name}" for name, count in missing.items()]
    return f" Not measured: {_listed(parts)}." if parts else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
