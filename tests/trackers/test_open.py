"""Opening by name: refused before training with the fix, contained afterwards, continued after a crash."""

import logging
import shutil
import subprocess
import sys
import threading

import pytest
from read_back import read_jsonl, read_tensorboard, read_wandb
from tracker_examples import comparison, one_of_each

from tracker_logging.events import Scalars
from tracker_logging.trackers.null import NullTracker
from tracker_logging.trackers.open import RunInfo, check_backends, open_tracker
from tracker_logging.trackers.state import resumed, state_of

RUN = RunInfo(name="a")


def test_an_unknown_backend_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'tensorbord' is not a backend\. Choose from tensorboard, wandb, jsonl"):
        check_backends(["tensorboard", "tensorbord"])


def test_a_missing_package_is_refused_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "tracker_logging.trackers.wandb", raising=False)
    monkeypatch.delitem(sys.modules, "tracker_logging.trackers.wandb_settings", raising=False)
    with pytest.raises(ValueError, match="pip install wandb"):
        check_backends(["wandb"])


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="--logging_dir"):
        open_tracker(["tensorboard"], directory=tmp_path / "file" / "run", run=RUN)


def test_without_a_backend_there_is_no_file_and_no_thread(tmp_path):
    assert isinstance(open_tracker([], directory=tmp_path / "run", run=RUN), NullTracker)
    assert not (tmp_path / "run").exists()


def test_importing_the_package_imports_no_backend():
    code = "import tracker_logging.trackers.open, sys; print({'wandb', 'tensorboard', 'trackio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_directory_that_is_removed_during_training_gives_a_warning(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    before = set(threading.enumerate())
    directory = tmp_path / "run"
    tracker = open_tracker(["tensorboard", "jsonl"], directory=directory, run=RUN)
    tracker.emit(Scalars(step=1, values={"a": 1.0}))
    tracker.flush()
    shutil.rmtree(directory)
    directory.write_text("now a file")
    for step in range(2, 12):
        tracker.emit(comparison(step))
    tracker.flush()
    tracker.close()
    assert tracker.errors >= 2
    assert "Logging of 'tensorboard' failed" in caplog.text
    assert "are missing" in caplog.text
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("tracker-")]


@pytest.mark.parametrize("crash_after", [5, 7])
def test_a_run_that_crashed_continues_in_every_backend_without_holes_or_duplicates(tmp_path, monkeypatch, crash_after):
    monkeypatch.setenv("WANDB_MODE", "offline")
    backends = ("tensorboard", "wandb", "jsonl")
    first = open_tracker(backends, directory=tmp_path, run=RUN)
    for step in range(1, crash_after + 1):
        for event in one_of_each(step):
            first.emit(event)
        if step == 5:
            first.flush()
            state = state_of(first, step=step)
    first.close()
    run = resumed(RUN, state)
    assert (run.purge_step, run.run_id) == (6, state["run_ids"]["WandbTracker"])
    again = open_tracker(backends, directory=tmp_path, run=run)
    for step in range(6, 10):
        for event in one_of_each(step):
            again.emit(event)
    again.close()
    assert (first.errors, again.errors) == (0, 0)
    for read in (read_tensorboard, read_wandb, read_jsonl):
        back = read(tmp_path)
        doubles = {key for key in back.doubles if not key[0].startswith("tracker/")}
        assert doubles == set(), read.__name__
        for values, tag in (
            (back.scalars, "outputs/nll/mean"),
            (back.sounds, "voices/rms_03/generated"),
            (back.pictures, "attention/mass_map"),
            (back.texts, "inputs/samples"),
        ):
            assert sorted(step for name, step in values if name == tag) == list(range(1, 10)), (read.__name__, tag)
