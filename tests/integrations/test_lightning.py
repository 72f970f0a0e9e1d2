"""The Lightning callback on a small LightningModule: the numbers of a hand-written loop, and nothing changed."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from loops import ROWS, fingerprint, hook_count, model_and_optimizer, options, train_by_hand
from read_back import Run, read_jsonl
from tiny_families import K, higgs, higgs_collate, llama, words
from torch import nn
from torch.utils.data import DataLoader

from tracker_logging.integrations.lightning import LightningCallback


class Module(lightning.LightningModule):
    """Holds the model under a name of its own, beside a module that is none of a known family."""

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.speaker, _ = model_and_optimizer(dropout=dropout)  # seeds torch
        self.projection = nn.Linear(2, 2)

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        loss = self.speaker(**batch).loss
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], index: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", self.speaker(**batch).loss, batch_size=2)

    def test_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        self.log("test_loss", self.speaker(**batch).loss, batch_size=2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.speaker.parameters(), lr=1e-3)


def loader(rows: Sequence[Any] = ROWS) -> DataLoader:
    return DataLoader(list(rows), batch_size=2, collate_fn=higgs_collate)


def trainer(directory: Path, *, callbacks: Sequence[Any] = (), **settings: Any) -> lightning.Trainer:
    quiet = {
        "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(each, ModelCheckpoint) for each in callbacks),
        "default_root_dir": str(directory), "log_every_n_steps": 1, "max_steps": 4,
    }  # fmt: skip
    return lightning.Trainer(callbacks=list(callbacks), **(quiet | settings))


def run_of(directory: Path, name: str = "run") -> Run:
    return read_jsonl(directory / "runs" / name)


def steps_of(run: Run, tag: str) -> list[int]:
    return sorted(step for name, step in run.scalars if name == tag)


def values_of(run: Run, prefixes: tuple[str, ...]) -> dict[tuple[str, int], float]:
    return {key: value for key, value in run.scalars.items() if key[0].startswith(prefixes)}


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.setting("Loops", "Lightning, `accumulate_grad_batches`", "shown")
def test_lightning_gives_the_tags_and_numbers_of_a_hand_written_loop(tmp_path: Path, accumulation: int) -> None:
    watched = trainer(
        tmp_path / "lightning", callbacks=[LightningCallback(**options())], max_steps=3,
        accumulate_grad_batches=accumulation,
    )  # fmt: skip
    watched.fit(Module(), loader())
    train_by_hand(tmp_path / "loop", steps=3, accumulation=accumulation)
    run, expected = run_of(tmp_path / "lightning"), read_jsonl(tmp_path / "loop/run")
    measured = ("outputs/", "attention/", "dualffn/", "gradients/", "inputs/")
    assert len(values_of(run, measured)) > 200
    assert values_of(run, measured) == pytest.approx(values_of(expected, measured), rel=1e-3, abs=1e-6, nan_ok=True)
    of_the_loop = ("train/", "tracker/")
    assert {tag for tag in run.tags if not tag.startswith(of_the_loop)} == {
        tag for tag in expected.tags if not tag.startswith(of_the_loop)
    }
    if accumulation == 1:
        losses = values_of(expected, ("train/loss",))
        assert values_of(run, ("train/loss",)) == pytest.approx(losses)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"accumulate_grad_batches": 3},
        {"val_check_interval": 2},
        {"gradient_clip_val": 0.5},
        {"precision": "bf16-mixed"},
    ],
    ids=["plain", "accumulation", "validation", "clipping", "bf16"],
)
def test_training_is_bit_identical_with_and_without(tmp_path: Path, settings: dict[str, Any]) -> None:
    ends = []
    for callbacks in ([], [LightningCallback(**options())]):
        random.seed(1), np.random.seed(1)
        module = Module(dropout=0.1)
        torch.manual_seed(1)
        fitted = trainer(tmp_path, callbacks=callbacks, **settings)
        fitted.fit(module, loader(), loader(ROWS[:4]) if "val_check_interval" in settings else None)
        ends.append(fingerprint(module, fitted.optimizers[0]))
        assert hook_count(module, fitted.optimizers[0]) == 0
    assert ends[0] == ends[1]
    run = run_of(tmp_path)
    assert steps_of(run, "outputs/nll/mean") == steps_of(run, "gradients/norm/audio_ffn") == [1, 2, 3, 4]
    assert set(values_of(run, ("tracker/errors",)).values()) == {0.0}


def test_validation_is_logged_per_set_and_the_sanity_check_is_not(tmp_path: Path) -> None:
    callback = LightningCallback(**options(every=100))
    fitted = trainer(tmp_path, callbacks=[callback], val_check_interval=2, num_sanity_val_steps=2)
    fitted.fit(Module(), loader(), loader(ROWS[:4]))
    run = run_of(tmp_path)
    for tag in ("eval_outputs/nll/mean", "eval/loss"):
        assert steps_of(run, tag) == [2, 4], tag
        assert run.doubles == []
    for step in (2, 4):
        assert run.scalars["eval_outputs/nll/mean", step] * K == pytest.approx(run.scalars["eval/loss", step], rel=0.05)
    assert steps_of(run, "train/loss") == [1, 2, 3, 4]
    fitted.test(fitted.lightning_module, loader(ROWS[6:10]), verbose=False)
    assert steps_of(run_of(tmp_path), "eval_outputs/test/nll/mean") == [4]


class LogsEpochs(Module):
    """Logs the mean loss of each epoch, and the epoch's number once it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.means: dict[int, torch.Tensor] = {}

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        loss = self.speaker(**batch).loss
        self.log("train_mean", loss, on_step=False, on_epoch=True, batch_size=2)
        self.log("train_loss", loss, on_step=True, on_epoch=True, batch_size=2)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("train_epoch", float(self.current_epoch))
        self.means[self.global_step] = self.trainer.callback_metrics["train_mean"]


