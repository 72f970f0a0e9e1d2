"""Every training is a session of its own: the right model, the right step, a run of its own."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from read_back import read_jsonl, tensorboard_values
from tiny_families import K, higgs, higgs_collate
from torch import nn
from trainings import ROWS, callbacks_for, runs_in, trainer
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback

from tracker_logging import JsonLinesTracker, LoggingSession, OutputLoggerCallback
from tracker_logging.families.higgs_v2.adapter import HiggsV2Adapter

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
MEDIA = {"attention/mass_map", "outputs/accuracy_map"}


def first_nll(model: nn.Module, rows: list[dict[str, torch.Tensor]]) -> float:
    """Mean cross-entropy of the labelled codes, from the model's logits; codebooks weigh the same here."""
    batch = higgs_collate(rows)
    labels = batch["audio_labels"]
    with torch.no_grad():
        loss = model.eval()(**batch).loss
    model.train()
    return float(loss) / labels.shape[-1]


@pytest.mark.setting("Trainer", "a second `train()`", "shown, in a run of its own")
def test_a_second_training_of_one_trainer_is_a_run_of_its_own_with_everything_in_it(tmp_path: Path) -> None:
    watched = trainer(tmp_path, callbacks=callbacks_for())
    watched.train()
    watched.train()
    first, second = runs_in(tmp_path).values()
    assert first.doubles == second.doubles == []
    assert first.tags == second.tags >= MEDIA
    assert {step for _, step in second.scalars} == {1, 2}


@pytest.mark.setting("Trainer", "the same callbacks in another Trainer", "shown, in a run of its own")
def test_the_same_callbacks_in_a_second_trainer_measure_its_model(tmp_path: Path) -> None:
    callbacks = callbacks_for()
    nll = {}
    for name, scale in (("small", 1.0), ("large", 40.0)):
        model = higgs(text_head=False)
        with torch.no_grad():
            model.audio_lm_head.weight.mul_(scale)
        nll[name] = first_nll(model, ROWS[:2])
        trainer(tmp_path / name, callbacks=callbacks, model=model, max_steps=1, learning_rate=0.0).train()
    assert nll["large"] > 1.5 * nll["small"]  # else measuring the wrong model would pass
    for name in ("small", "large"):
        (run,) = runs_in(tmp_path / name).values()
        assert run.scalars["train/loss", 1] == pytest.approx(run.scalars["outputs/nll/mean", 1] * K, rel=0.05), name


@pytest.mark.setting("Trainer", "`model_init` (a new model per training)", "shown, in a run of its own")
def test_every_trial_of_model_init_measures_its_own_model(tmp_path: Path) -> None:
    made: list[nn.Module] = []

    def make() -> nn.Module:
        model = higgs(text_head=False)
        with torch.no_grad():
            model.audio_lm_head.weight.mul_(40.0 if len(made) == 2 else 1.0)  # the first one is made by `Trainer()`
        made.append(model)
        return model

    watched = trainer(tmp_path, callbacks=callbacks_for(), model_init=make, learning_rate=0.0, max_steps=1)
    watched.train()
    watched.train()
    values = [run.scalars["outputs/nll/mean", 1] for run in runs_in(tmp_path).values()]
    losses = [run.scalars["train/loss", 1] for run in runs_in(tmp_path).values()]
    assert len(values) == 2 and values[1] / values[0] == pytest.approx(losses[1] / losses[0], rel=0.1)
    assert values[1] > 1.5 * values[0]


@pytest.mark.setting("Trainer", "`hyperparameter_search` (optuna)", "shown, each trial in a run of its own")
def test_every_trial_of_a_search_is_a_run_with_its_own_numbers(tmp_path: Path) -> None:
    rates = [1e-4, 3e-2]
    watched = trainer(
        tmp_path, callbacks=callbacks_for(), model_init=lambda: higgs(text_head=False), max_steps=3,
        eval_strategy="steps", eval_steps=3,
    )  # fmt: skip
    best = watched.hyperparameter_search(
        backend="optuna", n_trials=2, direction="minimize",
        hp_space=lambda trial: {"learning_rate": rates[trial.number]},
        compute_objective=lambda metrics: metrics["eval_loss"],
    )  # fmt: skip
    slow, fast = runs_in(tmp_path).values()
    assert slow.doubles == fast.doubles == []
    for run, rate in ((slow, rates[0]), (fast, rates[1])):
        assert run.scalars["train/learning_rate", 1] == pytest.approx(rate)
        assert run.scalars["train/loss", 3] == pytest.approx(run.scalars["outputs/nll/mean", 3] * K, rel=0.05)
        assert run.scalars["eval/loss", 3] == pytest.approx(run.scalars["eval_outputs/nll/mean", 3] * K, rel=0.05)
    assert fast.scalars["eval/loss", 3] < 0.98 * slow.scalars["eval/loss", 3]
    assert best.objective == pytest.approx(min(run.scalars["eval/loss", 3] for run in (slow, fast)))


