"""A fine-tuning of `HiggsAudioModel` with the Trainer of the transformers that it pins, seen and not seen."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from boson_model import WithLoss, boson_model, loss_of
from test_boson_layout import PLAIN, REFERENCE, TWO_TURNS, collated
from transformers import Trainer, TrainingArguments

from tracker_logging.events import Scalars
from tracker_logging.integrations.hf_trainer import (
    InputLoggerCallback,
    LoggingSession,
    OutputLoggerCallback,
    SharedAttentionLoggerCallback,
)
from tracker_logging.trackers.memory import MemoryTracker

ROWS = [REFERENCE, PLAIN, TWO_TURNS, PLAIN]


class Extended:
    """A batch with attributes, as the fine-tuning scripts of `boson_multimodal` pass it to the Trainer."""

    def __init__(self, batch: Any) -> None:
        vars(self).update({name: value for name, value in vars(batch).items() if name != "reward"})

    def __len__(self) -> int:
        return len(self.input_ids)

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class BosonTrainer(Trainer):
    """The loss is made here; `outputs.loss` of the model is None."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        batch = dict(vars(inputs))
        outputs = model(**batch)
        loss = outputs["loss"] if isinstance(model, WithLoss) else loss_of(outputs, batch)
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
        with torch.no_grad():
            return self.compute_loss(model, inputs), None, None


def train(directory: Path, model: Any, callbacks: list[Any]) -> tuple[Any, str]:
    torch.manual_seed(1)
    settings = TrainingArguments(
        output_dir=str(directory), max_steps=4, per_device_train_batch_size=2, learning_rate=1e-3, report_to="none",
        use_cpu=True, save_strategy="no", eval_strategy="steps", eval_steps=2, disable_tqdm=True, seed=7,
        remove_unused_columns=False, gradient_accumulation_steps=2, max_grad_norm=0.5,
    )  # fmt: skip
    trainer = BosonTrainer(
        model=model, args=settings, train_dataset=ROWS * 4, eval_dataset=ROWS,
        data_collator=lambda rows: Extended(collated(*rows)), callbacks=callbacks,
    )  # fmt: skip
    trainer.train()
    digest = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    for name, weight in trainer.model.state_dict().items():
        digest.update(name.encode() + weight.numpy().tobytes())
    return trainer, digest.hexdigest()


def watched(tracker: MemoryTracker) -> list[Any]:
    session = LoggingSession(tracker=tracker, every=2, budget_pct=1e9)
    return [
        InputLoggerCallback(session),
        OutputLoggerCallback(session),
        SharedAttentionLoggerCallback(session, gradient_conflict=True),
    ]


@pytest.mark.parametrize("wrapped", [True, False], ids=["loss in a wrapper", "loss in the trainer"])
def test_training_is_logged_and_bit_identical(wrapped: bool, tmp_path: Path) -> None:
    tracker = MemoryTracker()
    make = (lambda: WithLoss(boson_model())) if wrapped else boson_model
    _, plain = train(tmp_path / "plain", make(), [])
    _, seen = train(tmp_path / "seen", make(), watched(tracker))
    assert seen == plain
    values: dict[str, list[float]] = {}
    for event in tracker.events:
        if isinstance(event, Scalars):
            for tag, value in event.values.items():
                values.setdefault(tag, []).append(value)
    assert values["tracker/errors"] == [0.0, 0.0, 0.0]
    for start in ("inputs/", "outputs/nll", "eval_outputs/nll", "attention/", "dualffn/"):
        assert any(tag.startswith(start) for tag in values), f"{start} is missing in {sorted(values)}"
    assert all(not torch.tensor(value).isnan().any() for value in values.values())
    assert values["chatml/causality_leak"] == [0.0]
    assert set(values["chatml/empty_tensors"]) == {0.0}


def test_the_public_face_writes_a_run_that_tensorboard_reads(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from tracker_logging import strategic_callbacks
    from tracker_logging.trackers.tensorboard_names import shown_name

    train(tmp_path, WithLoss(boson_model()), strategic_callbacks(report_to=["tensorboard"], every=2, budget_pct=1e9))
    events = EventAccumulator(str(tmp_path / "runs" / "run"))
    events.Reload()
    assert [event.step for event in events.Scalars(shown_name("outputs/nll/mean"))] == [1, 2, 4]
