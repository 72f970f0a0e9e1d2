"""Write a backend of your own: scalars as CSV, clips as WAV files, the rest is ignored.

    python examples/custom_backend.py [DIRECTORY]       # checks the backend, then writes a small run with it

To use it in `report_to`, register it in the pyproject.toml of your package (see docs/backends.md):

    [project.entry-points."tracker_logging.trackers"]
    csv = "custom_backend:open_csv"
"""

import csv
import sys
import threading
from pathlib import Path

from tracker_logging.events import Audio, Event, Scalars
from tracker_logging.rendering.pcm import encode_wav
from tracker_logging.testing.backends import assert_backend
from tracker_logging.trackers.base import RunInfo
from tracker_logging.trackers.parts import parts


class CsvTracker:
    """Writes `scalars.csv` (step, tag, value) and `clips/TAG/NAME-STEP.wav` into a directory."""

    def __init__(self, directory: Path, *, purge_step: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._lock = threading.Lock()  # `emit` is called on any thread
        kept = read_csv(directory) if purge_step is not None else []
        self._file = (directory / "scalars.csv").open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerows((step, tag, value) for tag, step, value in kept if step < (purge_step or 0))

    def emit(self, event: Event) -> None:
        for part in parts(event):  # a VoiceComparison becomes its clips, picture and table
            with self._lock:
                if self._file.closed:
                    return
                if isinstance(part, Scalars):
                    self._writer.writerows((part.step, tag, float(value)) for tag, value in part.values.items())
                elif isinstance(part, Audio):
                    folder = self._directory / "clips" / "".join(c if c.isalnum() else "_" for c in part.tag)
                    folder.mkdir(parents=True, exist_ok=True)
                    for name, clip in part.clips.items():
                        (folder / f"{name}-{part.step}.wav").write_bytes(encode_wav(clip))

    def flush(self, *, timeout_s: float | None = None) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.flush()

    def close(self) -> None:
        with self._lock:
            self._file.close()


def open_csv(directory: Path, run: RunInfo) -> CsvTracker:
    """The factory: what the entry point names."""
    return CsvTracker(directory, purge_step=run.purge_step)


def read_csv(directory: Path) -> list[tuple[str, int, float]]:
    """(tag, step, value) of every scalar, for the check of what was written."""
    path = directory / "scalars.csv"
    rows = csv.reader(path.read_text(encoding="utf-8").splitlines()) if path.exists() else []
    return [(tag, int(step), float(value)) for step, tag, value in rows]


if __name__ == "__main__":
    assert_backend(open_csv, read=read_csv)
    print("open_csv is a backend")
    run_directory = Path(sys.argv[1] if len(sys.argv) > 1 else "custom_backend_run")
    tracker = open_csv(run_directory, RunInfo(name="a"))
    for step in (1, 2, 3):
        tracker.emit(Scalars(step=step, values={"train/loss": 4.0 / step}))
    tracker.close()
    print(f"{len(read_csv(run_directory))} values in {run_directory}/scalars.csv")