@pytest.mark.setting("Trainer", "`auto_find_batch_size`", "shown, each retry in a run of its own")
def test_a_retry_with_a_smaller_batch_is_a_run_of_its_own(tmp_path: Path) -> None:
    class RunsOutOfMemory(Trainer):
        def training_step(self, model: nn.Module, inputs: dict, *args: Any, **kwargs: Any) -> torch.Tensor:
            if len(inputs["input_ids"]) > 3 and self.state.global_step == 1:
                raise RuntimeError("CUDA out of memory.")
            return super().training_step(model, inputs, *args, **kwargs)

    trainer(
        tmp_path, callbacks=callbacks_for(), kind=RunsOutOfMemory, auto_find_batch_size=True,
        per_device_train_batch_size=4, max_steps=3,
    ).train()  # fmt: skip
    first, second = runs_in(tmp_path).values()
    assert first.doubles == second.doubles == []
    assert {step for tag, step in first.scalars if tag == "outputs/nll/mean"} == {1}
    assert {step for tag, step in second.scalars if tag == "outputs/nll/mean"} == {1, 2, 3}


@pytest.mark.setting("Trainer", "a subclass that calls `on_step_end` inside `training_step`", "shown")
def test_a_trainer_that_reports_the_end_of_a_step_itself_is_logged_once_per_step(tmp_path: Path) -> None:
    class EndsStepsEarly(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            loss = super().training_step(*args, **kwargs)
            self.control = self.callback_handler.on_step_end(self.args, self.state, self.control)
            return loss

    plain, early = tmp_path / "plain", tmp_path / "early"
    trainer(plain, callbacks=callbacks_for(every=2), max_steps=4).train()
    trainer(early, callbacks=callbacks_for(every=2), max_steps=4, kind=EndsStepsEarly).train()
    (expected,), (run,) = runs_in(plain).values(), runs_in(early).values()
    for tag in ("outputs/nll/mean", "gradients/norm/audio_ffn", "gradients/update_ratio/audio_ffn"):
        steps = {step: value for (name, step), value in expected.scalars.items() if name == tag}
        assert steps.keys() == {1, 2, 4}, tag
        assert {step: value for (name, step), value in run.scalars.items() if name == tag} == steps, tag


@pytest.mark.setting("Trainer", "a fresh start in an old `output_dir`", "shown, in `run-2`")
def test_a_fresh_start_never_writes_into_an_old_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=2).train()
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=1).train()
    runs = runs_in(tmp_path)
    assert list(runs) == ["run", "run-2"]
    assert [run.doubles for run in runs.values()] == [[], []]
    assert {step for _, step in runs["run-2"].scalars} == {1}
    assert "run holds an earlier training. This one is logged to run-2" in caplog.text


def loss_steps(run: Path) -> list[int]:
    return [step for step, value in tensorboard_values(run) if value.tag == "train/loss"]


@pytest.mark.setting("Trainer", "`TENSORBOARD_LOGGING_DIR` and the Trainer's own reporter", "shown, each number once")
def test_every_training_has_its_loss_once_beside_the_trainers_own_reporter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "~/tb")
    options = {"report_to": ["tensorboard"], "model_init": lambda: higgs(text_head=False)}
    watched = trainer(tmp_path / "out", callbacks=callbacks_for(report_to="tensorboard"), **options)
    watched.train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tb"]
    assert loss_steps(tmp_path / "tb") == [1, 2]
    watched.train()  # the reporter writes to the same directory again
    assert set(loss_steps(tmp_path / "tb-2")) == {1, 2}


