"""What a run has written, read back from whichever backend: curves, settings, findings, and where its voices are.

    record = read_run(Path("outputs/runs/a"), scratch=Path(temporary))
    record.scalars["outputs/nll/mean"]        # ((100, 4.31), (200, 3.95))

Guarantees
- TensorBoard event files, W&B's own log and JSON-lines records give the same values for the same tags and steps.
- Of a step that was written twice (a resumed run) the later value counts. Torn files are read up to the tear.
"""

from __future__ import annotations

import html
import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tracker_logging.doctor.finding import title
from tracker_logging.trackers.findings_file import JSON_NAME
from tracker_logging.trackers.voice_folder import FOLDER

Backend: TypeAlias = Literal["TensorBoard", "W&B", "JSON lines"]
EVENTS = "*.tfevents.*"
ALERTS = "alerts/"


class NotARunError(ValueError):
    """There is no run in that place. The message says what was looked for and what is there instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something the run said that a person should read: a finding of the doctor, or an `Alert`.

    `step`: since when. `level` and `until` (the step at which it had healed; None while open) are the doctor's.
    """

    step: int
    text: str
    level: str | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run. `scalars`: tag → ((step, value), …), steps ascend. `settings`: dotted name → value.

    `voices`: the directory that holds the run's `voices` folder, or None.
    """

    name: str
    backend: Backend
    scalars: Mapping[str, tuple[tuple[int, float], ...]]
    settings: Mapping[str, Any]
    findings: tuple[Finding, ...]
    voices: Path | None


@dataclass
class _Gathered:
    """What a reader has found so far."""

    points: dict[str, dict[int, float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self.points.setdefault(tag, {})[step] = value

    def forget_from(self, step: int) -> None:
        for tag, points in self.points.items():
            self.points[tag] = {at: value for at, value in points.items() if at < step}
        self.findings = [finding for finding in self.findings if finding.step < step]


def read_run(path: Path, *, scratch: Path) -> RunRecord:
    """The run at `path`: a directory with event files, an offline W&B run (or the directory above its `wandb`), or a
    JSON-lines record (its file, its folder, or the run's directory). Voices that are only in a record are unpacked to
    `scratch`. Raises `NotARunError`.
    """
    path = path.expanduser().resolve()
    lines = next(
        (file for file in (path, path / "events.jsonl", path / "record/events.jsonl") if _is_lines(file)), None
    )
    wandb_run = _wandb_run(path)
    if path.is_dir() and any(path.glob(EVENTS)):
        return _record(path, "TensorBoard", _from_event_files(path), near=path)
    if lines is not None:
        folder = lines.parent
        near = folder.parent if folder.name == "record" else folder
        voices = near if (near / FOLDER).is_dir() else _unpack_voices(folder, scratch)
        return _record(near, "JSON lines", _from_json_lines(lines), near=voices)
    if wandb_run is not None:
        return _record(wandb_run, "W&B", _from_wandb(wandb_run), near=wandb_run.parent.parent)
    raise NotARunError(_what_is_there(path))


def _record(named: Path, backend: Backend, found: _Gathered, *, near: Path) -> RunRecord:
    name = near.name if backend == "W&B" and (near / FOLDER).is_dir() else named.name
    scalars = {tag: tuple(sorted(points.items())) for tag, points in sorted(found.points.items())}
    voices = near if (near / FOLDER).is_dir() else None
    findings = tuple(sorted(_with_report(found.findings, named, near), key=lambda finding: finding.step))
    return RunRecord(
        name=name, backend=backend, scalars=scalars, settings=_flat(found.settings), findings=findings, voices=voices
    )


def _with_report(alerts: list[Finding], *directories: Path) -> list[Finding]:
    """The doctor's own report, where it lies beside the run, in place of the alerts by which it said the same."""
    report = next((path for directory in directories if (path := directory / JSON_NAME).is_file()), None)
    if report is None:
        return alerts
    rows = json.loads(report.read_text(encoding="utf-8"))["findings"]
    doctors = []
    for row in rows:
        cause = f"Likely cause ({row['certainty']}): {row['likely cause']}"
        text = f"{title(row['name'])}\nSeen: {row['seen']}.\n{cause}\nWhat to do: {row['what to do']}"
        doctors.append(Finding(step=row["since"], level=row["level"], until=row["until"], text=text))
    said = {finding.text.partition("\n")[0] for finding in doctors}
    return doctors + [alert for alert in alerts if alert.text.partition("\n")[0] not in said]


def _is_lines(path: Path) -> bool:
    return path.suffix == ".jsonl" and path.is_file()


def _wandb_run(path: Path) -> Path | None:
    """`path` itself if it is a W&B run, or the newest run in its `wandb` folder."""
    if path.is_file() and path.suffix == ".wandb":
        return path.parent
    if path.is_dir() and any(path.glob("*.wandb")):
        return path
    runs = [run for run in (path / "wandb").glob("*run-*") if not run.is_symlink() and any(run.glob("*.wandb"))]
    return max(runs, key=lambda run: run.name.partition("run-")[2], default=None)


def _what_is_there(path: Path) -> str:
    if not path.exists():
        return f"{path.name}: no such directory."
    inside = (
        sorted({str(file.parent.relative_to(path)) for file in path.rglob(EVENTS)} - {"."}) if path.is_dir() else []
    )
    hint = f" Runs below it: {', '.join(inside[:8])}; name two of them." if inside else ""
    return f"{path.name}: no TensorBoard events, no W&B run and no events.jsonl in it.{hint}"


# --- TensorBoard -----------------------------------------------------------------------------------------------------


def _from_event_files(directory: Path) -> _Gathered:
    from tensorboard.compat.proto import event_pb2

    from tracker_logging.trackers.event_file import records

    found = _Gathered()
    for path in sorted(directory.glob(EVENTS)):
        for data in records(path):
            event = event_pb2.Event.FromString(data)
            if event.session_log.status == event_pb2.SessionLog.START and event.step > 0:
                found.forget_from(event.step)  # a resumed run computes these steps again
            for value in event.summary.value:
                _take(found, event.step, value)
    return found


def _take(found: _Gathered, step: int, value: Any) -> None:
    plugin = value.metadata.plugin_data
    if value.WhichOneof("value") == "simple_value":
        found.add(step, {value.tag: value.simple_value})
    elif plugin.plugin_name == "scalars":
        from tensorboard.util.tensor_util import make_ndarray

        found.add(step, {value.tag: float(make_ndarray(value.tensor))})
    elif plugin.plugin_name == "hparams" and value.tag == "_hparams_/session_start_info":
        from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

        start = parse_session_start_info_plugin_data(plugin.content)
        found.settings |= {name: getattr(one, one.WhichOneof("kind")) for name, one in start.hparams.items()}
    elif value.tag.startswith(ALERTS) and value.tensor.string_val:
        # The text was escaped for Markdown (trackers/plain_text.py); it is plain text again here.
        text = html.unescape(value.tensor.string_val[0].decode("utf-8", "replace")).replace("  \n", "\n")
        found.findings.append(Finding(step=step, text=text))


# --- JSON lines and W&B ----------------------------------------------------------------------------------------------


def _from_json_lines(path: Path) -> _Gathered:
    found = _Gathered()
    for line in _whole_lines(path):
        if line["kind"] == "run":
            found.settings |= line["config"]
        elif line["kind"] == "Scalars":
            found.add(line["step"], {tag: float(value) for tag, value in line["values"].items()})
        elif line["kind"] == "Alert":
            found.findings.append(Finding(step=line["step"], text=f"{line['title']}\n{line['text']}"))
    return found


def _unpack_voices(record: Path, scratch: Path) -> Path:
    """The voices of a record as a `voices` folder in `scratch`; none where it has none."""
    from tracker_logging.trackers.jsonl import read_record
    from tracker_logging.trackers.voice_folder import VoiceFolderTracker

    tracker = VoiceFolderTracker(scratch)
    if any(line["kind"] == "VoiceComparison" for line in _whole_lines(record / "events.jsonl")):
        for event in read_record(record):
            tracker.emit(event)
    return scratch


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _from_wandb(run: Path) -> _Gathered:
    from tracker_logging.trackers.wandb_record import STEP, keys, records

    found = _Gathered()
    step = 0
    try:
        for record in records(run):
            if record["type"] == "config":
                settings = record["config"].get("update", {})
                found.settings |= {name: value for name, value in settings.items() if name != "_wandb"}
            elif record["type"] == "history":
                row = record["history"]["item"]
                step = int(row.get(STEP, step))
                found.add(step, {key: float(row[key]) for key in keys(row) if _is_number(row.get(key))})
            elif record["type"] == "alert":
                alert = record["alert"]
                found.findings.append(Finding(step=step, text=f"{alert['title']}\n{alert['text']}"))
    except (OSError, subprocess.SubprocessError) as error:
        raise NotARunError(f"{run.name}: the W&B log cannot be read ({type(error).__name__}).") from error
    return found


def _is_number(value: object) -> bool:
    """W&B writes numbers that are not finite as strings."""
    return isinstance(value, int | float) or (isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = _plain(value)
    return dict(sorted(flat.items()))


def _plain(value: Any) -> Any:
    """Numbers that TensorBoard keeps as floats look like those that others keep as they are."""
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return int(value)
    return "none" if value is None else value if isinstance(value, str | int | float | bool) else str(value)
