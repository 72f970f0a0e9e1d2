"""Sends a recorded run to another backend: to repair one that lost events, or to see an old run somewhere else.

replay(Path("runs/a"), TensorBoardTracker(Path("repaired/a")))
"""

from __future__ import annotations

from pathlib import Path

from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.jsonl import read_record


def replay(record: Path, tracker: Tracker) -> int:
    """Emit every event of the JSON-lines record in `record` to `tracker`, in order, then flush; returns their number.

    The tracker stays open. Raises what `read_record` raises.
    """
    count = 0
    for event in read_record(record):
        tracker.emit(event)
        count += 1
    tracker.flush()
    return count
