"""The queue: order, once-only, bytes, what is dropped first, deadlines, threads and forks."""

import os
import threading
import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker_logging.events import Alert, Audio, Clip, Image, Scalars, Table, Text
from tracker_logging.trackers.background import STUCK_DEADLINE_S, BackgroundTracker
from tracker_logging.trackers.fan_out import FanOutTracker
from tracker_logging.trackers.freeze import Importance, freeze, importance, size_of
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.trackers.waiting import WaitingBudget

DEADLINE_S = 60.0


class GatedTracker(MemoryTracker):
    """A backend as slow as the test wants: nothing gets in before the gate opens."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()

    def emit(self, event):
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        super().emit(event)


def ours(events):
    """Without the queue's own numbers."""
    return [event for event in events if not (isinstance(event, Scalars) and "tracker/queue_mb" in event.values)]


def sized(kind, step, kilobytes):
    """An event of a kind that weighs about so many kilobytes."""
    match kind:
        case "scalars":
            return Scalars(step=step, values={"a": float(step)})
        case "alert":
            return Alert(step=step, level="info", title="t", text="x" * 250 * kilobytes)
        case "text":
            return Text(step=step, tag="t", text="x" * 250 * kilobytes)
        case "table":
            return Table(step=step, tag="t", columns=("a",), rows=(("x" * 250 * kilobytes,),))
        case "image":
            return Image(step=step, tag="t", picture=np.zeros((1, 333 * kilobytes, 3), np.uint8))
        case _:
            return Audio(
                step=step, tag="t", clips={"a": Clip(samples=np.zeros(250 * kilobytes, "f"), sample_rate=8000)}
            )


KINDS = st.sampled_from(["scalars", "alert", "text", "table", "image", "audio"])
STREAM = st.lists(st.tuples(KINDS, st.integers(1, 60)), max_size=60)


@settings(max_examples=60, deadline=None)
@given(STREAM)
def test_below_its_limit_the_queue_delivers_everything_once_and_in_order(stream):
    inner = MemoryTracker()
    tracker = BackgroundTracker(inner, name="t")
    for step, (kind, kilobytes) in enumerate(stream):
        tracker.emit(sized(kind, step, kilobytes))
    tracker.close()
    assert [event.step for event in ours(inner.events)] == list(range(len(stream)))
    assert tracker.dropped == {}


@settings(max_examples=80, deadline=None)
@given(STREAM, st.integers(20, 200))
def test_a_full_queue_drops_the_least_important_and_keeps_its_bound(stream, limit_kb):
    inner = GatedTracker()
    tracker = BackgroundTracker(inner, name="t", queue_mb=limit_kb / 1000)
    tracker.emit(sized("scalars", -1, 0))
    assert inner.entered.wait(DEADLINE_S)  # the thread holds one event, the rest must queue
    sent = [sized(kind, step, kilobytes) for step, (kind, kilobytes) in enumerate(stream)]
    for event in sent:
        tracker.emit(event)
        kept_bytes = sum(size_of(other) for other in sent if importance(other) is Importance.KEPT)
        assert tracker.queue_bytes <= limit_kb * 1000 + kept_bytes
    inner.gate.set()
    tracker.close()
    arrived = [event.step for event in ours(inner.events)][1:]
    lost = sorted(set(range(len(sent))) - set(arrived))
    assert arrived == sorted(set(arrived))
    assert len(lost) == sum(tracker.dropped.values())
    assert not [step for step in lost if importance(sent[step]) is Importance.KEPT]
    for step in lost:  # nothing was dropped for the sake of something less important that came before it
        heavier = [other for other in arrived if other < step and importance(sent[other]) < importance(sent[step])]
        fits = size_of(sent[step]) <= limit_kb * 1000
        assert not (heavier and fits)


def test_media_are_dropped_before_tables_and_tables_before_text():
    inner = GatedTracker()
    tracker = BackgroundTracker(inner, name="t", queue_mb=0.1)
    tracker.emit(sized("scalars", 0, 0))
    assert inner.entered.wait(DEADLINE_S)
    for step, kind in enumerate(["audio", "table", "text", "table", "text", "scalars", "image"], start=1):
        tracker.emit(sized(kind, step, 38))
    inner.gate.set()
    tracker.close()
    assert [event.step for event in ours(inner.events)] == [0, 3, 5, 6]
    assert tracker.dropped == {"Audio": 1, "Table": 2, "Image": 1}


def test_a_burst_of_two_thousand_scalars_arrives():
    inner = MemoryTracker()
    tracker = BackgroundTracker(inner, name="t", queue_mb=0.001)
    for step in range(2000):
        tracker.emit(Scalars(step=step, values={"a": 1.0}))
    tracker.flush()
    assert [event.step for event in ours(inner.events)] == list(range(2000))
    tracker.close()


