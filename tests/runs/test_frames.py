"""Runs as pandas frames: the same numbers as `open_run` gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tracker_examples import comparison

from tracker_logging.events import Scalars
from tracker_logging.runs import list_runs, open_run
from tracker_logging.runs.frames import runs_frame, scalar_frame, voice_frame
from tracker_logging.trackers.jsonl import JsonLinesTracker

pandas = pytest.importorskip("pandas")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tracker = JsonLinesTracker(tmp_path / "a")
    tracker.emit(Scalars(step=2, values={"train/loss": 2.0}))
    tracker.emit(Scalars(step=1, values={"train/loss": 4.0, "voices/sim_o/mean": 0.5}))
    tracker.emit(comparison(1))
    tracker.emit(replace(comparison(2), scores={}, error="timed out"))
    tracker.close()
    return tmp_path


def test_scalars_are_one_row_per_step_and_one_column_per_tag(place: Path) -> None:
    frame = scalar_frame(open_run(place / "a"))
    expected = pandas.DataFrame(
        {"train/loss": [4.0, 2.0], "voices/sim_o/mean": [0.5, float("nan")]}, index=pandas.Index([1, 2], name="step")
    )
    pandas.testing.assert_frame_equal(frame, expected)
    assert list(scalar_frame(open_run(place / "a"), "voices/*").columns) == ["voices/sim_o/mean"]
    assert scalar_frame(open_run(place / "a"), "nothing").empty


def test_voices_are_one_row_per_run_voice_and_step(place: Path) -> None:
    frame = voice_frame([open_run(place / "a")])
    assert frame[["run", "voice", "step", "speaker"]].to_numpy().tolist() == [
        ["a", "rms_03", 1, "rms"],
        ["a", "rms_03", 2, "rms"],
    ]
    assert frame["sim_o"].tolist()[0] == 0.51 and frame["sim_o"].isna().tolist() == [False, True]
    assert frame["error"].tolist()[1] == "timed out"


def test_runs_are_listed_with_a_time_stamp_in_utc(place: Path) -> None:
    frame = runs_frame(list_runs(place))
    assert frame["name"].tolist() == ["a"] and frame["sources"].tolist() == ["JSON lines"]
    assert str(frame["updated"].dt.tz) == "UTC"
