"""Following a run: every value once, whatever the moment at which one looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracker_logging.events import Scalars
from tracker_logging.runs import NotARunError
from tracker_logging.runs.entries import Logged
from tracker_logging.runs.follow import Follower
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.wandb import WandbTracker


def new(follower: Follower) -> list[tuple[int, float]]:
    entries = follower.poll()
    return [(entry.step, entry.value) for entry in entries if isinstance(entry, Logged) and entry.tag == "loss"]  # type: ignore[misc]


def emit(tracker: Any, *steps: int) -> None:
    for step in steps:
        tracker.emit(Scalars(step=step, values={"loss": float(step)}))


@pytest.mark.parametrize("backend", [TensorBoardTracker, JsonLinesTracker])
def test_every_value_comes_once(tmp_path: Path, backend: Any) -> None:
    tracker = backend(tmp_path)
    emit(tracker, 1, 2)
    follower = Follower(tmp_path)
    assert new(follower) == [(1, 1.0), (2, 2.0)]
    assert new(follower) == []
    emit(tracker, 3)
    assert new(follower) == [(3, 3.0)]
    tracker.close()


@pytest.mark.parametrize("backend", [TensorBoardTracker, JsonLinesTracker])
def test_a_value_that_is_half_written_comes_when_it_is_whole(tmp_path: Path, backend: Any) -> None:
    tracker = backend(tmp_path)
    path = next(path for path in tmp_path.rglob("events*") if path.is_file())
    emit(tracker, 1)
    follower = Follower(tmp_path)
    assert new(follower) == [(1, 1.0)]
    before = path.stat().st_size
    emit(tracker, 2)
    tracker.close()
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(before + 5)
    assert new(follower) == []
    with path.open("r+b") as file:
        file.write(content)
    assert new(follower) == [(2, 2.0)]


def test_a_resumed_run_is_followed_into_its_new_event_file(tmp_path: Path) -> None:
    first = TensorBoardTracker(tmp_path)
    emit(first, 1, 2, 3)
    first.close()
    follower = Follower(tmp_path)
    assert [step for step, _ in new(follower)] == [1, 2, 3]
    second = TensorBoardTracker(tmp_path, purge_step=3)
    emit(second, 3, 4)
    second.close()
    assert [step for step, _ in new(follower)] == [3, 4]


def test_a_record_that_a_resumed_run_rewrote_is_read_from_its_start(tmp_path: Path) -> None:
    first = JsonLinesTracker(tmp_path)
    emit(first, 1, 2, 3)
    first.close()
    follower = Follower(tmp_path)
    assert [step for step, _ in new(follower)] == [1, 2, 3]
    second = JsonLinesTracker(tmp_path, purge_step=3)
    emit(second, 3, 4, 5)
    second.close()
    assert [step for step, _ in new(follower)] == [1, 2, 3, 4, 5]


def test_a_wandb_run_is_followed_by_reading_it_again(tmp_path: Path) -> None:
    tracker = WandbTracker(tmp_path, project="p", name="a", config={})
    emit(tracker, 1)
    tracker.flush()
    follower = Follower(tmp_path)
    assert new(follower) == [(1, 1.0)]
    emit(tracker, 2)
    tracker.close()
    assert new(follower) == [(2, 2.0)]


def test_a_place_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotARunError):
        Follower(tmp_path)
