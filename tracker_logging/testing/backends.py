"""Does a backend do what `report_to` needs? A suite for any factory `(directory, run) -> Tracker`, any test runner.

    def test_my_backend():
        assert_backend(open_csv, read=read_csv)

Guarantees
- Everything is written to temporary directories. Nothing is fetched.
- What is wrong is reported part by part; an exception in one part does not hide the others.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tracker_logging.events import (
    Alert,
    Audio,
    Clip,
    Event,
    Heatmap,
    Histogram,
    Image,
    Scalars,
    Table,
    Text,
    VoiceComparison,
)
from tracker_logging.testing.conformance import Problem
from tracker_logging.trackers.base import OpenBackend, RunInfo, Tracker

ReadScalars: TypeAlias = Callable[[Path], Iterable[tuple[str, int, float]]]
THREADS = 8
EVENTS_PER_THREAD = 25
DEADLINE_S = 60.0


def assert_backend(open_backend: OpenBackend, *, read: ReadScalars | None = None) -> None:
    """Raise `AssertionError` with everything that `check_backend` finds."""
    problems = check_backend(open_backend, read=read)
    assert not problems, "\n".join(f"{problem.part}: {problem.what}" for problem in problems)


def check_backend(open_backend: OpenBackend, *, read: ReadScalars | None = None) -> list[Problem]:
    """All problems; empty for a sound backend.

    Parts: `members`, `events`, `closing`, `threads`, `side effects`, `values`, `resume`.

    `open_backend`: the factory. `read`: gives (tag, step, value) of every scalar that a run's directory holds, as often
    as it holds it; without it what was written is not checked, only that writing it raises nothing.
    """
    checks: dict[str, Callable[[OpenBackend, ReadScalars | None], Iterator[str]]] = {
        "members": _members,
        "events": _events,
        "closing": _closing,
        "threads": _threads,
        "side effects": _side_effects,
    }
    if read is not None:
        checks |= {"values": _values, "resume": _resume}
    problems: list[Problem] = []
    for part, check in checks.items():
        try:
            problems += [Problem(part, what) for what in check(open_backend, read)]
        except Exception as error:
            problems.append(Problem(part, f"raised {type(error).__name__}: {error}"))
        if part == "members" and problems:
            return problems
    return problems


def example_events(step: int = 1) -> list[Event]:
    """Events of every kind, some with the values that break things: empty, not finite, markup, silent, no scores."""
    tone = np.sin(np.arange(2400, dtype=np.float32) / 10)
    clip = Clip(samples=tone, sample_rate=24_000, caption="a <b>tone</b> | x")
    voice = VoiceComparison(
        step=step,
        voice_id="a voice/../é",
        clips={"reference": clip, "generated": clip},
        reference_text="The young woman",
        target_text="found a blue door.",
        scores={"sim_o": 0.5, "wer": float("nan")},
        pitch_hz={"generated": np.array([100.0, np.nan], np.float32)},
        embeddings={"generated": np.ones(4, np.float32)},
    )
    heatmap = Heatmap(values=np.array([[0.0, np.nan]], np.float32), title="map", row_axis="layer", column_axis="token")
    return [
        Scalars(step=step, values={"a/b": 1.5, "nan": float("nan"), "inf": float("inf"), "int": 3}),
        Scalars(step=step, values={}),
        Histogram(step=step, tag="sizes", counts=np.array([1.0, 0.0]), edges=np.array([0.0, 1.0, 2.0])),
        Text(step=step, tag="text", text="<script>x</script> | \x1b[31mred \u202e \x00 é 漢"),
        Text(step=step, tag="text/empty", text=""),
        Table(
            step=step, tag="table", columns=("a", "b|c"), rows=(("x\ny", None), (True, float("nan")), (1, "z" * 9000))
        ),
        Table(step=step, tag="table/empty", columns=("a",), rows=()),
        Image(step=step, tag="image/map", picture=heatmap, caption="where"),
        Image(step=step, tag="image/pixels", picture=np.zeros((2, 3, 3), np.uint8)),
        Audio(step=step, tag="audio", clips={"reference": clip, "silence": replace(clip, samples=np.zeros(0, "f"))}),
        voice,
        replace(voice, voice_id="failed", clips={}, scores={}, error="no end code", new_fixed_clips=False),
        Alert(step=step, level="warning", title="Loss is NaN!", text="Lower the learning rate."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterEvent:
    """A kind of event that no backend knows yet."""

    step: int


def _members(open_backend: OpenBackend, read: ReadScalars | None) -> Iterator[str]:
    with _opened(open_backend) as (tracker, _):
        if not isinstance(tracker, Tracker):
            missing = [name for name in ("emit", "flush", "close") if not hasattr(tracker, name)]
            yield f"the factory returns a {type(tracker).__name__} without {', '.join(missing)}"


def _events(open_backend: OpenBackend, read: ReadScalars | None) -> Iterator[str]:
    with _opened(open_backend) as (tracker, _):
        for event in (*example_events(7), *example_events(3), LaterEvent(step=8)):
            before = pickle.dumps(event)
            try:
                tracker.emit(event)  # type: ignore[arg-type]
            except Exception as error:
                hint = ": ignore the kinds that you do not know" if isinstance(event, LaterEvent) else ""
                yield f"emit raised {type(error).__name__} for {type(event).__name__} ({error}){hint}"
            if pickle.dumps(event) != before:
                yield f"emit changes a {type(event).__name__}, which other backends are given too"
        tracker.flush()
        tracker.flush(timeout_s=1.0)


def _closing(open_backend: OpenBackend, read: ReadScalars | None) -> Iterator[str]:
    with _opened(open_backend) as (tracker, directory):
        tracker.emit(Scalars(step=1, values={"a": 1.0}))
        tracker.close()
        for verb, call in (
            ("a second close", tracker.close),
            ("flush after close", tracker.flush),
            ("emit after close", lambda: tracker.emit(Scalars(step=2, values={"a": 2.0}))),
        ):
            try:
                call()
            except Exception as error:
                yield f"{verb} raised {type(error).__name__}: {error}"
        if read is not None and ("a", 2, 2.0) in list(read(directory)):
            yield "an event that is emitted after close is written"


def _threads(open_backend: OpenBackend, read: ReadScalars | None) -> Iterator[str]:
    """`emit` on many threads at once, `close` on another than the one that opened it."""
    errors: list[str] = []
    with _opened(open_backend) as (tracker, directory):

        def send(number: int) -> None:
            try:
                for step in range(EVENTS_PER_THREAD):
                    tracker.emit(Scalars(step=step, values={f"thread_{number}": float(step)}))
            except Exception as error:
                errors.append(f"emit on another thread raised {type(error).__name__}: {error}")

        _run_threads([lambda number=number: send(number) for number in range(THREADS)])  # type: ignore[misc]
        _run_threads([tracker.close])
        yield from dict.fromkeys(errors)
        if read is not None:
            written = Counter(tag for tag, _, _ in read(directory))
            for number in range(THREADS):
                if (count := written[f"thread_{number}"]) != EVENTS_PER_THREAD:
                    yield f"{count} of {EVENTS_PER_THREAD} values of thread {number} were written"


def _side_effects(open_backend: OpenBackend, read: ReadScalars | None) -> Iterator[str]:
    before = _process_state()
    with _opened(open_backend) as (tracker, directory):
        for event in example_events():
            tracker.emit(event)
        tracker.close()
        yield from (f"changes {name}" for name, value in _process_state().items() if value != before[name])
        outside = sorted(path.name for path in directory.parent.iterdir() if path != directory)
        if outside:
            yield f"writes beside the run's directory: {', '.join(outside)}"


def _values(open_backend: OpenBackend, read: ReadScalars | None) -> Iterator[str]:
    assert read is not None
    with _opened(open_backend) as (tracker, directory):
        for step, value in ((10, 0.5), (20, 0.25), (15, 0.125)):
            tracker.emit(Scalars(step=step, values={"loss": value}))
        tracker.emit(Scalars(step=20, values={"loss": 4.0}))
        tracker.flush()
        expected = [(10, 0.5), (15, 0.125), (20, 0.25), (20, 4.0)]
        values = sorted((step, value) for tag, step, value in read(directory) if tag == "loss")
        if values != expected:
            yield f"after flush the values of `loss` are {values}, not {expected} (a step may go back or come twice)"
        not_finite = {"not a number": math.nan, "above": math.inf, "below": -math.inf}
        tracker.emit(Scalars(step=30, values=not_finite))
        tracker.flush()
        by_tag = {tag: value for tag, step, value in read(directory) if step == 30}
        for tag, value in not_finite.items():
            if repr(by_tag.get(tag)) != repr(value):
                yield f"{value} is read as {by_tag.get(tag, 'nothing')}: a loss that diverges must be seen"


def _resume(open_backend: OpenBackend, read: ReadScalars | None) -> Iterator[str]:
    """Steps 1 to 7, the checkpoint at 5, then 6 to 9 once more."""
    assert read is not None
    with _opened(open_backend) as (first, directory):
        for step in range(1, 8):
            first.emit(Scalars(step=step, values={"a": float(step)}))
        first.close()
        again = open_backend(directory, RunInfo(name="a", project="p", purge_step=6))
        for step in range(6, 10):
            again.emit(Scalars(step=step, values={"a": float(step)}))
        again.close()
        steps = sorted(step for tag, step, _ in read(directory) if tag == "a")
        if steps != list(range(1, 10)):
            yield f"a run resumed with purge_step=6 holds the steps {steps}, not each of 1 to 9 once"


class _opened:  # noqa: N801 - reads as a function
    """The backend in an empty directory `parent/run`; closed at the end whatever happened."""

    def __init__(self, open_backend: OpenBackend) -> None:
        self._open_backend = open_backend
        self._folder = tempfile.TemporaryDirectory(prefix="backend-", ignore_cleanup_errors=True)

    def __enter__(self) -> tuple[Tracker, Path]:
        directory = Path(self._folder.name) / "run"
        directory.mkdir()
        self._tracker = self._open_backend(
            directory, RunInfo(name="a", project="p", config={"rate": 0.1, "none": None})
        )
        return self._tracker, directory

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(Exception):  # `closing` has reported it
            self._tracker.close()
        self._folder.cleanup()


def _run_threads(jobs: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
        if thread.is_alive():
            raise TimeoutError(f"a call did not return within {DEADLINE_S:.0f} s")


def _process_state() -> dict[str, object]:
    """What belongs to the training: a backend leaves it as it is."""
    threads = {thread.name for thread in threading.enumerate() if not thread.daemon}
    return {
        "the working directory": Path.cwd(),
        "the random state of Python": random.getstate(),
        "the random state of numpy": repr(np.random.get_state()),
        "the threads that keep the process alive": threads,
    }
