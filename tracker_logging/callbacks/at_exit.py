"""The tracker is closed when Python exits, whatever ended the training; and an early end is said.

W&B ends its service in an exit handler of its own, and handlers run last-registered first: `renew`, called at every
logged step, keeps ours after W&B's in that order, so that a training that dies of an exception loses nothing.

    closing = AtExit(tracker)
    closing.renew(step=100)
    closing.ended()
"""

from __future__ import annotations

import atexit
import logging

from tracker_logging.trackers.base import Tracker

logger = logging.getLogger("tracker_logging")


class AtExit:
    """One tracker to be closed, in the process that made this."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._step = 0
        self._is_running = True
        atexit.register(self._close)

    def renew(self, *, step: int) -> None:
        """Training has come to `step`; be the first handler to run again."""
        self._step = step
        atexit.unregister(self._close)
        atexit.register(self._close)

    def ended(self) -> None:
        """Training has come to its end."""
        self._is_running = False
        self.renew(step=self._step)

    def _close(self) -> None:
        if self._is_running:
            logger.warning(
                "Training did not come to its end (why stands above); the last logged step was %d. What was logged is "
                "kept, and a training resumed from a checkpoint goes on in the same run.",
                self._step,
            )
        self._tracker.close()
