"""Adds events to the files of a run that has ended.

tracker = tracker_of(Path("outputs/runs/a"))
tracker.emit(event)
tracker.close()
"""

from __future__ import annotations

from pathlib import Path

from .base import Tracker
from .fan_out import FanOutTracker
from .privacy import ScrubbedTracker, Scrubber, private_and_plain
from .voice_folder import VoiceFolderTracker


def tracker_of(directory: Path) -> Tracker:
    """What writes to the files that the run has, on this thread: nothing is queued, so no queue is reported.

    A W&B run is left as it is.
    """
    trackers: list[Tracker] = [VoiceFolderTracker(directory)]
    if any(directory.glob("events.out.tfevents.*")):
        from .tensorboard import TensorBoardTracker  # imports tensorboard, which is optional

        trackers.append(TensorBoardTracker(directory))
    if (directory / "record" / "events.jsonl").is_file():
        from .jsonl import JsonLinesTracker

        trackers.append(JsonLinesTracker(directory))
    return ScrubbedTracker(FanOutTracker(trackers), change=private_and_plain(Scrubber.of_this_machine()))