def test_a_thousand_events_of_each_of_32_threads_arrive_in_order():
    inner = MemoryTracker()
    tracker = BackgroundTracker(inner, name="t", queue_mb=1)

    def send(number):
        for step in range(1000):
            tracker.emit(Scalars(step=step, values={f"thread_{number}": 0.0}))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.close()
    by_thread = {}
    for event in ours(inner.events):
        by_thread.setdefault(next(iter(event.values)), []).append(event.step)
    assert len(by_thread) == 32
    assert all(steps == list(range(1000)) for steps in by_thread.values())


def test_an_array_may_be_overwritten_after_it_was_emitted():
    inner = GatedTracker()
    tracker = BackgroundTracker(inner, name="t")
    samples, values = np.ones(10, np.float32), {"a": 1.0}
    tracker.emit(Audio(step=1, tag="t", clips={"a": Clip(samples=samples, sample_rate=8000)}))
    tracker.emit(Scalars(step=1, values=values))
    samples[:] = 7
    values["a"] = 7.0
    inner.gate.set()
    tracker.close()
    audio, scalars = inner.events[:2]
    assert (audio.clips["a"].samples == 1).all()
    assert scalars.values == {"a": 1.0}


def test_a_read_only_array_is_not_copied():
    owner = np.zeros(10, np.float32)
    view = owner[2:]
    view.setflags(write=False)
    copied = freeze(Image(step=0, tag="t", picture=view)).picture
    assert not np.shares_memory(copied, owner)
    assert freeze(Image(step=0, tag="t", picture=copied)).picture is copied


def test_flush_returns_when_everything_can_be_read():
    inner = MemoryTracker()
    tracker = BackgroundTracker(inner, name="t")
    for step in range(100):
        tracker.emit(Scalars(step=step, values={"a": 0.0}))
    tracker.flush()
    assert len(ours(inner.events)) == 100
    tracker.close()


def test_flush_and_close_time_out_on_a_backend_that_hangs(caplog):
    inner = GatedTracker()
    tracker = BackgroundTracker(inner, name="slow one")
    inner.gate.set()
    tracker.emit(Scalars(step=1, values={"a": 0.0}))
    tracker.flush()
    inner.gate.clear()
    tracker.emit(Scalars(step=2, values={"a": 0.0}))
    tracker.flush(timeout_s=0.05)
    assert "slow one: not flushed" in caplog.text
    began = time.monotonic()
    tracker.flush(timeout_s=DEADLINE_S)  # does not wait again for a thread that has not moved
    tracker.close()
    assert time.monotonic() - began < DEADLINE_S
    assert "does not respond" in caplog.text
    inner.gate.set()


def test_a_backend_that_is_slow_to_open_is_waited_for():
    inner = GatedTracker()
    tracker = BackgroundTracker(inner, name="opening")
    for step in (1, 2):
        tracker.emit(Scalars(step=step, values={"a": 0.0}))
    tracker.flush(timeout_s=0.05)
    opens = threading.Timer(STUCK_DEADLINE_S + 0.2, inner.gate.set)
    opens.start()
    tracker.close()
    opens.join()
    assert [event.step for event in ours(inner.events)] == [1, 2]


def test_close_ends_the_thread_and_later_events_are_ignored():
    inner = MemoryTracker()
    tracker = BackgroundTracker(inner, name="short-lived")
    tracker.emit(Scalars(step=1, values={"a": 0.0}))
    assert "tracker-short-lived" in {thread.name for thread in threading.enumerate()}
    tracker.close()
    tracker.close()
    tracker.emit(Scalars(step=2, values={"a": 0.0}))
    tracker.flush()
    assert "tracker-short-lived" not in {thread.name for thread in threading.enumerate()}
    assert [event.step for event in ours(inner.events)] == [1]


def test_an_unused_tracker_starts_no_thread():
    tracker = BackgroundTracker(MemoryTracker(), name="unused")
    tracker.flush()
    assert "tracker-unused" not in {thread.name for thread in threading.enumerate()}
    tracker.close()


