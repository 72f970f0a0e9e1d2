"""Where the runs are: finds the directories below the roots that have voices, again and again while others ask.

    places = RunPlaces({"": Path("outputs/runs")})
    places.known()          # {"sweep/a": Path("outputs/runs/sweep/a")}
    places.unreachable      # what a remote root could not be read for

Guarantees
- Only the first call waits for a search. Later ones are made by a background thread, every few seconds and no more than
  a fiftieth of the time; until one ends, the answer is that of the one before. Safe from several threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from tracker_logging.runs.remote import RemoteCopy
from tracker_logging.runs.voices import directories_with_voices

_SEARCH_S = 5.0  # between two searches of the tree
_SEARCH_SHARE = 50.0  # and this many times as long as a search takes


class RunPlaces:
    """`roots`: name of a root ("" for a single one) → directory, or the local copy of a remote one."""

    def __init__(self, roots: Mapping[str, Path | RemoteCopy]) -> None:
        self._roots = {name: root.root if isinstance(root, RemoteCopy) else root for name, root in roots.items()}
        self._copies = [root for root in roots.values() if isinstance(root, RemoteCopy)]
        self._lock = threading.Lock()
        self._found: dict[str, Path] | None = None
        self._next_search = 0.0
        self._searcher: threading.Thread | None = None
        self.unreachable: list[str] = []

    def known(self) -> dict[str, Path]:
        """Name of each run that has voices → its directory. The name is TensorBoard's: the path below the root."""
        with self._lock:
            if self._found is None:
                self.search()
            elif time.monotonic() >= self._next_search and not (self._searcher and self._searcher.is_alive()):
                self._searcher = threading.Thread(target=self.search, name="tracker_logging-runs", daemon=True)
                self._searcher.start()
            return self._found or {}

    def search(self) -> None:
        """Search the trees now."""
        begin = time.monotonic()
        unreachable = []
        for copy in self._copies:
            try:
                copy.refresh()
            except OSError as error:  # what was there before is shown
                unreachable.append(str(error))
        directories = {}
        for prefix, root in self._roots.items():
            for directory in directories_with_voices(root):
                name = "/".join(part for part in (prefix, *directory.relative_to(root).parts) if part)
                directories[name or "."] = directory
        self._found, self.unreachable = directories, unreachable
        end = time.monotonic()
        self._next_search = end + max(_SEARCH_S, _SEARCH_SHARE * (end - begin))

    def fetch(self, place: Path, *suffixes: str) -> None:
        """Get the content of what lies on a remote place. Raises `OSError`."""
        for copy in self._copies:
            if place.is_relative_to(copy.root):
                copy.fetch(place, suffixes=suffixes)