@pytest.mark.parametrize("log_every_n_steps", [1, 3, 50])
@pytest.mark.parametrize("with_validation", [False, True])
def test_numbers_of_an_epoch_are_written_at_its_last_step(
    tmp_path: Path, log_every_n_steps: int, with_validation: bool
) -> None:
    fitted = trainer(
        tmp_path,
        callbacks=[
            LightningCallback(**options(every=100)),
            ModelCheckpoint(tmp_path / "saved", monitor="val_loss" if with_validation else "train_mean"),
        ],
        max_steps=-1, max_epochs=3, log_every_n_steps=log_every_n_steps,
    )  # fmt: skip
    module = LogsEpochs()
    fitted.fit(module, loader(ROWS[:8]), loader(ROWS[:4]) if with_validation else None)
    run = run_of(tmp_path)
    assert run.doubles == []
    assert {step: run.scalars["train/epoch", step] for step in steps_of(run, "train/epoch")} == {4: 0, 8: 1, 12: 2}
    assert len(module.means) == 3
    expected = {step: pytest.approx(float(mean)) for step, mean in module.means.items()}
    for tag in ("train/mean", "train/loss_epoch"):
        assert {step: run.scalars[tag, step] for step in steps_of(run, tag)} == expected, tag
    assert steps_of(run, "eval/loss") == ([4, 8, 12] if with_validation else [])
    steps = steps_of(run, "train/loss")
    assert 1 in steps
    for step in steps:  # means of epochs do not stand among the losses of steps
        assert run.scalars["train/loss", step] == run.scalars["train/loss_step", step]


def test_several_validation_sets_have_names_of_their_own(tmp_path: Path) -> None:
    fitted = trainer(tmp_path, callbacks=[LightningCallback(**options())], val_check_interval=2, max_steps=2)
    module = Module()
    fitted.fit(module, loader(), [loader(ROWS[:4]), loader(ROWS[6:10])])
    run = run_of(tmp_path)
    losses = [fitted.callback_metrics[f"val_loss/dataloader_idx_{at}"] for at in (0, 1)]
    values = [run.scalars[f"eval_outputs/eval_{at}/nll/mean", 2] for at in (0, 1)]
    assert values[0] != values[1]
    assert values == pytest.approx([float(loss) / K for loss in losses], rel=0.05)


class TwoOptimizers(Module):
    """Each has half of the parameters. With `alternating` the second one steps in every second batch only."""

    def __init__(self, *, alternating: bool = False) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.alternating = alternating

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        first, second = self.optimizers()
        loss = self.speaker(**batch).loss
        self.manual_backward(loss)
        for optimizer in (first,) if self.alternating and index % 2 == 0 else (first, second):
            optimizer.step()
            optimizer.zero_grad()
        self.log("train_loss", loss)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        parameters = list(self.speaker.parameters())
        halves = parameters[::2], parameters[1::2]
        return [torch.optim.AdamW(half, lr=1e-3) for half in halves]