def test_scalars_have_a_bound_too_are_lost_last_and_with_a_warning(caplog):
    inner = GatedTracker()
    tracker = BackgroundTracker(inner, name="hanging", queue_mb=0.05, kept_mb=0.05)
    tracker.emit(sized("scalars", 0, 0))
    assert inner.entered.wait(DEADLINE_S)
    tracker.emit(sized("image", 1, 40))
    for step in range(2, 2000):
        tracker.emit(Scalars(step=step, values={"a": 1.0}))
        assert tracker.queue_bytes <= 100_000
    assert tracker.dropped["Image"] == 1, "the image must go before the first scalar"
    lost = tracker.dropped["Scalars"]
    assert 1400 < lost < 1900
    assert caplog.text.count("scalars are lost from step") == 1
    inner.gate.set()
    tracker.close()
    arrived = [event.step for event in ours(inner.events)]
    assert arrived == [0, *range(2, 2000 - lost)]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_waiting_budget_is_per_hour_and_counts_simultaneous_waits_once():
    clock = Clock()
    budget = WaitingBudget(limit_s=30.0, clock=clock)
    assert budget.remaining_s == 30.0
    with budget.waiting():
        clock.now = 4.0
        with budget.waiting():
            clock.now = 10.0
            assert budget.remaining_s == 20.0
    assert budget.remaining_s == 20.0
    clock.now = 1000.0
    with budget.waiting():
        clock.now = 1025.0
    assert budget.remaining_s == 0.0
    clock.now = 3606.0  # 6 of the first 10 seconds are more than an hour ago
    assert budget.remaining_s == 1.0
    clock.now = 5000.0
    assert budget.remaining_s == 30.0


def test_all_flushes_together_wait_no_longer_than_the_budget_of_an_hour(caplog):
    class Slow(MemoryTracker):
        def flush(self, *, timeout_s=None):
            stop.wait(0.3)

    stop = threading.Event()
    budget = WaitingBudget(limit_s=1.0)
    trackers = FanOutTracker([BackgroundTracker(Slow(), name=f"slow{i}", budget=budget) for i in range(2)])
    began = time.monotonic()
    for step in range(200):
        trackers.emit(Scalars(step=step, values={"a": 0.0}))
        trackers.flush(timeout_s=30.0)
    waited = time.monotonic() - began
    stop.set()
    assert 0.9 < waited < 30.0  # 60 s without a budget
    assert caplog.text.count("does not wait longer") == 2
    trackers.close()
    assert all(len(ours(tracker.inner.events)) == 200 for tracker in trackers.trackers)


def test_drops_and_backlog_are_logged_once_per_step():
    inner = GatedTracker()
    tracker = BackgroundTracker(inner, name="t", queue_mb=0.1)
    tracker.emit(sized("image", 4, 60))
    assert inner.entered.wait(DEADLINE_S)
    tracker.emit(sized("image", 5, 60))
    tracker.emit(sized("image", 6, 60))
    inner.gate.set()
    tracker.flush()
    tracker.flush()
    tracker.close()
    reports = [event for event in inner.events if event not in ours(inner.events)]
    assert [(event.step, event.values["tracker/dropped_events"]) for event in reports] == [(6, 1.0)]
    assert 0.06 <= reports[0].values["tracker/queue_mb"] <= 0.1


def test_the_thread_pauses_after_media_until_a_flush_waits():
    first = threading.Event()

    class Busy(MemoryTracker):
        def emit(self, event):
            end = time.thread_time() + 0.2
            while time.thread_time() < end:
                pass
            super().emit(event)
            first.set()

    inner = Busy()
    tracker = BackgroundTracker(inner, name="t")
    tracker.emit(sized("image", 1, 1))
    tracker.emit(sized("image", 2, 1))
    assert first.wait(DEADLINE_S)
    assert len(inner.events) == 1  # it now rests for 30 times as long as it worked: 6 s
    tracker.flush()
    assert len(ours(inner.events)) == 2
    tracker.close()


def test_an_exception_loses_one_event_and_the_thread_goes_on():
    class Picky(MemoryTracker):
        def emit(self, event):
            if event.step == 1:
                raise RuntimeError("no")
            super().emit(event)

    inner = Picky()
    tracker = BackgroundTracker(inner, name="t")
    for step in range(3):
        tracker.emit(Scalars(step=step, values={"a": 0.0}))
    tracker.flush()
    assert [event.step for event in ours(inner.events)] == [0, 2]
    assert tracker.errors == 1
    tracker.close()


def test_a_forked_child_does_nothing_even_while_the_queue_is_locked():
    inner = MemoryTracker()
    tracker = BackgroundTracker(inner, name="t")
    tracker.emit(Scalars(step=1, values={"a": 0.0}))
    with tracker._changed:  # the worst moment to fork: the child inherits a lock that is never released
        child = os.fork()
        if child == 0:
            tracker.emit(Scalars(step=2, values={"a": 0.0}))
            tracker.flush()
            tracker.close()
            os._exit(0)
    end = time.monotonic() + DEADLINE_S
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        threading.Event().wait(0.01)
    assert done == (child, 0)
    tracker.emit(Scalars(step=3, values={"a": 0.0}))
    tracker.close()
    assert [event.step for event in ours(inner.events)] == [1, 3]
