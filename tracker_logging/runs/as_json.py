"""Runs as JSON for other programs: what the commands print with `--json`, and the JSON Schema that holds for it.

Every document names its command and the version of the schema: `{"schema": 2, "command": "show", …}`. Adding, removing
or changing a field is a new version. Numbers that are not finite are the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tracker_logging.events import Finding
from tracker_logging.runs.model import AlertMessage, Clip, Run, Table, Voice, VoiceStep
from tracker_logging.runs.open import RunSummary
from tracker_logging.tags import GROUP_SCORE, LANGUAGE_SCORE, SCORES, VOICE_SCORE, direction, find
from tracker_logging.trackers.plain_text import number

VERSION = 2
Json = dict[str, Any]


def document(command: str, **fields: Any) -> Json:
    """The document that a command prints."""
    return {"schema": VERSION, "command": command, **fields}


def run_listing(runs: Sequence[RunSummary]) -> list[Json]:
    """The runs of `list_runs`."""
    return [
        {"name": run.name, "path": str(run.path), "sources": list(run.sources), "updated": timestamp(run.updated)}
        for run in runs
    ]


def run_overview(run: Run) -> Json:
    """What `show` prints of a run."""
    return {
        "name": run.name,
        "path": str(run.path),
        "source": run.source,
        "last_step": run.last_step,
        "settings": dict(run.settings),
        "summary": {tag: summary_row(run, tag) for tag in run.summary},
        "findings": findings_list(run.findings),
        "alerts": alerts_list(run.alerts),
        "voices": [
            {name: getattr(voice, name) for name in ("id", "speaker", "language", "group")}
            | {"steps": list(voice.steps)}
            for voice in run.voices.values()
        ],
        "tags": {
            "scalars": list(run.scalars),
            "texts": list(run.texts),
            "tables": list(run.tables),
            "clips": list(run.clips),
            "pictures": list(run.pictures),
            "histograms": list(run.histograms),
        },
        "losses": losses(run),
        "problems": list(run.problems),
    }


def summary_row(run: Run, tag: str) -> Json:
    """Base (first), best and last value of a scalar with their steps, its unit and which values are better."""
    value = run.summary[tag]
    base_step, base = run.scalars[tag].points[0]
    return {
        "unit": unit_of(tag),
        "better": direction(tag),
        "base": number(base),
        "base_step": base_step,
        "best": None if value.best is None else number(value.best),
        "best_step": value.best_step,
        "last": number(value.last),
        "last_step": value.last_step,
    }


def losses(run: Run) -> Json:
    """Counts of what the logging itself lost, by their last value: `errors`, `dropped_events`, `missing`."""
    counts = {name: run.scalars.get(f"tracker/{name}") for name in ("errors", "dropped_events", "missing")}
    return {name: None if series is None else number(series.last[1]) for name, series in counts.items()}


def findings_list(findings: Iterable[Finding]) -> list[Json]:
    """Every field of each finding."""
    return [asdict(finding) for finding in findings]


def alerts_list(alerts: Iterable[AlertMessage]) -> list[Json]:
    """Every field of each alert."""
    return [asdict(alert) for alert in alerts]


def tag_values(run: Run, tag: str, *, since: int) -> Json:
    """The scalar, the table or the text of a tag from step `since` on. Raises KeyError for an unknown tag."""
    if tag in run.scalars:
        points = [[step, number(value)] for step, value in run.scalars[tag].since(since)]
        return {"kind": "scalar", "unit": unit_of(tag), "points": points}
    if tag in run.tables:
        tables = {step: table for step, table in run.tables[tag].items() if step >= since}
        return {"kind": "table", "tables": [{"step": step, **table_rows(table)} for step, table in tables.items()]}
    texts = {step: text for step, text in run.texts[tag].items() if step >= since}
    return {"kind": "text", "texts": [{"step": step, "text": text} for step, text in texts.items()]}


def table_rows(table: Table) -> Json:
    """Columns and rows."""
    rows = [[number(cell) if isinstance(cell, float) else cell for cell in row] for row in table.rows]
    return {"columns": list(table.columns), "rows": rows}


def clip_row(voice: Voice, name: str, clip: Clip, step: VoiceStep | None, *, written: str | None) -> Json:
    """One clip of a voice. `step` is None for a fixed clip; `written`: where it was copied to."""
    try:
        seconds, sample_rate = clip.length()
    except (OSError, RuntimeError):  # soundfile raises RuntimeErrors
        seconds, sample_rate = None, None
    return {
        "voice": voice.id,
        "name": name,
        "step": None if step is None else step.step,
        "speaker": voice.speaker,
        "text": voice.reference_text if name == "reference" else voice.target_text,
        "transcript": None if step is None else step.transcript,
        "scores": {} if step is None else dict(step.scores),
        "stop_reason": None if step is None else step.stop_reason,
        "error": None if step is None else step.error,
        "seconds": seconds,
        "sample_rate": sample_rate,
        "file": None if clip.file is None else str(clip.file),
        "written": written,
    }


def unit_of(tag: str) -> str:
    """The unit of a tag; of the mean of a score, also of a group or language, that of the score.

    Empty for tags of other writers.
    """
    known = find(tag)
    name = tag.removesuffix("/mean").rpartition("/")[2]
    if known in (VOICE_SCORE, GROUP_SCORE, LANGUAGE_SCORE):
        return next((score.unit for score in SCORES if score.name == name), "")
    return known.unit if known else ""


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC.

    >>> timestamp(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the schema ------------------------------------------------------------------------------------------------------


def _object(properties: Mapping[str, Json]) -> Json:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _map(values: Json) -> Json:
    return {"type": "object", "additionalProperties": values}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: Json = {"type": "string"}
_STEP: Json = {"type": "integer"}
_NUMBER: Json = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_LEVEL: Json = {"enum": ["info", "warning", "error"]}
_PLAIN: Json = {"type": ["string", "number", "boolean"]}
_CELL: Json = {"type": ["string", "number", "boolean", "null"]}
_SOURCE: Json = {"enum": ["TensorBoard", "JSON lines", "W&B", "voices folder"]}
_FINDING = _object(
    {
        "name": _TEXT,
        "level": _LEVEL,
        "seen": _TEXT,
        "cause": _TEXT,
        "certainty": {"enum": ["certain", "likely", "possible"]},
        "fix": _TEXT,
        "since": _or_null(_STEP),
        "until": _or_null(_STEP),
    }
)
_ALERT = _object({"step": _STEP, "title": _TEXT, "text": _TEXT, "level": _or_null(_LEVEL)})
_TABLE = {"columns": _list(_TEXT), "rows": _list(_list(_CELL))}
_SUMMARY = _object(
    {
        "unit": _TEXT,
        "better": {"enum": ["higher", "lower", "zero", "one", ""]},
        "base": _NUMBER,
        "base_step": _STEP,
        "best": _or_null(_NUMBER),
        "best_step": _or_null(_STEP),
        "last": _NUMBER,
        "last_step": _STEP,
    }
)
_TAG_VALUES: Json = {
    "oneOf": [
        _object({"kind": {"const": "scalar"}, "unit": _TEXT, "points": _list(_list(_NUMBER))}),
        _object({"kind": {"const": "table"}, "tables": _list(_object({"step": _STEP, **_TABLE}))}),
        _object({"kind": {"const": "text"}, "texts": _list(_object({"step": _STEP, "text": _TEXT}))}),
    ]
}
_CLIP = _object(
    {
        "voice": _TEXT,
        "name": {"enum": ["reference", "target", "codec", "generated"]},
        "step": _or_null(_STEP),
        "speaker": _or_null(_TEXT),
        "text": _or_null(_TEXT),
        "transcript": _or_null(_TEXT),
        "scores": _map(_NUMBER),
        "stop_reason": _or_null(_TEXT),
        "error": _or_null(_TEXT),
        "seconds": _or_null({"type": "number"}),
        "sample_rate": _or_null(_STEP),
        "file": _or_null(_TEXT),
        "written": _or_null(_TEXT),
    }
)
_KINDS = ("scalars", "texts", "tables", "clips", "pictures", "histograms")
_FIELDS: dict[str, dict[str, Json]] = {
    "list": {
        "runs": _list(_object({"name": _TEXT, "path": _TEXT, "sources": _list(_SOURCE), "updated": _TEXT})),
    },
    "show": {
        "name": _TEXT,
        "path": _TEXT,
        "source": _SOURCE,
        "last_step": _or_null(_STEP),
        "settings": _map(_PLAIN),
        "summary": _map(_SUMMARY),
        "findings": _list(_FINDING),
        "alerts": _list(_ALERT),
        "voices": _list(
            _object(
                {"id": _TEXT, "steps": _list(_STEP)}
                | {name: _or_null(_TEXT) for name in ("speaker", "language", "group")}
            )
        ),
        "tags": _object({kind: _list(_TEXT) for kind in _KINDS}),
        "losses": _object({name: _or_null(_NUMBER) for name in ("errors", "dropped_events", "missing")}),
        "problems": _list(_TEXT),
    },
    "get": {"run": _TEXT, "tags": _map(_TAG_VALUES)},
    "findings": {"run": _TEXT, "findings": _list(_FINDING), "alerts": _list(_ALERT)},
    "clips": {"run": _TEXT, "clips": _list(_CLIP)},
    "tail": {
        "run": _TEXT,
        "step": _STEP,
        "kind": {"enum": ["scalar", "alert"]},
        "tag": _TEXT,
        "value": {"anyOf": [_NUMBER, _TEXT]},
    },
}


def json_schema() -> Json:
    """The JSON Schema (draft 2020-12) of every document; one branch per command. `tail` prints one document a line."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What tracker-logging prints with --json",
        "oneOf": [
            _object({"schema": {"const": VERSION}, "command": {"const": command}, **fields})
            for command, fields in _FIELDS.items()
        ],
    }
