"""Writes events to one MLflow run, by default in an SQLite store inside the run's directory: the extra `mlflow`.

    tracker = MlflowTracker(Path("runs/a"), RunInfo(name="a"))
    tracker.emit(Scalars(step=100, values={"outputs/nll/mean": 4.3}))

    mlflow ui --backend-store-uri sqlite:///runs/a/mlflow/mlflow.db        # shows it

Guarantees
- `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` and `MLFLOW_RUN_ID` win. A run that is active in this process (for
  example of the Trainer's `MLflowCallback`) is joined, and not ended by us.
- Scalars are metrics, images are MLflow's logged images. Clips (WAV), tables (CSV), texts and histograms (JSON) are
  artifacts `KIND/TAG/STEP.SUFFIX`: MLflow plays, tabulates and shows them.
- `voices/table` is one of MLflow's tables, of all rounds, with mel and paths of the clips (`mlflow_table`).
- Settings are parameters; base and best values are the metrics `base/TAG` and `best/TAG` at their steps.
- On a resumed run a metric or image whose step the run already holds is not sent again.
- No user, host or source file is sent, and MLflow's telemetry is off unless `MLFLOW_DISABLE_TELEMETRY` says otherwise.

An SQL store keeps an infinite value as ±1.797e308 (MLflow's own behaviour).
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging import tags
from tracker_logging.events import Alert, Cell, Clip, Event, Summary
from tracker_logging.rendering.pcm import encode_wav
from tracker_logging.rendering.png import encode_png
from tracker_logging.trackers import mlflow_table
from tracker_logging.trackers.base import DEFAULT_PROJECT, RunInfo
from tracker_logging.trackers.mlflow_table import RoundTable
from tracker_logging.trackers.plain_text import clean, plain
from tracker_logging.trackers.voice_table import MediaTable, VoiceTableTracker

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
import mlflow
from mlflow.entities import Metric, Param
from mlflow.tracking import fluent

BATCH = 100  # what one request may hold of parameters; of metrics 1,000
LONGEST_PARAMETER = 6_000
_STEP_OF_IMAGE = re.compile(r"(?P<tag>.+?)[+%]step[+%](?P<step>\d+)[+%]")


@dataclass(frozen=True, slots=True)
class _File:
    """A value that becomes the artifact `kind/TAG/STEP.suffix`."""

    kind: str
    suffix: str
    content: bytes


class MlflowTracker(VoiceTableTracker):
    """One run. Safe on any thread; every call returns when the store has it. Raises what MLflow raises."""

    def __init__(self, directory: Path, run: RunInfo) -> None:
        active = _active_run()
        self._is_ours = active is None
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if active is None and not uri:
            (directory / "mlflow").mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{(directory / 'mlflow' / 'mlflow.db').absolute()}"
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        self._run_id = _begin(self._client, directory, run) if active is None else active
        known = self._client.get_run(self._run_id).data
        self._rounds = RoundTable.open(self._client, self._run_id)
        written: dict[str, int] = {}
        if run.purge_step is not None:
            written = _written_steps(self._client, self._run_id, known.metrics)
            written[tags.VOICE_TABLE()] = self._rounds.last_step
        super().__init__(written=written)
        new = {key: value for key, value in _flat(run.config) if key not in known.params}
        params = [Param(key, str(value)[:LONGEST_PARAMETER]) for key, value in new.items()]
        for start in range(0, len(params), BATCH):
            self._client.log_batch(self._run_id, params=params[start : start + BATCH])

    @property
    def run_id(self) -> str:
        """The run's id in its store."""
        return self._run_id

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: the store has what was emitted."""

    def _row(self, event: Event) -> Iterator[tuple[str, Any]]:
        yield from ((_name(key), value) for key, value in super()._row(event))

    def _log(self, row: Mapping[str, Any], *, step: int) -> None:
        numbers = {key: value for key, value in row.items() if isinstance(value, float)}
        self._metrics((key, value, step) for key, value in numbers.items())
        for tag, value in row.items():
            if isinstance(value, _File):
                self._artifact(_place(value.kind, tag, step, value.suffix), value.content)
            elif isinstance(value, RoundTable):
                self._artifact(mlflow_table.FILE, value.content)
                value.name(self._client, self._run_id)
            elif isinstance(value, np.ndarray):
                self._client.log_image(self._run_id, value, key=tag, step=step)

    def _metrics(self, values: Iterator[tuple[str, float, int]]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value, step in values]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + BATCH])

    def _artifact(self, place: PurePosixPath, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="mlflow-") as folder:
            local = Path(folder) / place.name
            local.write_bytes(content)
            self._client.log_artifact(self._run_id, str(local), artifact_path=str(place.parent))

    def _summarise(self, summary: Summary) -> None:
        values: list[tuple[str, float, int]] = []
        for tag, value in summary.values.items():
            values += [(f"base/{_name(tag)}", value.base, 0)] if value.base is not None else []
            if value.best is not None and value.best_step is not None:
                values.append((f"best/{_name(tag)}", value.best, value.best_step))
        self._metrics(iter(values))

    def _notify(self, alert: Alert, *, title: str, text: str) -> None:
        self._client.set_tag(self._run_id, f"alert.{alert.level}", f"step {alert.step}: {title}")

    def _finish(self) -> None:
        if self._is_ours:
            self._client.set_terminated(self._run_id)

    def _histogram(self, counts: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> Any:
        content = {"counts": counts.tolist(), "edges": edges.tolist()}
        return _File("histograms", ".json", json.dumps(content).encode())

    def _text(self, text: str) -> Any:
        return _File("texts", ".txt", clean(text).encode())

    def _table(self, tag: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
        file = io.StringIO()
        csv.writer(file).writerows(
            [clean(cell) if isinstance(cell, str) else cell for cell in row] for row in (columns, *rows)
        )
        return _File("tables", ".csv", file.getvalue().encode())

    def _voice_table(self, table: MediaTable) -> Any:
        rows = [[plain(cell) for cell in row] for row in self._rows_with_media(table)]
        self._rounds.add([clean(name) for name in table.columns], rows)
        return self._rounds

    def _clip_cell(self, step: int, key: str, clip: Clip) -> Any:
        return str(_place("audio", _name(key), step, ".wav"))

    def _mel_cell(self, step: int, voice: str, mel: npt.NDArray[np.uint8]) -> Any:
        place = _place("table_images", _name(tags.VOICE_MEL(voice=voice)), step, ".png")
        self._artifact(place, encode_png(mel))
        return mlflow_table.image_cell(place)

    def _image(self, pixels: npt.NDArray[np.uint8], *, caption: str | None) -> Any:
        return pixels

    def _clip(self, name: str, clip: Clip) -> Any:
        return _File("audio", ".wav", encode_wav(clip))


def open_backend(directory: Path, run: RunInfo) -> MlflowTracker:
    """A new run, the active one, or where `run` is resumed the one that `directory` names."""
    return MlflowTracker(directory, run)


def _active_run() -> str | None:
    """The run that any thread of this process has begun and not ended. MLflow's public call sees its own thread."""
    chosen = os.environ.get("MLFLOW_RUN_ID")
    latest = getattr(fluent, "_get_latest_active_run", mlflow.active_run)()
    return chosen or (latest.info.run_id if latest is not None else None)


