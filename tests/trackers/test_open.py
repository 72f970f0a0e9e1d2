"""Opening by name: refused before training with the fix, contained afterwards, continued after a crash."""

import logging
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from read_back import read_jsonl, read_tensorboard, read_wandb
from tracker_examples import comparison, finding, one_of_each

from tracker_logging import tags
from tracker_logging.events import Findings, Scalars, Text
from tracker_logging.runs import open_run
from tracker_logging.trackers.null import NullTracker
from tracker_logging.trackers.open import RunInfo, check_backends, open_tracker
from tracker_logging.trackers.state import resumed, state_of

RUN = RunInfo(name="a")
REPORTS = ("findings.json", "findings.md", "summary.json", "summary.md")


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


def last_word(step: int) -> Text:
    return Text(step=step, tag=tags.LAST_WORD(), text=f"take checkpoint-{step}")


def test_a_resumed_run_has_no_file_of_the_training_that_was_given_up(tmp_path):
    first = open_tracker(["tensorboard"], directory=tmp_path, run=RUN)
    first.emit(Findings(step=100, findings=(finding("kept", since=50),)))
    for step in (0, 100, 200, 300):
        first.emit(replace(comparison(step), embeddings={"generated": np.ones(4, np.float32)}))
    first.emit(Findings(step=300, findings=(finding("kept", since=50), finding("given_up", since=200))))
    first.emit(last_word(300))
    first.close()
    resuming = replace(RUN, purge_step=101, again=frozenset({"voices/100"}))
    again = open_tracker(["tensorboard"], directory=tmp_path, run=resuming)
    again.emit(Scalars(step=101, values={"a": 1.0}))
    again.flush()
    voices = tmp_path / "voices" / "rms_03"
    kept = {f"step-{step:08d}.{suffix}" for step in (0, 100) for suffix in ("json", "flac")}
    assert {path.name for path in voices.glob("step-*")} == kept  # 100 is kept until its scores come
    assert (voices / "voice.json").exists()
    assert {path.name[:13] for path in (tmp_path / "projector").iterdir()} == {"step-00000000", "step-00000100"}
    assert "step 100" in (config := (tmp_path / "projector_config.pbtxt").read_text()) and "step 200" not in config
    assert not [name for name in REPORTS if (tmp_path / name).exists()]
    run = open_run(tmp_path)
    assert [found.name for found in run.findings] == ["kept"]  # of the table at step 100
    again.emit(comparison(250))
    again.close()
    assert (first.errors, again.errors) == (0, 0)
    assert list(open_run(tmp_path).voices["rms_03"].steps) == [0, 100, 250]


def test_a_run_resumed_at_its_end_keeps_its_files(tmp_path):
    for purge_step in (None, 301):
        tracker = open_tracker(["jsonl"], directory=tmp_path, run=replace(RUN, purge_step=purge_step))
        if purge_step is None:
            for event in (comparison(300), Findings(step=300, findings=(finding(),)), last_word(300)):
                tracker.emit(event)
        else:
            tracker.emit(Scalars(step=301, values={"a": 1.0}))
        tracker.close()
    assert all((tmp_path / name).exists() for name in REPORTS)
    assert list(open_run(tmp_path).voices["rms_03"].steps) == [300]