def test_a_trial_has_its_loss_where_the_trainers_own_reporter_writes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    watched = trainer(
        tmp_path / "out", callbacks=callbacks_for(report_to="tensorboard"), report_to=["tensorboard"],
        model_init=lambda: higgs(text_head=False), eval_strategy="steps", eval_steps=2,
    )  # fmt: skip
    watched.hyperparameter_search(
        backend="optuna", n_trials=1, hp_space=lambda trial: {"seed": 3}, hp_name=lambda trial: f"trial-{trial.number}",
        compute_objective=lambda metrics: metrics["eval_loss"],
    )  # fmt: skip
    assert set(loss_steps(tmp_path / "tb")) == {1, 2}


@pytest.mark.setting("Evaluation", "`evaluate()` before and after training, `predict()`", "shown")
@pytest.mark.parametrize(
    "options", [{}, {"torch_compile": True, "torch_compile_backend": "eager"}], ids=["eager", "compiled"]
)
def test_an_evaluation_before_and_after_training_is_in_the_same_run(tmp_path: Path, options: dict[str, Any]) -> None:
    watched = trainer(tmp_path, callbacks=callbacks_for(), max_steps=2, **options)
    losses = {0: watched.evaluate()["eval_loss"]}
    watched.train()
    losses[2] = watched.evaluate()["eval_loss"]
    watched.predict(ROWS[4:6])
    (run,) = runs_in(tmp_path).values()
    for step, loss in losses.items():
        assert run.scalars["eval/loss", step] == pytest.approx(loss)
        assert run.scalars["eval_outputs/nll/mean", step] * K == pytest.approx(loss, rel=0.2)
    assert ("eval_outputs/test/nll/mean", 2) in run.scalars


@pytest.mark.parametrize("evaluations", [0, 1, 2])
def test_evaluations_before_training_cost_no_number_of_the_loop(tmp_path: Path, evaluations: int) -> None:
    watched = trainer(tmp_path, callbacks=callbacks_for(), max_steps=3)
    for _ in range(evaluations):
        watched.evaluate()
    watched.train()
    (run,) = runs_in(tmp_path).values()
    assert {step for tag, step in run.scalars if tag == "train/loss"} == {1, 2, 3}
    assert all(step == 0 for _, step in run.doubles)  # two evaluations have one step


@pytest.mark.parametrize("kept", [1, 0])
@pytest.mark.parametrize("comes_first", [True, False])
def test_a_log_history_that_a_callback_trims_costs_no_number(tmp_path: Path, kept: int, comes_first: bool) -> None:
    class Trim(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            state.log_history = state.log_history[-1:] if kept else []

    ours = callbacks_for()
    callbacks = [Trim(), *ours] if comes_first else [*ours, Trim()]
    trainer(tmp_path, callbacks=callbacks, max_steps=3, eval_strategy="steps", eval_steps=1).train()
    (run,) = runs_in(tmp_path).values()
    for tag in ("train/loss", "eval/loss", "eval_outputs/nll/mean"):
        assert {step for name, step in run.scalars if name == tag} == {1, 2, 3}, tag
    assert run.doubles == [] and run.scalars["tracker/missing", 3] == 0


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"eval_strategy": "steps", "eval_steps": 2, "max_steps": 4}, {2, 4}),
        ({"eval_strategy": "epoch", "max_steps": 12}, {6, 12}),
        ({"eval_strategy": "steps", "eval_steps": 2, "max_steps": 2, "eval_on_start": True}, {0, 2}),
    ],
    ids=["steps", "epoch", "start"],
)
@pytest.mark.setting("Evaluation", "`eval_strategy` steps, epoch; `eval_on_start`", "shown")
def test_wherever_the_trainer_evaluates_the_predictions_are_shown(
    tmp_path: Path, options: dict[str, Any], steps: set[int]
) -> None:
    trainer(tmp_path, callbacks=callbacks_for(every=100), **options).train()
    (run,) = runs_in(tmp_path).values()
    for tag in ("eval/loss", "eval_outputs/nll/mean", "eval_outputs/accuracy/mean"):
        assert {step for name, step in run.scalars if name == tag} == steps, tag


