"""Nothing is missing silently: what was promised for a run and did not arrive is reported once, counted and listed."""

import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from integrations.trainings import callbacks_for, runs_in, trainer
from read_back import read_jsonl
from tiny_families import csm, csm_collate, csm_row, higgs, higgs_collate, higgs_row
from transformers import Trainer, TrainerCallback

from tracker_logging import tags, watch
from tracker_logging.events import Event, Scalars, Table
from tracker_logging.families import CodePattern, adapter_for
from tracker_logging.guard import ErrorGuard
from tracker_logging.observers import attention
from tracker_logging.observers.outputs import OutputObserver
from tracker_logging.session.cost import CostMeter
from tracker_logging.session.emitter import Emitter
from tracker_logging.session.ledger import Ledger, explain_layout, names_of, promise_step, promised, template_of
from tracker_logging.trackers.memory import MemoryTracker

OUTPUTS = [tag for tag in promised(owners={"outputs"}, facts={"audio is trained"}) if "nll" in tag.template]


def emitted(step: int, *names: str) -> Scalars:
    return Scalars(step=step, values=dict.fromkeys(names, 1.0))


def test_a_family_that_does_not_arrive_is_returned_once_with_its_reason() -> None:
    ledger = Ledger()
    for step in (1, 2):
        ledger.promise(step, [tags.NLL_MEAN, tags.ACCURACY_MEAN])
        ledger.arrived(emitted(step, "outputs/nll/mean"))
    ledger.explain("outputs", "it failed (ValueError: no codes)")
    (family,) = ledger.settle(before=2)
    assert (family.template, family.since, family.reason) == (
        "outputs/accuracy/mean", 1, "it failed (ValueError: no codes)",
    )  # fmt: skip
    assert ledger.settle() == ()
    assert ledger.missing == (family,)


def test_a_round_of_voices_may_arrive_later_than_other_families() -> None:
    ledger = Ledger()
    ledger.promise(10, [tags.VALID_CLIPS, tags.NLL_MEAN])
    assert [family.template for family in ledger.settle(before=20, rounds_before=0)] == ["outputs/nll/mean"]
    ledger.arrived(emitted(10, "voices/valid_clips"))
    assert ledger.settle() == ()


def test_what_the_worker_still_makes_is_not_missing_yet() -> None:
    ledger = Ledger()
    ledger.promise(1, [tags.INPUT_AUDIO, tags.NLL_MEAN])
    ledger.making(1, "inputs")
    assert [family.template for family in ledger.settle(before=2)] == ["outputs/nll/mean"]
    ledger.made(1, "inputs")
    assert [family.template for family in ledger.settle(before=3)] == ["inputs/audio"]


def test_at_the_end_nothing_is_waited_for() -> None:
    ledger = Ledger()
    ledger.promise(1, [tags.INPUT_AUDIO])
    ledger.making(1, "inputs")
    assert [family.template for family in ledger.settle()] == ["inputs/audio"]


def test_the_most_specific_reason_is_given() -> None:
    ledger = Ledger()
    ledger.promise(1, [tags.NLL_MEAN, tags.PADDING])
    ledger.explain("outputs/nll", "no labels")
    ledger.explain("outputs", "other")
    reasons = {family.template: family.reason for family in ledger.settle()}
    assert reasons["outputs/nll/mean"] == "no labels"
    assert "please report it" in reasons["inputs/padding_pct"]


def test_a_reason_of_a_step_holds_there_only() -> None:
    ledger = Ledger()
    ledger.promise(1, [tags.NLL_MEAN])
    ledger.promise(2, [tags.ACCURACY_MEAN])
    ledger.explain("outputs/", "it failed")
    ledger.explain("outputs/", "not finite", step=1)
    reasons = {family.template: family.reason for family in ledger.settle()}
    assert reasons == {"outputs/nll/mean": "not finite", "outputs/accuracy/mean": "it failed"}


def test_what_a_diverged_model_cannot_show_has_that_reason(tmp_path: Path) -> None:
    trainer(
        tmp_path, callbacks=callbacks_for(), learning_rate=1e10, max_steps=4, eval_strategy="steps", eval_steps=2
    ).train()
    (run,) = runs_in(tmp_path).values()
    rows = run.texts["tracker/missing_list", 4]
    assert "outputs/nll/mean" in rows and "eval_outputs/nll/mean" in rows and "NaN or infinite" in rows
    assert "unknown" not in rows and "it failed" not in rows


