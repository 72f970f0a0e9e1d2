"""One event, several trackers."""

import threading

import pytest
from tracker_examples import one_of_each

from tracker_logging.events import Scalars
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.fan_out import FanOutTracker
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.trackers.null import NullTracker


class Raising(NullTracker):
    def emit(self, event):
        raise RuntimeError("emit")

    def flush(self, *, timeout_s=None):
        raise RuntimeError("flush")

    def close(self):
        raise RuntimeError("close")


def test_each_tracker_gets_each_event_in_order():
    inner = [MemoryTracker(), MemoryTracker()]
    tracker = FanOutTracker(inner)
    for event in one_of_each():
        tracker.emit(event)
    assert len(inner[0].events) == len(one_of_each())
    assert all(a is b for a, b in zip(inner[0].events, inner[1].events, strict=True))


def test_a_tracker_that_raises_does_not_keep_the_event_from_the_others(caplog):
    after = MemoryTracker()
    tracker = FanOutTracker([Raising(), after])
    tracker.emit(Scalars(step=1, values={}))
    tracker.flush()
    tracker.close()
    assert len(after.events) == 1
    assert tracker.errors == 3
    for verb in ("emit", "flush", "close"):
        assert f"RuntimeError: {verb}" in caplog.text


def test_a_strict_fan_out_raises():
    tracker = FanOutTracker([NullTracker(), Raising()], strict=True)
    with pytest.raises(RuntimeError, match="emit"):
        tracker.emit(Scalars(step=1, values={}))
    with pytest.raises(RuntimeError, match="flush"):
        tracker.flush()
    with pytest.raises(RuntimeError, match="close"):
        tracker.close()
    assert tracker.errors == 3


def test_a_tracker_that_hangs_does_not_use_up_the_time_of_the_others():
    flushed, release = threading.Event(), threading.Event()

    class Hanging(NullTracker):
        def flush(self, *, timeout_s=None):
            assert flushed.wait(20)  # would fail if the other one had to wait for this one

    class Quick(NullTracker):
        def flush(self, *, timeout_s=None):
            flushed.set()

    FanOutTracker([Hanging(), Quick()]).flush(timeout_s=1)
    release.set()


@pytest.mark.parametrize("tracker", [NullTracker(), MemoryTracker(), FanOutTracker([NullTracker()])])
def test_every_tracker_follows_the_protocol(tracker):
    assert isinstance(tracker, Tracker)
    for event in one_of_each():
        tracker.emit(event)
    tracker.flush(timeout_s=1)
    tracker.close()
    tracker.close()
    tracker.emit(Scalars(step=1, values={}))