def test_a_run_time_of_a_subclass_is_not_taken_for_an_evaluation(tmp_path: Path) -> None:
    class Timed(Trainer):
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            super().log(logs | {"data_runtime": 0.01} if "loss" in logs else logs, *args, **kwargs)

    trainer(tmp_path, callbacks=callbacks_for(), kind=Timed, max_steps=3, eval_strategy="steps", eval_steps=2).train()
    (run,) = runs_in(tmp_path).values()
    assert {step for tag, step in run.scalars if tag == "train/data_runtime"} == {1, 2, 3}
    evaluated = {step for tag, step in run.scalars if tag == "eval/loss"}
    assert {step for tag, step in run.scalars if tag == "eval_outputs/nll/mean"} == evaluated >= {2}
    assert run.scalars["tracker/missing", 3] == 0


@pytest.mark.setting("Evaluation", "a `prediction_step` that also generates", "shown")
@pytest.mark.parametrize("batch_size", [1, 2])
def test_an_evaluation_that_also_generates_shows_its_predictions(
    tmp_path: Path, batch_size: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Generates(Trainer):
        def prediction_step(self, model: nn.Module, inputs: dict[str, torch.Tensor], *rest: Any, **kwargs: Any) -> Any:
            prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            with torch.no_grad():
                model.generate(**prompt, max_new_tokens=3, do_sample=False)
            return super().prediction_step(model, inputs, *rest, **kwargs)

    shown = {}
    for kind in (Trainer, Generates):
        watched = trainer(
            tmp_path / kind.__name__, callbacks=callbacks_for(), kind=kind, max_steps=1, eval_strategy="steps",
            eval_steps=1, per_device_eval_batch_size=batch_size,
        )  # fmt: skip
        watched.evaluate()
        watched.train()
        (run,) = runs_in(tmp_path / kind.__name__).values()
        shown[kind] = {key: value for key, value in run.scalars.items() if key[0].startswith("eval_outputs/")}
        assert {step for _, step in shown[kind]} == {0, 1}
        assert run.scalars["tracker/errors", 1] == 0
    assert shown[Generates] == pytest.approx(shown[Trainer], nan_ok=True)
    assert not any(each in caplog.text for each in ("without labels", "failed", "not shown"))


def test_an_evaluation_that_cannot_be_viewed_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no such layout")

    monkeypatch.setattr(HiggsV2Adapter, "view", fail)
    watched = trainer(tmp_path, callbacks=callbacks_for(), max_steps=1, eval_strategy="steps", eval_steps=1)
    watched.evaluate()
    assert "An evaluation outside training is not shown (ValueError: no such layout)" in caplog.text
    watched.train()
    assert "Logging of 'evaluation' failed (ValueError: no such layout)" in caplog.text


@pytest.mark.setting("Evaluation", "a dictionary of evaluation sets", "shown, each under its name")
def test_each_set_of_a_dictionary_is_shown_under_its_own_name(tmp_path: Path) -> None:
    watched = trainer(tmp_path, callbacks=callbacks_for(), eval_strategy="steps", eval_steps=2)
    watched.eval_dataset = {"seen": ROWS[:2], "unseen": ROWS[6:10]}
    watched.train()
    (run,) = runs_in(tmp_path).values()
    values = [run.scalars[f"eval_outputs/{name}/nll/mean", 2] for name in ("seen", "unseen")]
    losses = [run.scalars[f"eval/{name}_loss", 2] for name in ("seen", "unseen")]
    assert values[0] != values[1]
    assert values == pytest.approx([loss / K for loss in losses], rel=0.2)


def test_evaluations_that_took_equally_long_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Trainer rounds run times to 0.1 ms: two small sets often share one."""

    def speeds(prefix: str, *_: Any, **__: Any) -> dict[str, float]:
        return {f"{prefix}_runtime": 0.0239, f"{prefix}_samples_per_second": 83.682}

    monkeypatch.setattr("transformers.trainer.speed_metrics", speeds)
    watched = trainer(tmp_path, callbacks=callbacks_for(), eval_strategy="steps", eval_steps=1, max_steps=2)
    watched.eval_dataset = {"seen": ROWS[:2], "unseen": ROWS[6:10]}
    watched.train()
    for name in ("one", "two"):
        watched.predict(ROWS[:2], metric_key_prefix=name)
    (run,) = runs_in(tmp_path).values()
    shown = {(tag, step) for tag, step in run.scalars if tag.startswith("eval_outputs/") and tag.endswith("/nll/mean")}
    expected = {(f"eval_outputs/{name}/nll/mean", step) for name in ("seen", "unseen") for step in (1, 2)}
    assert shown == expected | {(f"eval_outputs/{name}/nll/mean", 2) for name in ("one", "two")}


@pytest.mark.setting(
    "Evaluation", "early stopping with `load_best_model_at_end`", "shown under the step of the weights"
)
def test_the_last_voices_have_the_step_of_their_weights(tmp_path: Path) -> None:
    """Early stopping loads the best weights before the training ends."""
    from tracker_logging.integrations.hf_trainer import LoggingSession, StrategicCallback
    from tracker_logging.session.observer import Observer, StepContext
    from tracker_logging.trackers.memory import MemoryTracker

    seen: list[tuple[int, float]] = []

    class Weights(Observer):
        name = "weights"

        def after_step(self, context: StepContext) -> tuple[()]:
            if context.voices_due:
                seen.append((context.step, float(context.model.audio_lm_head.weight.sum())))
            return ()

    class WeightsCallback(StrategicCallback):
        def make_observer(self) -> Observer:
            return Weights()

    sums: dict[int, float] = {}

    class Remember(EarlyStoppingCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            sums[state.global_step] = float(model.audio_lm_head.weight.sum())

    session = LoggingSession(tracker=MemoryTracker(), every=100)
    training = trainer(
        tmp_path, callbacks=[WeightsCallback(session), Remember(1)], max_steps=8, learning_rate=5.0,
        eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=1, load_best_model_at_end=True,
        metric_for_best_model="loss",
    )  # fmt: skip
    base = float(training.model.audio_lm_head.weight.sum())
    training.train()
    assert len(seen) == 3 and seen[0][0] == 0 and seen[1][0] > seen[2][0]
    sums[0] = base
    assert dict(seen) == pytest.approx({step: sums[step] for step, _ in seen})


@pytest.mark.parametrize("is_strict", [False, True])
def test_strict_logging_raises_what_an_adapter_does_in_a_hook(tmp_path: Path, is_strict: bool, monkeypatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no such layer")

    monkeypatch.setattr("tracker_logging.probes.capture.summarise", fail)
    watched = trainer(tmp_path, callbacks=callbacks_for(strict=is_strict))
    if is_strict:
        with pytest.raises(ValueError, match="no such layer"):
            watched.train()
    else:
        watched.train()
        assert watched.state.global_step == 2


@pytest.mark.setting("Trainer", "a wrapper of one's own around the model", "shown")
def test_a_model_in_a_wrapper_of_a_script_is_shown_in_full(tmp_path: Path) -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.llm = higgs(text_head=False)
            self.config = self.llm.config

        def forward(self, **batch: Any) -> Any:
            return self.llm(**batch)

    trainer(tmp_path / "plain", callbacks=callbacks_for(), eval_strategy="steps", eval_steps=2).train()
    trainer(
        tmp_path / "wrapped", callbacks=callbacks_for(), model=Wrapper(), eval_strategy="steps", eval_steps=2
    ).train()
    (plain,), (wrapped,) = runs_in(tmp_path / "plain").values(), runs_in(tmp_path / "wrapped").values()
    assert set(wrapped.scalars) == set(plain.scalars)
    assert wrapped.scalars["outputs/nll/mean", 1] == pytest.approx(plain.scalars["outputs/nll/mean", 1])
    assert wrapped.scalars["tracker/errors", 2] == 0


def test_the_custom_callback_of_the_changelog_logs_its_number(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?) *```", CHANGELOG.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(textwrap.dedent(example), str(CHANGELOG), "exec"), names)
    session = LoggingSession(tracker=JsonLinesTracker(tmp_path / "runs/a"), every=1)
    trainer(tmp_path, callbacks=[OutputLoggerCallback(session), names["LossCallback"](session)]).train()
    run = read_jsonl(tmp_path / "runs/a")
    assert run.scalars["mine/nll", 2] == pytest.approx(run.scalars["outputs/nll/mean", 2])
