"""Runs as pandas data frames. Needs pandas: `pip install "tracker-logging[frames]"`.

scalar_frame(open_run("outputs/runs/a"), "voices/*/mean")     # one row per step, one column per tag
voice_frame([open_run("outputs/runs/a"), open_run("outputs/runs/b")])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from tracker_logging.runs.model import Run
from tracker_logging.runs.open import RunSummary


def runs_frame(runs: Sequence[RunSummary]) -> Any:
    """One row per run: `name`, `path`, `sources` (joined by ", ") and `updated` (time stamp, UTC)."""
    import pandas

    rows = [(run.name, str(run.path), ", ".join(run.sources), run.updated) for run in runs]
    frame = pandas.DataFrame(rows, columns=["name", "path", "sources", "updated"])
    frame["updated"] = pandas.to_datetime(frame["updated"], unit="s", utc=True)
    return frame


def scalar_frame(run: Run, *patterns: str) -> Any:
    """One row per step (the index, ascending), one column per tag; NaN where a tag has no value at a step.

    `patterns`: tags, or patterns with `*` and `?`; default: all scalars.
    """
    import pandas

    tags = [tag for tag in run.scalars if not patterns or any(fnmatchcase(tag, pattern) for pattern in patterns)]
    columns = {tag: pandas.Series(dict(run.scalars[tag].points), dtype="float64") for tag in tags}
    frame = pandas.DataFrame(columns).sort_index()
    frame.index = frame.index.astype("int64")
    frame.index.name = "step"
    return frame


def voice_frame(runs: Iterable[Run]) -> Any:
    """One row per run, voice and step: texts, transcript, stop reason, error, and one column per score."""
    import pandas

    rows = [
        {
            "run": run.name,
            "voice": voice.id,
            "step": step.step,
            "speaker": voice.speaker,
            "language": voice.language,
            "group": voice.group,
            "reference_text": voice.reference_text,
            "target_text": voice.target_text,
            "transcript": step.transcript,
            "stop_reason": step.stop_reason,
            "error": step.error,
            **step.scores,
        }
        for run in runs
        for voice in run.voices.values()
        for step in voice.steps.values()
    ]
    return pandas.DataFrame(rows)