def test_a_healthy_training_misses_nothing_and_emits_nothing_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown: set[str] = set()
    emit = Emitter.emit

    def check(self: Emitter, event: Event) -> None:
        if not (isinstance(event, Scalars) and any(name.startswith(("train/", "eval/")) for name in event.values)):
            unknown.update(name for name in names_of(event) if template_of(name) is None)
        emit(self, event)

    monkeypatch.setattr(Emitter, "emit", check)
    callbacks = callbacks_for()
    trainer(tmp_path, callbacks=callbacks, max_steps=4, eval_strategy="steps", eval_steps=2).train()
    session = callbacks[0].session.current
    assert (session.emitter.ledger.missing, unknown, session.guard.errors) == ((), set(), 0)
    (run,) = runs_in(tmp_path).values()
    assert {value for (tag, _), value in run.scalars.items() if tag == "tracker/missing"} == {0.0}


def test_what_an_observer_leaves_out_is_logged_once_counted_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    observe = OutputObserver.observe

    def without_tables(self: OutputObserver, snapshot: Any) -> Iterable[Any]:
        return (event for event in observe(self, snapshot) if not isinstance(event, Table))

    monkeypatch.setattr(OutputObserver, "observe", without_tables)
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=3).train()
    (run,) = runs_in(tmp_path).values()
    assert run.scalars["tracker/missing", 3] == 1.0
    assert "outputs/predictions" in next(text for (tag, _), text in run.texts.items() if tag == "tracker/missing_list")
    reported = [record for record in caplog.records if "Missing since step 1: outputs/predictions" in record.message]
    assert len(reported) == 1


def test_a_slow_worker_makes_nothing_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_images = attention.attention_images

    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.2)
        return make_images(*arguments, **options)

    monkeypatch.setattr(attention, "attention_images", slowly)
    callbacks = callbacks_for()
    trainer(tmp_path, callbacks=callbacks, max_steps=3).train()
    assert callbacks[0].session.current.emitter.ledger.missing == ()


def test_an_event_that_the_worker_cannot_make_is_missing_for_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("no ink")

    monkeypatch.setattr(attention, "attention_images", fail)
    callbacks = callbacks_for()
    trainer(tmp_path, callbacks=callbacks, max_steps=2).train()
    reasons = {family.template: family.reason for family in callbacks[0].session.current.emitter.ledger.missing}
    assert set(reasons.values()) == {"it failed (ValueError: no ink)"} and tags.ATTENTION_HEATMAP.template in reasons


def test_an_observer_that_fails_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: OutputObserver, snapshot: Any) -> Iterable[Any]:
        raise ValueError("broken on purpose")

    monkeypatch.setattr(OutputObserver, "observe", fail)
    trainer(tmp_path, callbacks=callbacks_for(), max_steps=3).train()
    missing = [record.message for record in caplog.records if record.message.startswith("Missing since step 1")]
    assert len(missing) == 1
    assert "outputs/nll/mean" in missing[0]
    assert "it failed (ValueError: broken on purpose)" in missing[0]


def reasons_of(callbacks: list[Any]) -> dict[str, str]:
    """By family, why it is missing in the training of these callbacks."""
    return {family.template: family.reason for family in callbacks[0].session.current.emitter.ledger.missing}


@pytest.mark.setting(
    "Trainer", "a `training_step` that never calls `backward`", "named; predictions and attention shown"
)
def test_a_training_without_gradients_names_the_reason(tmp_path: Path) -> None:
    class NeverBackward(Trainer):
        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
            self.callback_handler.on_step_end(self.args, self.state, self.control)
            return self.compute_loss(model, inputs).detach()

    callbacks = callbacks_for()
    trainer(tmp_path, callbacks=callbacks, kind=NeverBackward, max_steps=3).train()
    reasons = reasons_of(callbacks)
    assert {family.split("/")[0] for family in reasons} == {"gradients"}
    assert all("no trained parameter has a gradient" in reason for reason in reasons.values())


