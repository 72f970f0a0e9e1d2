"""What the trackers cost, against `SummaryWriter`: prints one line per figure. Takes about a minute on one core.

    OMP_NUM_THREADS=1 python benchmarks/trackers.py

Ratios and medians of several repeats; the machine's load shows in them, so read the ratios first.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tracker_logging.events import Clip, Event, Scalars, VoiceComparison
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker

RATE = 24_000
SECONDS = 3
VOICES = 30
REPEATS = 5


def main() -> None:
    """Print every figure."""
    os.environ.setdefault("WANDB_MODE", "offline")
    folder = Path(tempfile.mkdtemp(prefix="trackers-"))
    try:
        stock_audio = _stock_round(folder / "stock")  # first: our tracker makes SummaryWriter faster too
        _training_thread(folder, stock_audio)
        _loop_speed(folder)
        _events_per_second(folder)
        _bytes_per_clip(folder)
        _read_back(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def voice_round(step: int) -> list[Event]:
    """One generated clip of 3 s for each of 30 voices."""
    noise = np.random.default_rng(step)
    events: list[Event] = []
    for voice in range(VOICES):
        samples = (0.1 * noise.standard_normal(RATE * SECONDS)).astype(np.float32)
        events.append(
            VoiceComparison(
                step=step,
                voice_id=f"v{voice}",
                clips={"generated": Clip(samples=samples, sample_rate=RATE)},
                reference_text="",
                target_text="The old man painted a red boat.",
            )
        )
    return events


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _stock_round(folder: Path) -> float:
    """Seconds on the calling thread for 30 clips through torch's `SummaryWriter.add_audio`, with its own checksum."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    clips = [event.clips["generated"].samples for event in voice_round(1) if isinstance(event, VoiceComparison)]

    def add() -> None:
        for index, samples in enumerate(clips):
            writer.add_audio(f"v{index}", samples[None], 1, sample_rate=RATE)

    seconds = statistics.median(_timed(add) for _ in range(2))
    writer.close()
    return seconds


def _training_thread(folder: Path, stock: float) -> None:
    tracker = open_tracker(["tensorboard", "wandb"], directory=folder / "thread", run=RunInfo(name="b"))
    tracker.emit(Scalars(step=0, values={"warm": 1.0}))
    tracker.flush()
    times = []
    for step in range(1, REPEATS + 1):
        events = voice_round(step)
        times.append(_timed(lambda events=events: [tracker.emit(event) for event in events]))  # type: ignore[misc]
        tracker.flush(timeout_s=120)
    tracker.close()
    ours = statistics.median(times)
    print(f"training thread, 30 clips of 3 s, TensorBoard and W&B: {1e3 * ours:.1f} ms (goal 10)")
    print(f"  against SummaryWriter.add_audio: {1e3 * stock:.0f} ms, {stock / ours:.0f} times as long")


def _loop_speed(folder: Path) -> None:
    """How fast a Python loop runs on this thread while clips are drawn, encoded and written on the others."""

    def loop(seconds: float) -> float:
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            sum(range(200))
            count += 1
        return count / seconds

    tracker = open_tracker(["tensorboard", "wandb"], directory=folder / "loop", run=RunInfo(name="b"))
    tracker.emit(Scalars(step=0, values={"warm": 1.0}))
    tracker.flush()
    idle, busy = [], []
    for step in range(1, REPEATS + 1):
        idle.append(loop(0.5))
        for event in voice_round(step):
            tracker.emit(event)
        busy.append(loop(0.5))
        tracker.flush(timeout_s=120)
    tracker.close()
    share = statistics.median(busy) / statistics.median(idle)
    print(f"Python loop while a round of voices is written to both backends: {100 * share:.0f} % of idle (goal 95)")
    round_s = statistics.median(_timed(lambda: _emit_all(folder, voice_round(1))) for _ in range(3))
    print(f"  a round of 30 voices is {round_s:.2f} s of work per backend (draw, encode, write)")


def _emit_all(folder: Path, events: list[Event]) -> None:
    tracker = TensorBoardTracker(folder / "round")
    for event in events:
        tracker.emit(event)
    tracker.close()


def _events_per_second(folder: Path) -> None:
    for name in ("tensorboard", "wandb", "jsonl"):
        tracker = open_tracker([name], directory=folder / f"speed-{name}", run=RunInfo(name="b"))
        tracker.emit(Scalars(step=0, values={"warm": 1.0}))
        tracker.flush()
        count = 2000

        def send(tracker: object = tracker, count: int = count) -> None:
            for step in range(1, count + 1):
                tracker.emit(Scalars(step=step, values={"a": 1.0, "b": 2.0, "c": 3.0}))  # type: ignore[attr-defined]

        caller = _timed(send)
        total = caller + _timed(tracker.flush)
        print(f"events/s, 3 scalars each, {name}: {count / caller:,.0f} emitted, {count / total:,.0f} written")
        tracker.close()


def _bytes_per_clip(folder: Path) -> None:
    for name in ("tensorboard", "wandb", "jsonl"):
        directory = folder / f"bytes-{name}"
        tracker = open_tracker([name], directory=directory, run=RunInfo(name="b"))
        for event in voice_round(1):
            tracker.emit(event)
        tracker.close()
        files = [path for path in directory.rglob("*") if path.is_file() and directory / "voices" not in path.parents]
        size = sum(path.stat().st_size for path in files) / VOICES
        print(f"bytes per clip of 3 s with its picture and table, {name}: {size / 1e3:.0f} kB (16-bit samples: 144 kB)")


def _read_back(folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = TensorBoardTracker(folder / "read")
    step = 0
    while tracker.path.stat().st_size < 43e6:
        step += 1
        for event in voice_round(step):
            tracker.emit(event)
    tracker.close()
    everything = {"tensors": 0, "scalars": 0}

    def read() -> None:
        EventAccumulator(str(folder / "read"), size_guidance=everything).Reload()

    seconds = statistics.median(_timed(read) for _ in range(3))
    print(f"reading {tracker.path.stat().st_size / 1e6:.0f} MB back with EventAccumulator: {seconds:.2f} s (goal 0.5)")


if __name__ == "__main__":
    main()
