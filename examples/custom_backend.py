"""A backend of your own: scalars as CSV, everything else is ignored. docs/backends.md registers it for `report_to`.

python examples/custom_backend.py [DIRECTORY]       # checks the backend, then writes a small run with it"""

import csv
import sys
import threading
from pathlib import Path

from tracker_logging.events import Event, Scalars
from tracker_logging.testing.backends import assert_backend
from tracker_logging.trackers.base import RunInfo


class CsvTracker:
    """Writes `scalars.csv` (step, tag, value) into a directory."""

    def __init__(self, directory: Path, *, purge_step: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()  # `emit` is called on any thread
        kept = [row for row in read_csv(directory) if purge_step is not None and row[1] < purge_step]
        self._file = (directory / "scalars.csv").open("w", newline="", encoding="utf-8")
        csv.writer(self._file).writerows((step, tag, value) for tag, step, value in kept)

    def emit(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Scalars) and not self._file.closed:
                csv.writer(self._file).writerows((event.step, tag, float(x)) for tag, x in event.values.items())

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
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "custom_backend_run")
    tracker = open_csv(place, RunInfo(name="a"))
    for step in (1, 2, 3):
        tracker.emit(Scalars(step=step, values={"train/loss": 4.0 / step}))
    tracker.close()
    print(f"open_csv is a backend: {len(read_csv(place))} values in {place}/scalars.csv")
