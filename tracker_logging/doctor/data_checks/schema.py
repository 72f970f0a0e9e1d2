"""The JSON Schema of `tracker-logging check-data --json`, and of a line of `--findings`.

A change of a field is a new version: `VERSION` is in every report, and a test holds both to the committed schema.
"""

from __future__ import annotations

from typing import Any

from tracker_logging.doctor.finding import LEVELS

VERSION = 1
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}


def report_schema() -> Schema:
    """The schema of the whole report. Durations are in seconds, rates in Hz; `hours` are of targets."""
    fields = {
        "schema": {"const": VERSION},
        "exit_code": {"enum": [0, 1, 2], "description": "0 nothing above info, 1 findings, 2 not usable"},
        "counts": _mapping(_COUNT) | {"description": "all findings, by name"},
        "left_out": _COUNT | {"description": "findings that are counted but not listed in `findings`"},
        "summaries": {"type": "array", "items": _summary(), "description": "the file, then that of --eval"},
        "findings": {"type": "array", "items": finding_schema()},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "tracker-logging check-data --json",
            **_object(fields)}  # fmt: skip


def finding_schema() -> Schema:
    """The schema of one finding."""
    return _object(
        {
            "name": _TEXT | {"description": "of the check, see docs/check_data.md"},
            "level": {"enum": list(LEVELS)},
            "file": _TEXT,
            "sample": _TEXT | {"description": "as its reader names it, such as train.json[3]; empty: the whole file"},
            "field": _TEXT | {"description": "may be empty"},
            "seen": _TEXT | {"description": "the evidence"},
            "fix": _TEXT,
            "clip": {"type": ["string", "null"], "description": "the file to listen to"},
        }
    )


def _summary() -> Schema:
    values = _object(dict.fromkeys(("smallest", "low", "median", "high", "largest"), _NUMBER))
    quantiles = {"anyOf": [values, {"type": "null"}], "description": "0, 5, 50, 95 and 100 %"}
    histogram = _object(
        {
            "edges": {"type": "array", "items": _NUMBER},
            "counts": {"type": "array", "items": _COUNT, "description": "one fewer than the edges"},
        }
    )
    return _object(
        {
            "file": _TEXT,
            "read": _COUNT | {"description": "items, refused ones included"},
            "usable": _COUNT,
            "speakers": _mapping(_COUNT),
            "languages": _mapping(_COUNT),
            "sample_rates": _mapping(_COUNT) | {"description": "clips by rate in Hz"},
            "hours": _NUMBER,
            "speaker_hours": _mapping(_NUMBER),
            "language_hours": _mapping(_NUMBER),
            "reference_s": quantiles,
            "target_s": quantiles,
            "letters_per_s": quantiles,
            "histograms": _mapping(histogram) | {"description": "target_s, letters_per_s, level_dbfs, silence_pct"},
        }
    )


def _mapping(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _object(properties: Schema) -> Schema:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
