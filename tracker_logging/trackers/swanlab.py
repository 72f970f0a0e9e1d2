"""Writes events to one SwanLab run: the active one, or one of our own below the run's directory; the extra `swanlab`.

    tracker = SwanlabTracker(Path("runs/a"), RunInfo(name="a"))
    tracker.emit(Scalars(step=100, values={"outputs/nll/mean": 4.3}))

Guarantees
- `SWANLAB_*` variables and SwanLab's settings files win. Without a key the run is offline: `swanlab sync` uploads it.
- An active run (of ms-swift or the Trainer's `SwanLabCallback`) is joined and never finished by us.
- Audio is passed as 16-bit samples, images as pixels, tables and histograms as SwanLab's charts, alerts as texts.
- `voices/table` has the keys of clips and mel of each voice beside its scores: a cell of SwanLab holds text only.
- By default nothing of the machine is collected: no host, packages, git state, console output or hardware monitor.
- On a resumed run a value whose step the records below the directory hold is not sent again.

SwanLab keeps the first of two values of one key at one step. It has no call that waits until everything is written: its
record of an offline run is buffered, so that a killed process loses the tail of it; after `close` it is whole.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import swanlab
from swanlab.proto.swanlab.record.v1.record_pb2 import Record
from swanlab.sdk.internal.core_python.store import DataStoreReader

from tracker_logging.events import Alert, Cell, Clip, Summary
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.trackers.base import DEFAULT_PROJECT, RunInfo
from tracker_logging.trackers.plain_text import clean, shown
from tracker_logging.trackers.rows import short_caption
from tracker_logging.trackers.voice_table import VoiceTableTracker

FOLDER = "swanlab"
_NOTE = "run_id"


class SwanlabTracker(VoiceTableTracker):
    """One run. Safe on any thread; encodes on the caller's. Raises what `swanlab.init` raises."""

    _latest: ClassVar[SwanlabTracker | None] = None  # SwanLab writes one run at a time: an earlier one would be joined

    def __init__(self, directory: Path, run: RunInfo) -> None:
        earlier = SwanlabTracker._latest
        if earlier is not None:
            earlier.close()
        is_resumed = run.purge_step is not None
        self._is_ours = not swanlab.has_run()
        super().__init__(written=_written_steps(directory / FOLDER) if is_resumed and self._is_ours else {})
        self._run: Any = _begin(directory, run) if self._is_ours else swanlab.get_run()
        self._run.config.update(dict(run.config))
        if self._is_ours:
            SwanlabTracker._latest = self

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: SwanLab writes by itself and has no call to wait for it."""

    def _log(self, row: Mapping[str, Any], *, step: int) -> None:
        self._run.log(dict(row), step=step)

    def _summarise(self, summary: Summary) -> None:
        for tag, value in summary.values.items():
            if value.base is not None:
                self._log({f"base/{tag}": value.base}, step=0)
            if value.best is not None and value.best_step is not None:
                self._log({f"best/{tag}": value.best}, step=value.best_step)

    def _notify(self, alert: Alert, *, title: str, text: str) -> None:
        """SwanLab notifies at the end of a run only; the alert is a text of the run."""

    def _finish(self) -> None:
        if self._is_ours:
            self._run.finish()
            SwanlabTracker._latest = None

    def _histogram(self, counts: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> Any:
        bar = swanlab.echarts.Bar()
        bar.add_xaxis([f"{low:.4g}" for low in edges[:-1]])
        return swanlab.ECharts(bar.add_yaxis("count", counts.tolist()))

    def _text(self, text: str) -> Any:
        return swanlab.Text(clean(text))

    def _table(self, tag: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
        table = swanlab.echarts.Table()
        table.add([shown(name) for name in columns], [[_cell(cell) for cell in row] for row in rows])
        return swanlab.ECharts(table)

    def _image(self, pixels: npt.NDArray[np.uint8], *, caption: str | None) -> Any:
        return swanlab.Image(pixels, caption=caption)

    def _clip(self, name: str, clip: Clip) -> Any:
        caption = short_caption(clip.caption or name)
        return swanlab.Audio(to_pcm16(clip.samples), sample_rate=clip.sample_rate, caption=caption)


def _cell(cell: Cell) -> int | float | str:
    """A number as one, so that SwanLab sorts by it; all else, NaN and infinity as text."""
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not math.isfinite(cell):
        return shown(cell)
    return cell


def open_backend(directory: Path, run: RunInfo) -> SwanlabTracker:
    """A new run, the active one, or where `run` is resumed the one that `directory` names."""
    return SwanlabTracker(directory, run)


def _begin(directory: Path, run: RunInfo) -> Any:
    folder = directory / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / _NOTE
    run_id = note.read_text(encoding="utf-8").strip() if run.purge_step is not None and note.exists() else None
    chosen = swanlab.Settings()  # of SwanLab's environment and settings files
    mode = os.environ.get("SWANLAB_MODE") or ("online" if chosen.api_key else "offline")
    name = run.name or chosen.experiment.name or directory.name
    arguments: dict[str, Any] = {
        "mode": mode,
        "log_dir": None if _is_chosen("SWANLAB_LOG") else str(folder),
        "project": run.project or chosen.project.name or DEFAULT_PROJECT,
        "name": name,
        "id": run_id,
        "resume": "allow" if run_id and mode == "online" else None,
        # SwanLab would draw one from Python's random generator, which is that of the training.
        "color": chosen.experiment.color or f"#{zlib.crc32(name.encode()) & 0xFFFFFF:06x}",
        "settings": _private(),
    }
    # In a thread of its own: on the main thread SwanLab replaces the handler of Ctrl-C.
    with ThreadPoolExecutor(max_workers=1) as threads:
        begun = threads.submit(lambda: swanlab.init(**arguments)).result()
    note.write_text(str(begun.id), encoding="utf-8")
    return begun


def _private() -> Any:
    """Settings that collect nothing of the machine, but for those that the environment chooses."""
    settings: dict[str, Any] = {} if _is_chosen("SWANLAB_INTERACTIVE") else {"interactive": False}
    if not _is_chosen("SWANLAB_TERMINAL"):
        settings["terminal"] = swanlab.Settings.Terminal(proxy_type="none")
    if not _is_chosen("SWANLAB_PROBE"):
        parts = ("hardware", "runtime", "requirements", "conda", "git", "swanlab", "monitor")
        settings["probe"] = swanlab.Settings.Probe(**dict.fromkeys(parts, False))
    return swanlab.Settings(**settings)


def _is_chosen(variable: str) -> bool:
    return any(name.startswith(variable) for name in os.environ)


def _written_steps(folder: Path) -> dict[str, int]:
    """For each key that the records of a run hold, its last step."""
    return {key: max(steps) for key, steps in steps_of_records(folder).items()}


def steps_of_records(folder: Path) -> dict[str, list[int]]:
    """For each key the steps at which the records below `folder` hold a value, in their order."""
    steps: dict[str, list[int]] = {}
    for record in records(folder):
        if (kind := record.WhichOneof("record_type")) in ("scalar", "media"):
            value = getattr(record, kind)
            steps.setdefault(value.key, []).append(value.step)
    return steps


def records(folder: Path) -> Iterator[Any]:
    """SwanLab's records below `folder`, oldest run directory first; up to the tear of a torn one."""
    for path in sorted(folder.glob("run-*/run-*.swanlab"), key=lambda path: path.stat().st_mtime_ns):
        if path.stat().st_size == 0:  # of a process that was killed before SwanLab's buffer was full
            continue
        reader = DataStoreReader()
        reader.open(path)
        try:
            yield from (Record.FromString(data) for data in reader)
        finally:
            reader.close()