def test_text_without_a_prompt_is_named(tmp_path: Path) -> None:
    """Without a processor the special tokens are unknown, so that all text before the target counts as its own."""
    callbacks, rows = callbacks_for(), [higgs_row(0, 6, at, text=True) for at in range(4)]
    trainer(tmp_path, callbacks=callbacks, model=higgs(text_head=True), train_dataset=rows, max_steps=3).train()
    reasons = reasons_of(callbacks)
    assert list(reasons) == ["chatml/prompt_labelled_pct"]
    assert "special tokens" in reasons["chatml/prompt_labelled_pct"]


def test_clips_that_are_not_in_the_adapters_pattern_are_the_reason_for_missing_audio() -> None:
    adapter: Any = adapter_for(higgs(text_head=False))
    snapshot: Any = SimpleNamespace(
        step=1, batch=adapter.view(higgs_collate([higgs_row(5, 6, 1)])), attention=None, tokens=None, text=None,
        latents=None,
    )  # fmt: skip

    def reasons() -> dict[str, str]:
        ledger = Ledger()
        explain_layout(ledger, snapshot, adapter)
        promise_step(ledger, snapshot, adapter, owners={"inputs", "outputs"}, has_codec=True)
        return {family.template: family.reason for family in ledger.settle()}

    assert "unknown" in reasons()["inputs/audio"] and "unknown" in reasons()["outputs/teacher_forced"]
    adapter.pattern = CodePattern.without_delay(codebooks=4, codes=16, eos=17, bos=16)
    assert "not in the delay pattern (chatml/delay_violations)" in reasons()["inputs/audio"]
    assert reasons()["outputs/teacher_forced"] == reasons()["inputs/audio"]
    assert "unknown" in reasons()["inputs/samples"]


def test_a_pattern_of_other_codebooks_than_the_model_does_not_end_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = higgs(text_head=False)
    adapter: Any = adapter_for(model)
    adapter.pattern = CodePattern.staircase(codebooks=7, bos=16, eos=17)
    assert trainer(tmp_path, callbacks=callbacks_for(adapter=adapter), model=model).train().global_step == 2
    assert "Logging of 'layout of codes' failed (RuntimeError" in caplog.text


def test_a_model_that_trains_references_misses_nothing(tmp_path: Path) -> None:
    model = csm().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with watch(model, optimizer, report_to="jsonl", every=1, budget_pct=1e9, logging_dir=tmp_path) as session:
        for seed in range(2):
            with session.step():
                model(**csm_collate([csm_row(5, 6, seed)])).loss.backward()
                optimizer.step()
    lists = [text for (tag, _), text in read_jsonl(tmp_path / "run").texts.items() if tag == "tracker/missing_list"]
    assert lists == []


def test_a_reason_explains_only_what_it_is_about() -> None:
    emitter = Emitter(MemoryTracker(), rank=0, guard=ErrorGuard(), cost=CostMeter())
    emitter.report_not_shown(["loss ratio: the model returned no loss", "attention: layers call another kernel"])
    emitter.ledger.promise(1, [tags.LOSS_RATIO, tags.ATTENTION_ENTROPY, tags.NLL_MEAN])
    reasons = {family.template: family.reason for family in emitter.ledger.settle()}
    assert "no loss" in reasons[tags.LOSS_RATIO.template]
    assert "another kernel" in reasons[tags.ATTENTION_ENTROPY.template]
    assert "please report it" in reasons[tags.NLL_MEAN.template]


@pytest.mark.setting("Evaluation", "`evaluate()` called by another callback", "reported missing")
def test_an_evaluation_inside_a_step_by_other_code_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class EvaluatesItself(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            running.evaluate()

    running = trainer(tmp_path, callbacks=[*callbacks_for(), EvaluatesItself()], max_steps=1)
    running.train()
    (run,) = runs_in(tmp_path).values()
    shown = ("eval_outputs/nll/mean", 1) in run.scalars
    reports = [
        record for record in caplog.records if "Reason: the evaluation was started inside a step" in record.message
    ]
    assert len(reports) == (0 if shown else 1)
    assert shown or "eval_outputs/nll/mean" in "".join(
        text for (tag, _), text in run.texts.items() if tag == "tracker/missing_list"
    )
