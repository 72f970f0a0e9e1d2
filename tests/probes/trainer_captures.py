"""A Trainer callback that captures every step and evaluation, without the session and without trackers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from small_model import batch, sample, small_model
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from tracker_logging.families import adapter_for
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.evaluation import EvaluationCapture
from tracker_logging.probes.snapshot import EvaluationSnapshot, StepSnapshot

NEEDS = frozenset({"inputs", "tokens", "finite", "gradients", "updates"})
SAMPLES = [sample(3 + at % 4, 4 + at % 5, seed=at) for at in range(16)]


class Captures(TrainerCallback):
    """`steps` and `evaluations` hold the snapshots in order; every step is captured."""

    def __init__(self, *, needs: frozenset[str] = NEEDS, compiled: bool = False) -> None:
        self.steps: list[StepSnapshot | None] = []
        self.evaluations: list[EvaluationSnapshot | None] = []
        self.errors: list[tuple[str, Exception]] = []
        self._needs, self._compiled = needs, compiled
        self._evaluation: EvaluationCapture | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        self.adapter = adapter_for(model)
        self.capture = StepCapture(adapter=self.adapter, needs=self._needs, compiled=self._compiled)

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        self.capture.attach(model)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any, **_: Any) -> None:
        self.capture.before_update(optimizer)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any, **_: Any) -> None:
        self.capture.after_update(optimizer)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        self.steps.append(self.capture.snapshot(state.global_step))
        self.errors += self.capture.errors
        if control.should_evaluate:
            self._evaluation = EvaluationCapture(adapter=self.adapter, compiled=self._compiled)
            self._evaluation.attach(model)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._evaluation is not None:
            self.evaluations.append(self._evaluation.snapshot(state.global_step, name="held out"))
            self.errors += self._evaluation.errors
            self._evaluation = None


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    return batch(*samples)


def collate_with_text(samples: list[dict[str, Any]]) -> dict[str, Any]:
    return batch(*samples, text_labels=True)


def capture_training(
    directory: Path,
    *,
    trainer: type[Trainer] = Trainer,
    model: nn.Module | None = None,
    captures: Captures | None = None,
    text: bool = False,
    samples: Sequence[dict[str, Any]] = SAMPLES,
    options: dict[str, Any] | None = None,
    **arguments: Any,
) -> tuple[Captures, Trainer]:
    """Train a few steps on the CPU with a capture at each."""
    settings = {
        "output_dir": str(directory), "max_steps": 3, "per_device_train_batch_size": 2, "logging_steps": 1,
        "learning_rate": 1e-3, "report_to": "none", "use_cpu": True, "save_strategy": "no", "disable_tqdm": True,
        "seed": 7, "label_names": ["audio_labels"],
    }  # fmt: skip
    captures = Captures() if captures is None else captures
    made = trainer(
        model=small_model(text_head=text) if model is None else model,
        args=TrainingArguments(**(settings | arguments)),
        train_dataset=samples,
        eval_dataset=SAMPLES[:5],
        **({"data_collator": collate_with_text if text else collate, "callbacks": [captures]} | (options or {})),
    )
    made.train()
    return captures, made