@pytest.mark.setting("Loops", "Lightning, several optimizers", "shown")
@pytest.mark.parametrize("every, measured", [(1, [2, 4, 6, 8, 10, 12]), (4, [2, 4, 8, 12]), (5, [2, 6, 10])])
def test_with_two_optimizers_each_due_step_is_measured_in_the_batch_that_reaches_it(
    tmp_path: Path, every: int, measured: list[int]
) -> None:
    fitted = trainer(tmp_path, callbacks=[LightningCallback(**options(every=every))], max_steps=12)
    fitted.fit(TwoOptimizers(), loader())
    assert fitted.global_step == 12
    run = run_of(tmp_path)
    for tag in ("outputs/nll/mean", "gradients/norm/attention_q", "chatml/placeholder_mismatch"):
        assert steps_of(run, tag) == measured, tag
    assert steps_of(run, "train/loss") == [2, 4, 6, 8, 10, 12]
    assert set(values_of(run, ("tracker/errors", "tracker/missing")).values()) == {0.0}


def test_a_resumed_training_with_two_optimizers_has_no_hole(tmp_path: Path) -> None:
    fitted = trainer(tmp_path, callbacks=[LightningCallback(**options(every=2))], max_steps=4)
    fitted.fit(TwoOptimizers(), loader())
    fitted.save_checkpoint(tmp_path / "saved.ckpt")
    resumed = trainer(tmp_path, callbacks=[LightningCallback(**options(every=2))], max_steps=8)
    resumed.fit(TwoOptimizers(), loader(), ckpt_path=str(tmp_path / "saved.ckpt"))
    assert steps_of(run_of(tmp_path), "outputs/nll/mean") == [2, 4, 6, 8]


def test_no_due_step_is_left_out_where_an_optimizer_steps_in_some_batches_only(tmp_path: Path) -> None:
    fitted = trainer(tmp_path, callbacks=[LightningCallback(**options(every=4))], max_steps=18)
    fitted.fit(TwoOptimizers(alternating=True), loader())
    run = run_of(tmp_path)
    assert run.doubles == []
    assert steps_of(run, "outputs/nll/mean") == [2, 5, 8, 12, 17]
    assert steps_of(run, "outputs/nll/mean") == steps_of(run, "chatml/placeholder_mismatch")


def test_a_checkpoint_resumes_the_run_without_holes_and_doubles(tmp_path: Path) -> None:
    def fit(steps: int, **more: Any) -> None:
        checkpoints = ModelCheckpoint(tmp_path / "saved", every_n_train_steps=2, save_top_k=-1, filename="{step}")
        fitted = trainer(tmp_path, callbacks=[checkpoints, LightningCallback(**options())], max_steps=steps)
        fitted.fit(Module(), loader(), **more)

    fit(1)  # another run, which must not be continued
    fit(3)
    fit(5, ckpt_path=str(tmp_path / "saved/step=2.ckpt"))
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["run", "run-2"]
    run = run_of(tmp_path, "run-2")
    assert run.doubles == []
    assert steps_of(run, "outputs/nll/mean") == steps_of(run, "train/loss") == [1, 2, 3, 4, 5]
    train_by_hand(tmp_path / "whole", steps=2)  # after that Lightning begins the data anew
    expected = values_of(read_jsonl(tmp_path / "whole/run"), ("outputs/nll",))
    assert {key: run.scalars[key] for key in expected} == pytest.approx(expected, rel=1e-3)


def test_an_evaluation_before_a_resumed_fit_does_not_take_its_steps(tmp_path: Path) -> None:
    fitted = trainer(tmp_path, callbacks=[LightningCallback(**options())], max_steps=2)
    fitted.fit(Module(), loader())
    fitted.save_checkpoint(tmp_path / "saved.ckpt")
    resumed, module = trainer(tmp_path, callbacks=[LightningCallback(**options())], max_steps=4), Module()
    resumed.validate(module, loader(ROWS[:4]), verbose=False)
    resumed.fit(module, loader(), ckpt_path=str(tmp_path / "saved.ckpt"))
    run, evaluation = run_of(tmp_path), run_of(tmp_path, "run-2")
    assert run.doubles == []
    assert steps_of(run, "outputs/nll/mean") == steps_of(run, "train/loss") == [1, 2, 3, 4]
    assert steps_of(evaluation, "eval/loss") == steps_of(evaluation, "eval_outputs/nll/mean") == [0]
    assert steps_of(evaluation, "outputs/nll/mean") == steps_of(evaluation, "train/loss") == []


