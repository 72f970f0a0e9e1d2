"""Events as JSON values and back; what is not text or a number goes to files beside.

    line = to_json(event, save)         # save(data, stem, suffix) -> relative path of the file written
    event == from_json(line, load)      # load(path) -> bytes

Guarantees
- Strict JSON: numbers that are not finite are strings ("NaN"), in table cells {"float": "NaN"}.
- What comes back draws the same pixels and has the same 16-bit samples. Sound goes through 16 bits, once.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tracker_logging.events import (
    Alert,
    Audio,
    Cell,
    Checkpoint,
    Clip,
    Event,
    Finding,
    Findings,
    Heatmap,
    Histogram,
    Image,
    Scalars,
    Summary,
    SummaryValue,
    Table,
    Text,
    VoiceComparison,
)
from tracker_logging.rendering.pcm import decode_wav, encode_wav
from tracker_logging.rendering.png import decode_png, encode_png

Save = Callable[[bytes, str, str], str]
Load = Callable[[str], bytes]
Json = dict[str, Any]
_VOICE_TEXTS = (
    "voice_id",
    "reference_text",
    "target_text",
    "speaker",
    "language",
    "transcript",
    "stop_reason",
    "error",
    "new_fixed_clips",
)
_LATER_FIELDS = ("stage", "scorers", "group")  # lines of earlier versions do not have them


def to_json(event: Event, save: Save) -> Json:
    """A value that `json.dumps(..., allow_nan=False)` takes; media are saved first."""
    line: Json = {"kind": type(event).__name__, "step": event.step}
    match event:
        case Scalars():
            return line | {"values": _numbers(event.values)} | ({"source": "loop"} if event.source == "loop" else {})
        case Histogram():
            return line | {"tag": event.tag, "counts": _listed(event.counts), "edges": _listed(event.edges)}
        case Text():
            return line | {"tag": event.tag, "text": event.text}
        case Table():
            rows = [[_cell(cell) for cell in row] for row in event.rows]
            return line | {"tag": event.tag, "columns": list(event.columns), "rows": rows}
        case Image(picture=Heatmap() as heatmap):
            return line | {"tag": event.tag, "caption": event.caption, "heatmap": _heatmap(heatmap, event.tag, save)}
        case Image():
            picture = save(encode_png(np.asarray(event.picture)), event.tag, "png")
            return line | {"tag": event.tag, "caption": event.caption, "picture": picture}
        case Audio():
            return line | {"tag": event.tag, "clips": _clips(event.clips, event.tag, save)}
        case VoiceComparison():
            pitch = {name: _listed(values) for name, values in event.pitch_hz.items()}
            texts = {name: getattr(event, name) for name in _VOICE_TEXTS}
            texts |= {"stage": event.stage, "scorers": dict(event.scorers), "group": event.group}
            clips = _clips(event.clips, event.voice_id, save)
            numbers = {"scores": _numbers(event.scores), "sampling": dict(event.sampling), "pitch_hz": pitch}
            numbers["embeddings"] = {name: _listed(vector) for name, vector in event.embeddings.items()}
            return line | texts | {"clips": clips} | numbers
        case Alert():
            return line | {"level": event.level, "title": event.title, "text": event.text}
        case Findings():
            return line | {"findings": [asdict(finding) for finding in event.findings]}
        case Checkpoint():
            return line | asdict(event)
        case Summary():
            return line | {"values": {tag: _numbers_or_none(asdict(value)) for tag, value in event.values.items()}}


def from_json(line: Json, load: Load) -> Event:
    """The event of a line. Raises ValueError for an unknown kind, KeyError for a missing field."""
    step = int(line["step"])
    match line["kind"]:
        case "Scalars":
            values = {tag: float(value) for tag, value in line["values"].items()}
            return Scalars(step=step, values=values, source=line.get("source", "ours"))
        case "Histogram":
            counts, edges = (np.array([float(number) for number in line[name]]) for name in ("counts", "edges"))
            return Histogram(step=step, tag=line["tag"], counts=counts, edges=edges)
        case "Text":
            return Text(step=step, tag=line["tag"], text=line["text"])
        case "Table":
            rows = tuple(tuple(_read_cell(cell) for cell in row) for row in line["rows"])
            return Table(step=step, tag=line["tag"], columns=tuple(line["columns"]), rows=rows)
        case "Image":
            picture = _read_heatmap(line["heatmap"], load) if "heatmap" in line else decode_png(load(line["picture"]))
            return Image(step=step, tag=line["tag"], picture=picture, caption=line["caption"])
        case "Audio":
            return Audio(step=step, tag=line["tag"], clips=_read_clips(line["clips"], load))
        case "VoiceComparison":
            pitch = {name: np.array(values, dtype=np.float32) for name, values in line["pitch_hz"].items()}
            scores = {name: float(value) for name, value in line["scores"].items()}
            texts = {name: line[name] for name in _VOICE_TEXTS}
            texts |= {name: line[name] for name in _LATER_FIELDS if name in line}
            clips = _read_clips(line["clips"], load)
            vectors = line.get("embeddings", {}).items()
            embeddings = {name: np.array(values, dtype=np.float32) for name, values in vectors}
            numbers = {"scores": scores, "sampling": line.get("sampling", {}), "pitch_hz": pitch}
            return VoiceComparison(step=step, clips=clips, embeddings=embeddings, **numbers, **texts)
        case "Alert":
            return Alert(step=step, level=line["level"], title=line["title"], text=line["text"])
        case "Findings":
            return Findings(step=step, findings=tuple(Finding(**finding) for finding in line["findings"]))
        case "Checkpoint":
            known = {name: line[name] for name in ("name", "digest", "files", "size_bytes")}
            return Checkpoint(step=step, **known)
        case "Summary":
            return Summary(step=step, values={tag: _read_summary(value) for tag, value in line["values"].items()})
        case kind:
            raise ValueError(f"unknown kind of event: {kind!r}")


def _heatmap(heatmap: Heatmap, tag: str, save: Save) -> Json:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(heatmap.values, dtype=np.float32), allow_pickle=False)
    fields = ("title", "row_axis", "column_axis", "unit", "low", "high", "row_labels", "column_labels")
    plain = {name: getattr(heatmap, name) for name in (*fields, "row_boundaries", "column_boundaries")}
    return {"values": save(buffer.getvalue(), tag, "npy"), **plain}


def _read_heatmap(line: Json, load: Load) -> Heatmap:
    fields = {name: value for name, value in line.items() if name != "values"}
    for name in ("row_labels", "column_labels"):
        fields[name] = tuple(fields[name])
    for name in ("row_boundaries", "column_boundaries"):
        fields[name] = tuple((int(start), str(label)) for start, label in fields[name])
    return Heatmap(values=np.load(io.BytesIO(load(line["values"])), allow_pickle=False), **fields)


def _clips(clips: Mapping[str, Clip], tag: str, save: Save) -> Json:
    return {
        name: {"file": save(encode_wav(clip), f"{tag}/{name}", "wav"), "caption": clip.caption}
        for name, clip in clips.items()
    }


def _read_clips(clips: Json, load: Load) -> dict[str, Clip]:
    read = {}
    for name, line in clips.items():
        samples, rate = decode_wav(load(line["file"]))
        read[name] = Clip(samples=samples.astype(np.float32) / 32767.0, sample_rate=rate, caption=line["caption"])
    return read


def _number(value: float) -> float | str:
    value = float(value)
    return value if math.isfinite(value) else str(value)


def _numbers(values: Mapping[str, float]) -> Json:
    return {name: _number(value) for name, value in values.items()}


def _numbers_or_none(values: Mapping[str, float | None]) -> Json:
    return {name: _number(value) if isinstance(value, float) else value for name, value in values.items()}


def _read_summary(line: Json) -> SummaryValue:
    best, base = line["best"], line.get("base")
    return SummaryValue(
        last=float(line["last"]),
        last_step=line["last_step"],
        best=None if best is None else float(best),
        best_step=line["best_step"],
        base=None if base is None else float(base),
    )


def _listed(values: Any) -> list[float | str]:
    return [_number(value) for value in values.tolist()]


def _cell(cell: Cell) -> Any:
    return {"float": str(cell)} if isinstance(cell, float) and not math.isfinite(cell) else cell


def _read_cell(cell: Any) -> Cell:
    return float(cell["float"]) if isinstance(cell, dict) else cell
