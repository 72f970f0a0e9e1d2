"""Hands a recorded run to another backend: to fill in one that was lost, or to see an old run somewhere else.

replay(Path("runs/a"), TensorBoardTracker(Path("filled/a")))
"""

from __future__ import annotations

from pathlib import Path

from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.jsonl import read_record


def replay(record: Path, tracker: Tracker) -> int:
    """Emit every event of the JSON-lines record in `record` to `tracker`, in order, then flush; how many there were.

    The tracker is not closed. Raises what `read_record` raises.
    """
    count = 0
    for event in read_record(record):
        tracker.emit(event)
        count += 1
    tracker.flush()
    return count
