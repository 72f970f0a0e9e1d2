"""A training that resumes continues the run of its checkpoint, and no other one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from trainings import callbacks_for, runs_in, trainer


def train_with_checkpoints(output: Path, *, max_steps: int, **options: Any) -> None:
    settings = {"save_strategy": "steps", "save_steps": 1} | options
    trainer(output, callbacks=callbacks_for(), max_steps=max_steps, **settings).train()


@pytest.mark.setting("Trainer", "`resume_from_checkpoint`", "shown, in the run of the checkpoint")
def test_a_resumed_training_continues_the_run_of_its_checkpoint(tmp_path: Path) -> None:
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=1).train()
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=2, save_strategy="steps", save_steps=1).train()
    resumed = trainer(tmp_path, callbacks=callbacks_for(), max_steps=3)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    runs = runs_in(tmp_path)
    assert list(runs) == ["run", "run-2"]
    assert runs["run-2"].doubles == []
    assert {step for tag, step in runs["run-2"].scalars if tag == "outputs/nll/mean"} == {1, 2, 3}


@pytest.mark.setting("Trainer", "`resume_from_checkpoint` of another `output_dir`", "shown, in a run of its own")
def test_a_checkpoint_of_another_output_directory_leaves_the_runs_there_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train_with_checkpoints(first, max_steps=3)
    train_with_checkpoints(second, max_steps=4, seed=7)
    before = runs_in(first) | {"other": runs_in(second)["run"]}
    train_with_checkpoints(second, max_steps=4)
    caplog.clear()
    resumed = trainer(second, callbacks=callbacks_for(), max_steps=4)
    resumed.train(resume_from_checkpoint=str(first / "checkpoint-2"))
    runs = runs_in(second)
    assert list(runs) == ["run", "run-2", "run-3"]
    assert {step for tag, step in runs["run-3"].scalars if tag == "train/loss"} == {3, 4}
    assert runs["run"].scalars == before["other"].scalars
    assert runs_in(first)["run"].scalars == before["run"].scalars
    (warning,) = (each.getMessage() for each in caplog.records if "checkpoint" in each.getMessage())
    assert "steps after 2 are logged to run-3" in warning


def test_the_first_training_in_an_output_directory_can_resume_from_another_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train_with_checkpoints(first, max_steps=2)
    before = runs_in(first)["run"].scalars
    trainer(second, callbacks=callbacks_for(), max_steps=3).train(resume_from_checkpoint=str(first / "checkpoint-1"))
    assert runs_in(first)["run"].scalars == before
    (run,) = runs_in(second).values()
    assert {step for tag, step in run.scalars if tag == "train/loss"} == {2, 3}
    assert "steps after 1 are logged to run" in caplog.text


@pytest.mark.setting("Trainer", "a renamed checkpoint", "shown, in the run of the checkpoint")
def test_a_renamed_checkpoint_continues_its_run(tmp_path: Path) -> None:
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=4).train()
    train_with_checkpoints(tmp_path, max_steps=3)
    before = runs_in(tmp_path)["run"].scalars
    kept = (tmp_path / "checkpoint-2").rename(tmp_path / "kept")
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=4).train(resume_from_checkpoint=str(kept))
    runs = runs_in(tmp_path)
    assert list(runs) == ["run", "run-2"] and runs["run"].scalars == before
    assert runs["run-2"].doubles == []
    assert {step for tag, step in runs["run-2"].scalars if tag == "train/loss"} == {1, 2, 3, 4}


def test_a_run_that_was_removed_is_begun_again_under_its_name(tmp_path: Path) -> None:
    train_with_checkpoints(tmp_path, max_steps=2)
    shutil.rmtree(tmp_path / "runs")
    for last in (3, 4):  # the second one after a kill
        trainer(tmp_path, callbacks=callbacks_for(), max_steps=last).train(
            resume_from_checkpoint=str(tmp_path / "checkpoint-2")
        )
    (run,) = runs_in(tmp_path).values()
    assert {step for tag, step in run.scalars if tag == "train/loss"} == {3, 4} and run.doubles == []


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"step": "x", "run_ids": {}}', '{"step": 1, "run_ids": {}, "waiting": [1]}']
)
@pytest.mark.setting("Trainer", "a damaged `tracker_logging.json`", "shown, in a run of its own")
def test_a_damaged_state_in_a_checkpoint_does_not_refuse_the_training(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=1, save_strategy="steps", save_steps=1).train()
    (tmp_path / "checkpoint-1" / "tracker_logging.json").write_text(content)
    resumed = trainer(tmp_path, callbacks=callbacks_for(), max_steps=2)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    first, second = runs_in(tmp_path).values()
    assert [{step for tag, step in run.scalars if tag == "outputs/nll/mean"} for run in (first, second)] == [{1}, {2}]
    assert "checkpoint-1/tracker_logging.json cannot be read" in caplog.text
    assert "steps after 1 are logged to run-2" in caplog.text


@pytest.mark.setting("Evaluation", "`evaluate()` before a training that resumes", "shown, in a run of its own")
def test_an_evaluation_before_a_resumed_training_does_not_move_it_to_another_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_with_checkpoints(tmp_path, max_steps=3)
    callbacks = callbacks_for()
    resumed = trainer(tmp_path, callbacks=callbacks, max_steps=4)
    loss = resumed.evaluate()["eval_loss"]
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    runs = runs_in(tmp_path)
    assert list(runs) == ["run", "run-2"]
    assert {step for tag, step in runs["run"].scalars if tag == "train/loss"} == {1, 2, 3, 4}
    assert 0 not in {step for _, step in runs["run"].scalars} and runs["run"].doubles == []
    assert {step for _, step in runs["run-2"].scalars} == {0}
    assert runs["run-2"].scalars["eval/loss", 0] == pytest.approx(loss)
    assert "Training resumes at step 2. The evaluation before it is in run-2, and the training in run." in caplog.text
    judged = callbacks[-1].observer.state()["rules"]["samples_without_labels"]
    assert judged["good"] == 4  # with the steps before the checkpoint


def test_the_last_word_and_the_summary_know_the_steps_before_the_checkpoint(tmp_path: Path) -> None:
    train_with_checkpoints(tmp_path, max_steps=3, eval_strategy="steps", eval_steps=1, eval_on_start=True)
    before = runs_in(tmp_path)["run"].scalars
    settings = {"save_strategy": "steps", "save_steps": 1, "max_steps": 5}
    trainer(tmp_path, callbacks=callbacks_for(report_to="jsonl,tensorboard"), **settings).train(
        resume_from_checkpoint=str(tmp_path / "checkpoint-2")
    )
    text = json.loads((tmp_path / "runs/run/summary.json").read_text())["text"]
    assert "base (step 0)" in text and "Use step 2:" in text and "It is checkpoint 2." in text
    lines = (tmp_path / "runs/run/record/events.jsonl").read_text().splitlines()
    (summary,) = (each for each in map(json.loads, lines) if each["kind"] == "Summary")
    loss = summary["values"]["eval/loss"]
    assert (loss["base"], loss["best"]) == (before["eval/loss", 0], before["eval/loss", 2])
    assert (loss["best_step"], loss["last_step"]) == (2, 2)
