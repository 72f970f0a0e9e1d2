"""Where runs are found: at any depth, under any name, and not inside a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tracker_examples import comparison

from tracker_logging.runs import list_runs, open_run
from tracker_logging.runs.voices import directories_with_voices
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.voice_folder import VoiceFolderTracker


@pytest.mark.parametrize("name", ["voices", "record", "wandb", "projector"])
def test_a_run_may_be_named_as_a_folder_inside_a_run(name: str, tmp_path: Path) -> None:
    TensorBoardTracker(tmp_path / "runs" / name).close()
    for run in (name, f"{name}/run-2"):
        VoiceFolderTracker(tmp_path / "runs" / run).emit(comparison(1))
    JsonLinesTracker(tmp_path / "runs" / name).close()
    assert [run.name for run in list_runs(tmp_path)] == [f"runs/{name}", f"runs/{name}/run-2"]
    assert list(directories_with_voices(tmp_path)) == [tmp_path / "runs" / name, tmp_path / "runs" / name / "run-2"]
    assert list(open_run(tmp_path / "runs" / name).voices) == ["rms_03"]


def test_what_wandb_and_a_run_keep_is_not_searched(tmp_path: Path) -> None:
    folder = tmp_path / "synced/wandb/run-20260101_000000-aaaa"  # without its log, as after an upload
    VoiceFolderTracker(tmp_path / "a").emit(comparison(1))
    TensorBoardTracker(tmp_path / "a").close()
    for inside in (folder / "files/media", tmp_path / "a/voices/other", tmp_path / "a/record/media"):
        VoiceFolderTracker(inside).emit(comparison(1))
    assert [run.name for run in list_runs(tmp_path)] == ["a"]
    assert list(directories_with_voices(tmp_path)) == [tmp_path / "a"]


@pytest.mark.parametrize("unreadable", ["a", "b"])
def test_a_voice_that_cannot_be_read_leaves_the_others(
    unreadable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for voice in ("a", "b"):
        VoiceFolderTracker(tmp_path).emit(comparison(1, voice_id=voice))
    scan = os.scandir

    def refused(place: str | Path) -> Any:
        if Path(place).name == unreadable:
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refused)  # tests may run as root, who may read everything
    assert list(directories_with_voices(tmp_path)) == [tmp_path]
    run = open_run(tmp_path)
    assert {*run.voices, unreadable} == {"a", "b"} and len(run.voices) == 1
    assert run.problems == (f"{tmp_path.name}/{unreadable} is left out: PermissionError",)


def test_updated_is_when_the_run_was_written_last(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path / "a")
    tracker.close()
    os.utime(tracker.path, (1_000_000, 1_000_000))
    assert list_runs(tmp_path)[0].updated == 1_000_000
