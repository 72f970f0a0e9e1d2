"""Follows a run that is being written: what is new since the last look.

follower = Follower(Path("outputs/runs/a"))
while True:
    for entry in follower.poll(): ...
    time.sleep(1.0)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tracker_logging.runs import tensorboard, wandb
from tracker_logging.runs.entries import Entry
from tracker_logging.runs.json_lines import RecordReader
from tracker_logging.runs.open import locate
from tracker_logging.runs.tensorboard import EventFileReader


class Follower:
    """Reads a run further at every `poll`, from the same files as `open_run`. Raises `NotARunError`.

    Event files and JSON lines are read on from where the last call ended; a record that a resumed run has rewritten is
    read from its start again. A W&B log is read in full each time (about a second). A `voices` folder has no entries.
    """

    def __init__(self, path: Path | str) -> None:
        self._place = locate(path)
        self._event_files: dict[Path, tuple[int, EventFileReader]] = {}
        self._record: tuple[int, RecordReader] | None = None
        self._count = 0

    @property
    def name(self) -> str:
        """The name of the run."""
        return self._place.run.name

    def poll(self) -> Iterator[Entry]:
        """The entries since the last call. Raises `OSError`."""
        match self._place.source:
            case "TensorBoard":
                for path in sorted(self._place.files.glob(tensorboard.EVENT_FILES)):
                    yield from self._reader(path).read()
            case "JSON lines":
                reader = RecordReader(self._place.files)
                inode = reader.path.stat().st_ino
                if self._record is None or self._record[0] != inode:
                    self._record = (inode, reader)
                yield from self._record[1].read()
            case "W&B":
                entries = list(wandb.entries(wandb.same_run(self._place.files)))
                yield from entries[self._count :]
                self._count = len(entries)

    def _reader(self, path: Path) -> EventFileReader:
        """The reader of an event file. A resumed run replaces its earlier files; their records were seen before."""
        inode = path.stat().st_ino
        known = self._event_files.get(path)
        if known is None or known[0] != inode:
            reader = EventFileReader(path)
            reader.offset = 0 if known is None else path.stat().st_size
            self._event_files[path] = (inode, reader)
        return self._event_files[path][1]