def _begin(client: Any, directory: Path, run: RunInfo) -> str:
    """A new run, or the one whose id the file `mlflow/run_id` of the directory holds, if `run` is resumed."""
    note = directory / "mlflow" / "run_id"
    if run.purge_step is not None and note.exists():
        run_id = note.read_text(encoding="utf-8").strip()
        client.update_run(run_id, status="RUNNING")
        return run_id
    name = run.project or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_PROJECT
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        is_local = not os.environ.get("MLFLOW_TRACKING_URI")
        place = (directory / "mlflow" / "artifacts").absolute().as_uri() if is_local else None
        experiment_id = client.create_experiment(name, artifact_location=place)
    else:
        experiment_id = experiment.experiment_id
    run_id = str(client.create_run(experiment_id, run_name=run.name or directory.name).info.run_id)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(run_id, encoding="utf-8")
    return run_id


def _written_steps(client: Any, run_id: str, metrics: Mapping[str, float]) -> dict[str, int]:
    """For each metric and image that the run holds, its last step."""
    last = {key: max(int(metric.step) for metric in client.get_metric_history(run_id, key)) for key in metrics}
    for file in client.list_artifacts(run_id, "images"):
        if match := _STEP_OF_IMAGE.match(PurePosixPath(file.path).name):
            tag = re.sub(r"[~#]", "/", match["tag"])
            last[tag] = max(last.get(tag, -1), int(match["step"]))
    return last


def _place(kind: str, key: str, step: int, suffix: str) -> PurePosixPath:
    """The artifact of a value."""
    return PurePosixPath(kind, key, f"{step:08d}{suffix}")


def _flat(config: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings as `outer/inner`."""
    for key, value in config.items():
        name = _name(f"{before}{key}")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}/")
        else:
            yield name, value


def _name(tag: str) -> str:
    """`tag` with each character that MLflow refuses in the names of images as its code, such as `_e9_` for é."""
    parts = (re.sub(r"[^\w.\- ]", lambda match: f"_{ord(match[0]):x}_", part, flags=re.A) for part in tag.split("/"))
    return "/".join(part or "_" for part in parts)
