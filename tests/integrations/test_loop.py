"""`watch` on hand-written and accelerate loops: the Trainer's tags and numbers, and nothing changed in the training."""

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from loops import (
    ROWS,
    batches,
    evaluated,
    hook_count,
    model_and_optimizer,
    options,
    train_by_hand,
)  # fmt: skip
from read_back import Run, read_jsonl
from tiny_families import K, higgs, higgs_collate
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler
from transformers import Trainer, TrainingArguments

from tracker_logging import strategic_callbacks, watch

ROOT = Path(__file__).parents[2]


def steps_of(run: Run, tag: str) -> list[int]:
    return sorted(step for name, step in run.scalars if name == tag)


def values_of(run: Run, prefixes: tuple[str, ...]) -> dict[tuple[str, int], float]:
    return {key: value for key, value in run.scalars.items() if key[0].startswith(prefixes)}


class InOrder(Trainer):
    def _get_train_sampler(self, *args: Any) -> SequentialSampler:
        return SequentialSampler(ROWS)


@pytest.fixture
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("level", [None, logging.INFO, logging.WARNING])
def test_a_loop_says_where_to_look_unless_its_owner_wants_warnings_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    level: int | None,
) -> None:
    """As the Trainer does and Lightning: most loops do not configure logging, and would never see an INFO message."""
    monkeypatch.setattr(logging.root, "handlers", [] if level is None else [logging.StreamHandler()])
    caplog.set_level(level or logging.WARNING, "tracker_logging")
    train_by_hand(tmp_path, steps=1, report_to="tensorboard")
    beginning, last_word, _ = capsys.readouterr().err.partition("Base, best and last:")
    assert last_word, "always shown, with the address"
    assert beginning.count(f"open {tmp_path / 'run'}") == (0 if level == logging.WARNING else 1), beginning


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.setting("Loops", "a hand-written loop", "shown, the tags of the Trainer")
def test_a_loop_gives_the_tags_and_numbers_of_the_trainer(tmp_path: Path, accumulation: int) -> None:
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "trainer"), max_steps=3, per_device_train_batch_size=2, learning_rate=1e-3,
        gradient_accumulation_steps=accumulation, remove_unused_columns=False, save_strategy="no", use_cpu=True,
        logging_steps=1, label_names=["audio_labels"], report_to="none", disable_tqdm=True, max_grad_norm=0.0,
        lr_scheduler_type="constant", average_tokens_across_devices=False, weight_decay=0.01, eval_strategy="steps",
        eval_steps=3, per_device_eval_batch_size=2, prediction_loss_only=True,
    )  # fmt: skip
    InOrder(
        model=higgs(text_head=False), args=arguments, train_dataset=ROWS, eval_dataset=ROWS[:4],
        data_collator=higgs_collate, callbacks=strategic_callbacks(**options()),
    ).train()  # fmt: skip
    train_by_hand(tmp_path / "loop", steps=3, accumulation=accumulation, evaluate_every=3)
    expected, run = read_jsonl(tmp_path / "trainer/runs/run"), read_jsonl(tmp_path / "loop/run")
    of_the_loop = ("train/", "tracker/", "eval/")
    assert {tag for tag in run.tags if not tag.startswith(of_the_loop)} == {
        tag for tag in expected.tags if not tag.startswith(of_the_loop)
    }
    measured = ("outputs/", "attention/", "dualffn/", "gradients/", "inputs/", "chatml/", "eval_outputs/", "train/loss")
    values, of_trainer = values_of(run, measured), values_of(expected, measured)
    assert len(values) > 200
    for step in (1, 2, 3):  # the Trainer's weight decay leaves out the norms, torch's AdamW does not
        of_norms = "gradients/shrink/norms", step
        assert values.pop(of_norms) == pytest.approx(of_trainer.pop(of_norms), abs=1.1e-3 * 0.01)
    assert values == pytest.approx(of_trainer, rel=1e-3, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    "settings",
    [{}, {"accumulation": 3}, {"evaluate_every": 2}, {"every": 2}],
    ids=["plain", "accumulation", "evaluation", "every second step"],
)
def test_training_is_bit_identical_with_and_without(tmp_path: Path, settings: dict[str, Any]) -> None:
    plain = train_by_hand(None, dropout=0.1, **{name: value for name, value in settings.items() if name != "every"})
    watched = train_by_hand(tmp_path, dropout=0.1, log_grad_conflict=True, **settings)
    assert watched == plain
    run = read_jsonl(tmp_path / "run")
    assert steps_of(run, "outputs/nll/mean") == ([1, 2, 4] if "every" in settings else [1, 2, 3, 4])
    assert set(values_of(run, ("tracker/errors",)).values()) == {0.0}