def test_an_evaluation_before_a_new_fit_is_in_its_run(tmp_path: Path) -> None:
    fitted, module = trainer(tmp_path, callbacks=[LightningCallback(**options())], max_steps=2), Module()
    fitted.validate(module, loader(ROWS[:4]), verbose=False)
    fitted.fit(module, loader())
    run = run_of(tmp_path)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
    assert (steps_of(run, "eval/loss"), steps_of(run, "train/loss")) == ([0], [1, 2])


def test_a_second_fit_continues_and_another_trainer_begins_a_run(tmp_path: Path) -> None:
    callback, module = LightningCallback(**options()), Module()
    fitted = trainer(tmp_path, callbacks=[callback], max_steps=2)
    fitted.fit(module, loader())
    fitted.fit_loop.epoch_loop.max_steps = 4
    fitted.fit(module, loader())
    louder = Module()
    with torch.no_grad():
        louder.speaker.audio_lm_head.weight.mul_(40.0)
    trainer(tmp_path, callbacks=[callback], max_steps=1).fit(louder, loader())
    first, second = run_of(tmp_path), run_of(tmp_path, "run-2")
    assert first.doubles == second.doubles == []
    assert steps_of(first, "outputs/nll/mean") == [1, 2, 3, 4]
    assert second.scalars["outputs/nll/mean", 1] > 1.5 * first.scalars["outputs/nll/mean", 1]


@pytest.mark.setting("Loops", "Lightning `fast_dev_run`", "measured, nothing is written")
def test_fast_dev_run_measures_and_writes_nothing(tmp_path: Path) -> None:
    callback = LightningCallback(**options())
    module = Module()
    trainer(tmp_path, callbacks=[callback], fast_dev_run=True).fit(module, loader(), loader(ROWS[:4]))
    assert callback.errors == 0
    assert callback.directory is None or not callback.directory.exists()
    assert list(tmp_path.rglob("*")) == []


def test_the_model_is_found_or_named(tmp_path: Path) -> None:
    class Two(Module):
        def __init__(self) -> None:
            super().__init__()
            self.teacher = higgs(text_head=False).requires_grad_(False)

    trainer(tmp_path / "frozen", callbacks=[LightningCallback(**options())], max_steps=1).fit(Two(), loader())
    assert steps_of(run_of(tmp_path / "frozen"), "outputs/nll/mean") == [1]
    module = Two()
    module.teacher.requires_grad_(True)
    with pytest.raises(ValueError, match="speaker, teacher"):
        trainer(tmp_path / "two", callbacks=[LightningCallback(**options())]).fit(module, loader())
    named = [LightningCallback(model=module.speaker, **options())]
    trainer(tmp_path / "named", callbacks=named, max_steps=1).fit(module, loader())
    assert steps_of(run_of(tmp_path / "named"), "outputs/nll/mean") == [1]
    none = lightning.LightningModule()
    with pytest.raises(ValueError, match="holds no model"):
        LightningCallback()._observed(none)


def test_an_exception_of_the_training_passes_and_closes_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Raises(Module):
        def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
            loss = super().training_step(batch, index)
            if index == 2:
                raise KeyError("mine")
            return loss

    module = Raises()
    with pytest.raises(KeyError, match="mine"):
        trainer(tmp_path, callbacks=[LightningCallback(**options())]).fit(module, loader())
    assert sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in module.modules()) == 0
    assert steps_of(run_of(tmp_path), "outputs/nll/mean") == [1, 2]
    assert "Training ended before its last step" in caplog.text


def test_a_text_model_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Text(Module):
        def __init__(self) -> None:
            super().__init__()
            self.speaker = llama().train()

    ids = torch.tensor([words(9, 1), words(9, 2)])
    rows = [{"input_ids": ids, "labels": ids}]
    watched = trainer(tmp_path, callbacks=[LightningCallback(**options())], max_steps=1)
    watched.fit(Text(), DataLoader(rows, batch_size=None))
    named = [each for each in caplog.messages if "has no adapter of its own and is logged as a text model" in each]
    assert len(named) == 1
    assert ("outputs/nll/text", 1) in run_of(tmp_path).scalars
