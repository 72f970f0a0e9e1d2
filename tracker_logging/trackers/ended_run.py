"""Adds events to the files of a run that has ended.

tracker = tracker_of(Path("outputs/runs/a"))
tracker.emit(event)
tracker.close()
"""

from __future__ import annotations

from pathlib import Path

from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.fan_out import FanOutTracker
from tracker_logging.trackers.privacy import ScrubbedTracker, Scrubber, private_and_plain
from tracker_logging.trackers.voice_folder import VoiceFolderTracker


def tracker_of(directory: Path) -> Tracker:
    """What writes to the files that the run has, on this thread: nothing is queued, so no queue is reported.

    A W&B run is left as it is.
    """
    trackers: list[Tracker] = [VoiceFolderTracker(directory)]
    if any(directory.glob("events.out.tfevents.*")):
        from tracker_logging.trackers.tensorboard import TensorBoardTracker  # imports tensorboard, which is optional

        trackers.append(TensorBoardTracker(directory))
    if (directory / "record" / "events.jsonl").is_file():
        from tracker_logging.trackers.jsonl import JsonLinesTracker

        trackers.append(JsonLinesTracker(directory))
    return ScrubbedTracker(FanOutTracker(trackers), change=private_and_plain(Scrubber.of_this_machine()))
