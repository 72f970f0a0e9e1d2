"""A backend's failures are contained, logged once, counted, waited out and summed up."""

import pytest
from tracker_examples import one_of_each

from tracker_logging.events import Scalars
from tracker_logging.guard import FAILURES_UNTIL_OFF as FAILURES
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.guarded import SLOW_S, GuardedTracker
from tracker_logging.trackers.memory import MemoryTracker


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Failing(MemoryTracker):
    """Raises in the methods named while `broken`."""

    def __init__(self, *methods, broken=True):
        super().__init__()
        self.methods, self.broken, self.calls = methods, broken, 0

    def _maybe(self, method):
        self.calls += 1
        if self.broken and method in self.methods:
            raise OSError(28, "No space left on device")

    def emit(self, event):
        self._maybe("emit")
        super().emit(event)

    def flush(self, *, timeout_s=None):
        self._maybe("flush")

    def close(self):
        self._maybe("close")
        super().close()


def scalar(step):
    return Scalars(step=step, values={"a": 0.0})


@pytest.mark.parametrize("method", ["emit", "flush", "close"])
def test_no_error_of_a_method_leaves_the_tracker(method, caplog):
    tracker = GuardedTracker(lambda: Failing(method), name="disk")
    for event in one_of_each():
        tracker.emit(event)
    tracker.flush()
    tracker.close()
    assert tracker.errors >= 1
    part = "disk" if method == "emit" else f"disk {method}"
    # Nine events are sent: the first failure is logged with its cause, the third because the backend is switched off.
    assert caplog.text.count(f"Logging of '{part}' failed (OSError") == (2 if method == "emit" else 1)


def test_a_backend_that_cannot_be_opened_is_tried_again_later(caplog):
    clock, made = Clock(), []

    def open_backend():
        made.append(clock.now)
        if len(made) <= FAILURES:
            raise ConnectionError("down")
        return MemoryTracker()

    tracker = GuardedTracker(open_backend, name="server", clock=clock)
    for step in range(10):
        tracker.emit(scalar(step))
    assert len(made) == FAILURES
    assert tracker.is_failing
    clock.now += 5.0
    tracker.emit(scalar(10))
    assert not tracker.is_failing
    assert [event.step for event in tracker.inner.events] == [10]
    assert tracker.lost == {"Scalars": 10}
    assert "Logging of 'server' works again" in caplog.text
    tracker.close()
    assert "10 events of steps 0 to 9 are missing (10 Scalars)" in caplog.text
    assert "tracker-logging replay" in caplog.text


def test_a_failing_backend_is_left_alone_and_each_failed_trial_doubles_the_wait():
    clock, inner = Clock(), Failing("emit")
    tracker = GuardedTracker(lambda: inner, name="t", clock=clock)
    tried = []
    for _ in range(200):
        before = inner.calls
        tracker.emit(scalar(0))
        tracker.flush()
        if inner.calls > before:
            tried.append(clock.now)
        clock.now += 1
    gaps = [after - before for before, after in zip(tried[FAILURES - 1 :], tried[FAILURES:], strict=False)]
    assert gaps == [5, 10, 20, 40, 80]


def test_single_failures_between_successes_do_not_switch_off():
    inner = Failing("emit", broken=False)
    tracker = GuardedTracker(lambda: inner, name="t", clock=Clock())
    for step in range(12):
        inner.broken = step % 3 == 0
        tracker.emit(scalar(step))
    assert not tracker.is_failing
    assert tracker.errors == 4
    assert [event.step for event in inner.events] == [step for step in range(12) if step % 3]


def test_a_backend_that_is_too_slow_is_left_alone(caplog):
    clock = Clock()

    class Slow(MemoryTracker):
        def emit(self, event):
            clock.now += SLOW_S + 1
            super().emit(event)

    tracker = GuardedTracker(Slow, name="nfs", clock=clock)
    for step in range(FAILURES):
        tracker.emit(scalar(step))
    assert tracker.is_failing
    assert tracker.lost == {}
    assert caplog.text.count("TimeoutError: emit took 31 s") == 2


def test_after_close_events_are_ignored():
    inner = MemoryTracker()
    tracker = GuardedTracker(lambda: inner, name="t")
    tracker.emit(scalar(1))
    tracker.close()
    tracker.close()
    tracker.emit(scalar(2))
    assert [event.step for event in inner.events] == [1]
    assert isinstance(tracker, Tracker)


def test_a_strict_guard_raises_the_error_after_counting_it():
    tracker = GuardedTracker(lambda: Failing("emit"), name="mine", strict=True)
    with pytest.raises(OSError, match="No space left"):
        tracker.emit(scalar(1))
    assert tracker.errors == 1
