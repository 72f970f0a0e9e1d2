"""Copies a run's directory to a remote place while it is written.

    tracker = MirroredTracker(tracker, Mirror(Path("outputs/runs/a"), "s3://bucket/runs/a"))

Guarantees
- The local directory is the truth; training never waits for the copy. A pass takes at most a tenth of the time.
- A file that could not be copied is tried again with growing waits, and after a resume: `.mirror.json` of the run holds
  what was copied. An outage is reported once, and its end.
- `close` makes a last pass of at most `FINISH_S` seconds and tells how many files are missing, with the command that
  copies them. Files are never removed from the remote place.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

from tracker_logging.events import Event
from tracker_logging.trackers.base import Tracker
from tracker_logging.whole_file import write_whole_text

logger = logging.getLogger("tracker_logging")

EVERY_S = 15.0
FINISH_S = 120.0
_SHARE = 10.0  # the wait is at least so many times as long as a pass took
_LONGEST_WAIT_S = 300.0
_STATE = ".mirror.json"


def open_place(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it. Raises `ValueError` with what to install or correct."""
    try:
        import fsspec

        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{url} cannot be opened: {error}") from error
    return files, path.rstrip("/")


class Mirror:
    """Copies `directory` to `url` from a thread of its own. Raises `ValueError` for a URL that cannot be opened."""

    def __init__(self, directory: Path, url: str, *, every_s: float = EVERY_S) -> None:
        self.directory = directory
        self.url = url
        self._files, self._path = open_place(url)
        self._every_s = every_s
        self._end = threading.Event()
        self._failure = ""
        self._copied = self._remembered()
        self._thread = threading.Thread(target=self._work, name="tracker_logging-mirror", daemon=True)

    def begin(self) -> None:
        """Start copying."""
        self._thread.start()

    def copy(self, *, deadline: float | None = None) -> int:
        """One pass over all files; how many are not copied. `deadline`: of `time.monotonic`."""
        missing = 0
        for path in sorted(self.directory.rglob("*")):
            relative = path.relative_to(self.directory).as_posix()
            try:
                if path.is_symlink() or not path.is_file() or path.name.startswith("."):
                    continue
                status = path.stat()
                version = [status.st_size, status.st_mtime_ns]
                if self._copied.get(relative) == version:
                    continue
                if (self._failure and missing) or (deadline is not None and time.monotonic() > deadline):
                    missing += 1
                    continue
                self._files.put_file(str(path), f"{self._path}/{relative}")
                self._copied[relative] = version
                if self._failure:
                    logger.warning("Mirror: %s can be written again.", self.url)
                    self._failure = ""
            except FileNotFoundError:
                continue  # replaced or removed meanwhile: the next pass sees it
            except Exception as error:  # each package has errors of its own
                missing += 1
                self._report(error)
        self._remember()
        return missing

    def finish(self, *, timeout_s: float = FINISH_S) -> int:
        """Stop the thread, copy what is left, and tell what is missing; how many files that is."""
        deadline = time.monotonic() + timeout_s
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        missing = self.copy(deadline=deadline) if not self._thread.is_alive() else -1
        if missing:
            what = "some files" if missing < 0 else f"{missing} files"
            logger.warning(
                "Mirror: %s of %s are not in %s. Copy them later: tracker-logging mirror %s %s",
                what, self.directory.name, self.url, self.directory, self.url,
            )  # fmt: skip
        return missing

    def _work(self) -> None:
        wait = self._every_s
        while not self._end.wait(wait):
            begin = time.monotonic()
            missing = self.copy()
            took = time.monotonic() - begin
            wait = min(_LONGEST_WAIT_S, 2 * wait) if missing else max(self._every_s, _SHARE * took)

    def _report(self, error: Exception) -> None:
        if not self._failure:
            logger.warning(
                "Mirror: %s cannot be written (%s: %s). The run is complete in %s; trying again.",
                self.url, type(error).__name__, error, self.directory,
            )  # fmt: skip
        self._failure = type(error).__name__

    def _remembered(self) -> dict[str, list[int]]:
        try:
            content = json.loads((self.directory / _STATE).read_text(encoding="utf-8"))
            return dict(content["files"]) if content["url"] == self.url else {}
        except (OSError, KeyError, TypeError, ValueError):
            return {}

    def _remember(self) -> None:
        try:
            write_whole_text(self.directory / _STATE, json.dumps({"url": self.url, "files": self._copied}))
        except OSError as error:
            self._report(error)


class MirroredTracker:
    """A tracker whose directory is mirrored until it is closed."""

    def __init__(self, tracker: Tracker, mirror: Mirror) -> None:
        self._tracker = tracker
        self._mirror: Mirror | None = mirror
        mirror.begin()

    def emit(self, event: Event) -> None:
        """Take one event."""
        self._tracker.emit(event)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Flush the local files; the copy follows in the background."""
        self._tracker.flush(timeout_s=timeout_s)

    def close(self) -> None:
        """Close the backends, then finish the copy."""
        self._tracker.close()
        mirror, self._mirror = self._mirror, None
        if mirror is not None:
            mirror.finish()