def test_between_logged_steps_nothing_is_attached(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    counts = {}
    with watch(model, optimizer, logging_dir=tmp_path, **options(every=3)) as session:
        for batch in batches()[:5]:
            with session.step() as step:
                counts[step] = hook_count(model, optimizer)
                model(**batch).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            assert hook_count(model, optimizer) == 0
    assert counts[1] > 0 and counts[3] > 0
    assert counts[2] == counts[4] == counts[5] == 0


def test_each_evaluation_set_has_its_own_numbers(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    with watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
        losses = {
            "eval_outputs/nll/mean": evaluated(model, session),
            "eval_outputs/unseen/nll/mean": evaluated(model, session, name="unseen", rows=ROWS[6:10]),
        }
        with session.step():
            model(**batches()[0]).loss.backward()
            optimizer.step()
    run = read_jsonl(tmp_path / "run")
    for tag, loss in losses.items():
        assert run.scalars[tag, 0] * K == pytest.approx(loss, rel=0.05), tag
    assert steps_of(run, "outputs/nll/mean") == [1]


def test_an_evaluation_that_nothing_was_seen_of_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, optimizer = model_and_optimizer()
    with watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
        for _ in range(2):
            with session.evaluation():
                model(**batches()[0])  # still in training mode
    assert caplog.text.count("Call model.eval()") == 1


def test_micro_batches_may_be_turns_of_the_loop(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    with watch(model, optimizer, logging_dir=tmp_path / "turns", **options()) as session:
        for turn, batch in enumerate(batches()[:6]):
            updates = turn % 3 == 2
            with session.step(updates=updates) as step:
                loss = model(**batch).loss / 3
                loss.backward()
                if updates:
                    optimizer.step()
                    optimizer.zero_grad()
        assert step == session.global_step == 2
    train_by_hand(tmp_path / "blocks", steps=2, accumulation=3)
    run, expected = read_jsonl(tmp_path / "turns/run"), read_jsonl(tmp_path / "blocks/run")
    measured = ("outputs/", "gradients/")
    assert values_of(run, measured) == pytest.approx(values_of(expected, measured), nan_ok=True)


@pytest.mark.setting("Loops", "accelerate, accumulation, checkpoints", "shown")
def test_accelerate_loops_accumulate_checkpoint_and_resume(tmp_path: Path) -> None:
    def train(turns: list, *, resume: bool) -> tuple[nn.Module, Any]:
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
        model, optimizer, loader = accelerator.prepare(
            *model_and_optimizer(), DataLoader(ROWS, batch_size=2, collate_fn=higgs_collate)
        )
        with watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
            accelerator.register_for_checkpointing(session)
            if resume:
                accelerator.load_state(str(tmp_path / "checkpoint"))
            for turn, batch in enumerate(loader):
                if turn not in turns:
                    continue
                with session.step(), accelerator.accumulate(model):
                    loss = model(**batch).loss
                    accelerator.backward(loss)
                    optimizer.step()
                    optimizer.zero_grad()
                if accelerator.sync_gradients:
                    session.log({"loss": loss})
                if turn == 3:
                    accelerator.save_state(str(tmp_path / "checkpoint"))
            return model, session

    train(range(6), resume=False)  # steps 1 to 3; the third is computed again
    _, session = train(range(4, 8), resume=True)
    assert session.global_step == 4
    assert [path.name for path in tmp_path.iterdir() if (path / "run.json").exists()] == ["run"]
    run = read_jsonl(tmp_path / "run")
    assert run.doubles == []
    assert steps_of(run, "outputs/nll/mean") == steps_of(run, "gradients/norm/audio_ffn") == [1, 2, 3, 4]


def test_a_checkpoint_of_a_hand_written_loop_resumes_as_if_never_interrupted(tmp_path: Path) -> None:
    def train(first: int, last: int, directory: Path, checkpoint: dict | None = None) -> dict:
        model, optimizer = model_and_optimizer()
        with watch(model, optimizer, logging_dir=directory, **options()) as session:
            if checkpoint is not None:
                model.load_state_dict(checkpoint["model"])
                optimizer.load_state_dict(checkpoint["optimizer"])
                session.load_state_dict(json.loads(json.dumps(checkpoint["logging"])))
            for at in range(first, last):
                with session.step():
                    model(**batches()[at]).loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
                if at == 1:
                    saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                    saved = copy.deepcopy(saved) | {"logging": session.state_dict()}
        return saved if first <= 1 < last else {}

    whole = tmp_path / "whole"
    train(0, 5, whole)
    train(0, 1, tmp_path / "parts")  # another run, which must not be continued
    checkpoint = train(0, 3, tmp_path / "parts")
    train(2, 5, tmp_path / "parts", checkpoint)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["run", "run-2"]
    run, expected = read_jsonl(tmp_path / "parts/run-2"), read_jsonl(whole / "run")
    assert run.doubles == []
    measured = ("outputs/", "gradients/", "attention/")
    assert values_of(run, measured) == pytest.approx(values_of(expected, measured), nan_ok=True)


def test_a_state_that_names_no_run_leaves_other_runs_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for state, count in (({"step": 0}, 4), ({"step": 2}, 1)):
        model, optimizer = model_and_optimizer()
        with watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
            session.load_state_dict(state)
            for at in range(count):
                with session.step():
                    model(**batches()[at]).loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
    assert steps_of(read_jsonl(tmp_path / "run"), "outputs/nll/mean") == [1, 2, 3, 4]
    assert steps_of(read_jsonl(tmp_path / "run-2"), "outputs/nll/mean") == [3]
    assert "does not name its run, so the steps after 2 are logged to run-2" in caplog.text


def test_the_last_word_of_a_resumed_loop_knows_the_steps_before(tmp_path: Path) -> None:
    saved: dict = {}
    for losses in ({0: 3.0, 1: 1.0, 2: 2.0}, {3: 2.5}):
        model, optimizer = model_and_optimizer()
        with watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
            if saved:
                session.load_state_dict(saved)
            for step, loss in losses.items():
                session.global_step = step
                session.log({"eval_loss": loss})
            saved = json.loads(json.dumps(session.state_dict()))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert "Use step 1:" in (tmp_path / "run/summary.md").read_text()


def test_a_state_without_content_or_too_late_is_refused(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    with watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
        with pytest.raises(ValueError, match="Pass what state_dict"):
            session.load_state_dict({"stage": 3})
        session.log({"loss": 1.0})
        with pytest.raises(RuntimeError, match="before the first step"):
            session.load_state_dict({"step": 3})


def test_an_exception_of_the_loop_passes_and_closes_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, optimizer = model_and_optimizer()
    with pytest.raises(KeyError, match="mine"), watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
        with session.step():
            model(**batches()[0]).loss.backward()
            optimizer.step()
        with session.step():
            model(**batches()[1])
            raise KeyError("mine")
    assert hook_count(model, optimizer) == 0
    run = read_jsonl(tmp_path / "run")
    assert steps_of(run, "outputs/nll/mean") == [1]
    assert "Training ended before its last step" in caplog.text


def test_a_step_that_was_given_up_is_observed_when_it_is_done_again(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    with watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
        for attempt in range(3):
            try:
                with session.step():
                    model(**batches()[attempt]).loss.backward()
                    if attempt == 1:
                        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
                    optimizer.step()
            except torch.cuda.OutOfMemoryError:
                assert hook_count(model, optimizer) == 0
            optimizer.zero_grad()
        assert session.errors == 0
    run = read_jsonl(tmp_path / "run")
    assert steps_of(run, "gradients/norm/audio_ffn") == steps_of(run, "outputs/nll/mean") == [1, 2]


def test_an_observer_that_fails_does_not_stop_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tracker_logging.observers.outputs import OutputObserver

    def fails(*_: Any) -> Any:
        raise OSError("disk")

    plain = train_by_hand(None)
    monkeypatch.setattr(OutputObserver, "observe", fails)
    assert train_by_hand(tmp_path) == plain
    assert "Logging of 'outputs' failed (OSError: disk)" in caplog.text
    assert steps_of(read_jsonl(tmp_path / "run"), "gradients/norm/audio_ffn") == [1, 2, 3, 4]


@pytest.mark.setting("Precision and kernels", "fp16 with a `GradScaler`", "shown unscaled; a skipped step is reported")
def test_gradients_of_a_gradient_scaler_are_unscaled_and_a_skipped_step_shows_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    norms = {}
    for name in ("plain", "scaled"):
        model, optimizer = model_and_optimizer()
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, enabled=name == "scaled")
        with watch(model, optimizer, logging_dir=tmp_path / name, **options()) as session:
            for batch in batches()[:3]:
                with session.step() as step:
                    scaler.scale(model(**batch).loss).backward()
                    if step == 2:
                        model.audio_lm_head.weight.grad[0, 0] = float("inf") if name == "scaled" else 0.0
                    if name == "scaled" or step != 2:
                        scaler.step(optimizer)
                        scaler.update()
                    optimizer.zero_grad()
        norms[name] = values_of(read_jsonl(tmp_path / name / "run"), ("gradients/norm/",))
        assert {step for _, step in norms[name]} == {1, 3}
    assert norms["scaled"] == pytest.approx(norms["plain"], rel=1e-4)
    assert (
        caplog.text.count("Reason: gradients and updates of a step in which the optimizer did not step") == 2
    )  # once per run


def test_the_run_lies_in_the_working_directory_by_default(in_empty_directory: Path) -> None:
    model, optimizer = model_and_optimizer()
    for name in ("run", "run-2"):
        with watch(model, optimizer, every=5, report_to="jsonl") as session:
            session.log({"loss": torch.tensor(2.0), "lr/head": 1e-3, "val_loss": 3.0})
        run = read_jsonl(in_empty_directory / "runs" / name)
        assert values_of(run, ("train/", "lr/", "eval/")) == {
            ("train/loss", 0): 2.0,
            ("lr/head", 0): 1e-3,
            ("eval/loss", 0): 3.0,
        }


def test_a_value_that_is_no_number_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, optimizer = model_and_optimizer()
    with watch(model, optimizer, logging_dir=tmp_path, **options()) as session:
        for _ in range(2):
            session.log({"loss": 1.0, "note": "text"})
    assert caplog.text.count("'note' is no number (str)") == 1


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"evry": 3}, TypeError, "Did you mean every"),
        ({"report_to": "tensorbord"}, ValueError, "tensorbord"),
        ({"every": 0}, ValueError, "must be 1 or more"),
        ({"model": nn.Linear(2, 2)}, ValueError, "Linear"),
        ({"model": nn.DataParallel(nn.Linear(2, 2))}, ValueError, "DistributedDataParallel"),
        ({"optimizer": [1]}, TypeError, "optimizer is list"),
        ({"processor": object()}, TypeError, "object"),
    ],
)
@pytest.mark.setting("Loops", "a wrong option", "refused before the first step")
def test_what_cannot_work_is_refused_at_once(more: dict[str, Any], error: type[Exception], message: str) -> None:
    model, optimizer = model_and_optimizer()
    with pytest.raises(error, match=message):
        watch(**({"model": model, "optimizer": optimizer} | more))


def test_without_backends_and_after_the_end_the_loop_goes_on(
    in_empty_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train_by_hand(in_empty_directory, report_to="none")[1] == train_by_hand(None)[1]
    assert list(in_empty_directory.iterdir()) == []
    model, optimizer = model_and_optimizer()
    with watch(model, optimizer, **options(report_to="none")) as session:
        pass
    with session.step(), session.evaluation():
        session.log({"loss": 1.0})
    assert caplog.text.count("is not logged") == 1


def test_watch_lists_the_options_in_its_signature() -> None:
    import inspect

    names = inspect.signature(watch).parameters
    assert {"model", "optimizer", "report_to", "every", "doctor_fail_on"} <= names.keys() and "options" not in names


def test_the_doctor_tells_the_loop_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    model, optimizer = model_and_optimizer()
    steps = 0
    with watch(model, optimizer, logging_dir=tmp_path, **options(doctor_fail_on="error")) as session:
        for batch in batches():
            with session.step():
                model(**batch).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            with torch.no_grad():
                model.audio_lm_head.weight.fill_(float("nan"))
            steps += 1
            if session.stop_reason:
                break
    assert session.stop_reason is not None
    assert steps < 5
