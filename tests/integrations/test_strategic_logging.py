"""A script of the original project works after one changed import: one session, one run, the same arguments."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from loops import ROWS
from read_back import Run, read_tensorboard
from tiny_families import higgs, higgs_collate
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments

from tracker_logging import strategic_callbacks, tags
from tracker_logging.strategic_logging import (
    InputLoggerCallback,
    OutputLoggerCallback,
    SharedAttentionLoggerCallback,
    ZeroShotVerificationLoggerCallback,
)


def tokenizer(prefix: str = "w") -> PreTrainedTokenizerFast:
    words = {f"{prefix}{token}": token for token in range(64)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, unk_token=f"{prefix}0")))


def trainer(output: Path, *, callbacks: list | None = None, kind: type[Trainer] = Trainer, **more: Any) -> Trainer:
    processing_class = more.pop("processing_class", None)
    settings = {
        "output_dir": str(output), "max_steps": 4, "per_device_train_batch_size": 2, "learning_rate": 1e-3,
        "remove_unused_columns": False, "save_strategy": "no", "use_cpu": True, "logging_steps": 1,
        "label_names": ["audio_labels"], "prediction_loss_only": True, "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip
    return kind(
        model=higgs(text_head=False), args=TrainingArguments(**(settings | more)), train_dataset=ROWS,
        eval_dataset=ROWS[:4], data_collator=higgs_collate, callbacks=callbacks, processing_class=processing_class,
    )  # fmt: skip


def four(*, every: int = 2, words: Any = None) -> list:
    return [
        InputLoggerCallback(tokenizer=words, log_every_n_steps=every),
        OutputLoggerCallback(tokenizer=words, log_every_n_steps=every),
        SharedAttentionLoggerCallback(log_every_n_steps=every),
        ZeroShotVerificationLoggerCallback(log_every_n_steps=every),
    ]


def the_run(output: Path) -> Run:
    (directory,) = (output / "runs").iterdir()
    return read_tensorboard(directory)


def steps_of(run: Run, tag: str) -> list[int]:
    return sorted(step for name, step in run.scalars if name == tag)


def test_the_signatures_are_those_of_the_original() -> None:
    signatures = {type(each).__name__: list(inspect.signature(type(each)).parameters) for each in four()}
    assert signatures == {
        "InputLoggerCallback": ["tokenizer", "log_every_n_steps"],
        "OutputLoggerCallback": ["tokenizer", "log_every_n_steps"],
        "SharedAttentionLoggerCallback": ["log_every_n_steps"],
        "ZeroShotVerificationLoggerCallback": ["log_every_n_steps"],
    }
    defaults = {inspect.signature(type(each)).parameters["log_every_n_steps"].default for each in four()}
    assert defaults == {100}


@pytest.mark.parametrize("given", ["list", "added", "both"])
@pytest.mark.setting("Loops", "the original project's callbacks", "shown, in one run")
def test_the_four_calls_join_one_session_and_log_what_strategic_callbacks_logs(tmp_path: Path, given: str) -> None:
    callbacks = four(words=tokenizer())
    first = {"list": 4, "added": 0, "both": 2}[given]
    joined = trainer(tmp_path / "joined", callbacks=callbacks[:first])
    for callback in callbacks[first:]:
        joined.add_callback(callback)
    joined.train()
    trainer(tmp_path / "own", callbacks=strategic_callbacks(processor=tokenizer(), every=2)).train()
    run, expected = the_run(tmp_path / "joined"), the_run(tmp_path / "own")
    assert run.doubles == []
    # The Trainer's PrinterCallback takes this one out of the logs before an added callback is called.
    assert run.tags | {"train/total_flos"} == expected.tags
    assert len({id(callback.session) for callback in callbacks}) == 1
    measured = ("outputs/", "gradients/", "attention/", "train/loss", "doctor/")
    values = {key: value for key, value in run.scalars.items() if key[0].startswith(measured)}
    assert len(values) > 100
    assert values == pytest.approx(
        {key: value for key, value in expected.scalars.items() if key[0].startswith(measured)}, nan_ok=True
    )


def test_the_smallest_number_of_steps_counts_and_a_difference_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = trainer(tmp_path, callbacks=[OutputLoggerCallback(log_every_n_steps=50)])
    watched.add_callback(InputLoggerCallback(log_every_n_steps=3))
    watched.train()
    run = the_run(tmp_path)
    assert steps_of(run, "outputs/nll/mean") == steps_of(run, tags.SEQUENCE_LENGTH(which="mean")) == [1, 3]
    assert caplog.text.count("log_every_n_steps differs (3, 50)") == 1


def test_the_processing_class_decodes_where_no_tokenizer_is_given(tmp_path: Path) -> None:
    trainer(tmp_path / "theirs", callbacks=four(), processing_class=tokenizer("theirs")).train()
    trainer(tmp_path / "given", callbacks=four(words=tokenizer("given")), processing_class=tokenizer("theirs")).train()
    for name, word in (("theirs", "theirs1"), ("given", "given1")):
        assert word in the_run(tmp_path / name).texts["inputs/samples", 1], name


def test_two_trainings_and_two_trainers_have_runs_of_their_own(tmp_path: Path) -> None:
    first, second = trainer(tmp_path / "a", callbacks=four()), trainer(tmp_path / "b", callbacks=four())
    first.train()
    second.train()
    first.train()
    assert [path.name for path in sorted((tmp_path / "a/runs").iterdir())] == ["run", "run-2"]
    runs = [*(tmp_path / "a/runs").iterdir(), *(tmp_path / "b/runs").iterdir()]
    for run in map(read_tensorboard, runs):
        assert run.doubles == []
        assert steps_of(run, "outputs/nll/mean") == [1, 2, 4]


def test_an_evaluation_before_the_first_step_is_in_the_run(tmp_path: Path) -> None:
    watched = trainer(tmp_path, callbacks=four()[:2], eval_strategy="steps", eval_steps=4, eval_on_start=True)
    watched.add_callback(four()[2])
    watched.train()
    run = the_run(tmp_path)
    assert steps_of(run, "eval_outputs/nll/mean") == steps_of(run, "eval/loss") == [0, 4]
    assert steps_of(run, "gradients/norm/audio_ffn") == [1, 2, 4]


def test_a_trainer_that_passes_inputs_and_outputs_to_on_step_end_works(tmp_path: Path) -> None:
    class Original(Trainer):
        """As the Trainer of the original project: it reports the end of a step with the batch and the outputs."""

        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            loss = super().training_step(model, inputs, *args, **kwargs)
            self.callback_handler.call_event(
                "on_step_end", self.args, self.state, self.control, inputs=inputs, outputs=None
            )
            return loss

    trainer(tmp_path, callbacks=four(), kind=Original).train()
    run = the_run(tmp_path)
    assert run.doubles == []
    assert steps_of(run, "outputs/nll/mean") == steps_of(run, "gradients/norm/audio_ffn") == [1, 2, 4]


def test_a_resumed_training_continues_its_run(tmp_path: Path) -> None:
    trainer(tmp_path, callbacks=four(every=1), max_steps=2, save_strategy="steps", save_steps=1).train()
    trainer(tmp_path, callbacks=four(every=1), max_steps=3).train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    run = the_run(tmp_path)
    assert run.doubles == []
    assert steps_of(run, "outputs/nll/mean") == [1, 2, 3]


def test_a_number_of_steps_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="log_every_n_steps is 0"):
        InputLoggerCallback(log_every_n_steps=0)
