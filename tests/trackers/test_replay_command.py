"""`tracker-logging replay`: a record becomes a run of another backend, with the same values."""

from pathlib import Path

import pytest
from read_back import read_jsonl, read_tensorboard, same_scalars
from tracker_examples import one_of_each

from tracker_logging.cli import main
from tracker_logging.trackers.open import RunInfo, open_tracker


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    tracker = open_tracker(["jsonl"], directory=run, run=RunInfo(name="run", config={"rate": 0.1}))
    for step in (1, 2):
        for event in one_of_each(step):
            tracker.emit(event)
    tracker.close()
    return run


def test_a_record_is_replayed_beside_the_run(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recorded), "--to", "tensorboard"]) == 0
    assert "run-replayed" in capsys.readouterr().out
    again = read_tensorboard(recorded.with_name("run-replayed"))
    record = read_jsonl(recorded)
    for run in (again, record):
        run.scalars = {key: value for key, value in run.scalars.items() if not key[0].startswith("tracker/")}
    assert same_scalars(again, record)
    assert again.pictures == record.pictures


def test_a_run_that_cannot_be_replayed_is_refused_with_the_reason(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recorded.parent), "--to", "tensorboard"]) == 2
    assert "no record" in capsys.readouterr().err
    assert main(["replay", str(recorded), "--to", "tensorboard", "--output", str(recorded)]) == 2
    assert "not empty" in capsys.readouterr().err
