"""One truth: the same run through every backend holds the same values for the same tags and steps."""

import os
import re
import threading

import pytest
from read_back import Run, read_jsonl, read_tensorboard, read_wandb, same_scalars
from tracker_examples import one_of_each

from tracker_logging.events import Scalars
from tracker_logging.trackers.open import RunInfo, open_tracker

BACKENDS = ("tensorboard", "wandb", "jsonl")
STEPS = (1, 2, 30)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run of every kind of event at three steps, through all backends at once."""
    os.environ["WANDB_MODE"] = "offline"
    directory = tmp_path_factory.mktemp("parity") / "run"
    run = RunInfo(name="parity", config={"rate": 1e-4, "nested": {"on": True}})
    before = set(threading.enumerate())
    tracker = open_tracker(BACKENDS, directory=directory, run=run)
    for step in STEPS:
        for event in one_of_each(step):
            tracker.emit(event)
    tracker.flush()
    tracker.close()
    assert tracker.errors == 0
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("tracker-")]
    return directory


@pytest.fixture(scope="module")
def runs(written) -> dict[str, Run]:
    read = {"tensorboard": read_tensorboard(written), "wandb": read_wandb(written), "jsonl": read_jsonl(written)}
    for run in read.values():  # the queues of the backends differ
        run.scalars = {key: value for key, value in run.scalars.items() if not key[0].startswith("tracker/")}
    return read


def test_no_backend_holds_anything_twice(runs):
    assert not {name: run.doubles for name, run in runs.items() if run.doubles}


def test_scalars_are_equal(runs):
    assert len(runs["jsonl"].scalars) == 2 * len(STEPS)
    assert same_scalars(runs["tensorboard"], runs["wandb"])
    assert same_scalars(runs["tensorboard"], runs["jsonl"])


def test_sounds_are_equal_sample_by_sample(runs):
    fixed = {(f"voices/rms_03/{name}", step) for name in ("reference", "target", "codec") for step in STEPS[1:]}
    every = runs["wandb"].sounds  # its panels show one step at a time, so that the fixed clips go with every step
    assert every == runs["jsonl"].sounds
    assert runs["tensorboard"].sounds == {key: value for key, value in every.items() if key not in fixed}
    assert len(every) == 6 * len(STEPS)


def test_pictures_are_equal_pixel_by_pixel(runs):
    assert runs["tensorboard"].pictures == runs["wandb"].pictures == runs["jsonl"].pictures
    tags = {"attention/mass_map", "outputs/accuracy_map", "voices/rms_03/mel"}
    assert set(runs["jsonl"].pictures) == {(tag, step) for tag in tags for step in STEPS}


def test_histograms_are_equal_and_count_everything(runs):
    assert runs["tensorboard"].histograms == runs["wandb"].histograms == runs["jsonl"].histograms
    counts, edges = runs["jsonl"].histograms["sizes", 2]
    assert sum(counts) == sum(range(600)) + 600 * 2
    assert (len(counts), len(edges), edges[0], edges[-1]) == (300, 301, 0.0, 600.0)


def test_texts_and_tables_are_equal_word_by_word(runs):
    tags = {"outputs/texts", "inputs/samples", "voices/rms_03/text", "alerts/loss_is_nan", "doctor/findings"}
    wanted = {(tag, step) for tag in tags for step in STEPS}
    for run in runs.values():
        assert set(run.texts) == wanted
    for key in wanted:
        texts = {name: re.sub(r"\s", "", run.texts[key]) for name, run in runs.items()}
        assert texts["tensorboard"] == texts["wandb"] == texts["jsonl"], key


def test_two_values_of_one_key_at_one_step_are_both_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = open_tracker(BACKENDS, directory=tmp_path / "run", run=RunInfo(name="a"))
    for value in (0.5, 0.25):
        tracker.emit(Scalars(step=3, values={"loss": value}, source="loop"))
    tracker.close()
    for read in (read_tensorboard, read_wandb, read_jsonl):
        assert read(tmp_path / "run").doubles.count(("loss", 3)) == 1, read.__name__


def test_numbers_of_the_loop_are_left_out_only_where_the_loop_writes_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = RunInfo(name="a")
    tracker = open_tracker(BACKENDS, directory=tmp_path / "run", run=run, written_by_loop=["wandb"])
    tracker.emit(Scalars(step=3, values={"train/loss": 0.5}, source="loop"))
    tracker.emit(Scalars(step=3, values={"outputs/nll/mean": 0.25}))
    tracker.close()
    assert tracker.errors == 0
    assert read_wandb(tmp_path / "run").scalars.keys() >= {("outputs/nll/mean", 3)}
    assert ("train/loss", 3) not in read_wandb(tmp_path / "run").scalars
    for read in (read_tensorboard, read_jsonl):
        assert read(tmp_path / "run").scalars.keys() >= {("outputs/nll/mean", 3), ("train/loss", 3)}


def test_nothing_points_out_of_the_run(written, tmp_path):
    moved = tmp_path / "moved"
    written.rename(moved)
    try:
        assert len(read_wandb(moved).sounds) == len(read_jsonl(moved).sounds) == 6 * len(STEPS)
        for path in moved.rglob("*"):
            # W&B's own logs stay on this machine. Its record names staged files; `tracker-logging sync` corrects it.
            if path.is_file() and path.suffix not in (".log", ".wandb"):
                assert str(written.parent).encode() not in path.read_bytes(), path
    finally:
        moved.rename(written)
