"""A small real Higgs Audio v2 in a real Trainer with everything on, and what the doctor says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from probes.small_model import batch, sample, small_model
from transformers import Trainer, TrainingArguments

from tracker_logging.callbacks.attention import SharedAttentionLoggerCallback
from tracker_logging.callbacks.doctor import DoctorCallback
from tracker_logging.callbacks.inputs import InputLoggerCallback
from tracker_logging.callbacks.outputs import OutputLoggerCallback
from tracker_logging.callbacks.session import LoggingSession
from tracker_logging.diagnosis.finding import Finding
from tracker_logging.events import Scalars
from tracker_logging.trackers.memory import MemoryTracker

Batch = dict[str, torch.Tensor]
SAMPLES = [sample(3 + at % 4, 4 + at % 5, seed=at) for at in range(24)]


@dataclass(frozen=True)
class Diagnosis:
    """`findings` by name, `values` by tag (the last of each); `error` is what the training itself raised."""

    findings: dict[str, Finding]
    values: dict[str, float]
    error: Exception | None = None

    @property
    def bad(self) -> set[str]:
        """Names of the findings above "info"."""
        return {name for name, finding in self.findings.items() if finding.level != "info"}


def mean_loss_model(**options: Any) -> torch.nn.Module:
    """A small model whose loss the Trainer does not divide by text labels."""
    model = small_model(**options)
    model.accepts_loss_kwargs = False
    return model


def collate(samples: list[Batch]) -> Batch:
    """A sound batch."""
    return batch(*samples)


def spoiled(spoil: Callable[[Batch], None], **options: bool) -> Callable[[list[Batch]], Batch]:
    """A collator with a fault: `spoil` changes the sound batch."""

    def collator(samples: list[Batch]) -> Batch:
        made = batch(*samples, **options)
        spoil(made)
        return made

    return collator


def diagnose(
    directory: Path,
    *,
    model: torch.nn.Module | None = None,
    samples: Sequence[Batch] = SAMPLES,
    collator: Callable[[list[Batch]], Batch] = collate,
    trainer: type[Trainer] = Trainer,
    every: int = 1,
    **arguments: Any,
) -> Diagnosis:
    """Train and ask the doctor. An error of the training is kept, and what was found before it."""
    tracker = MemoryTracker()
    session = LoggingSession(tracker=tracker, every=every, budget_pct=1e9)
    watching = [kind(session) for kind in (InputLoggerCallback, OutputLoggerCallback, SharedAttentionLoggerCallback)]
    doctor = DoctorCallback(session)
    settings = {
        "output_dir": str(directory), "max_steps": 6, "per_device_train_batch_size": 4, "logging_steps": 1,
        "learning_rate": 1e-3, "report_to": "none", "use_cpu": True, "save_strategy": "no", "disable_tqdm": True,
        "seed": 7, "remove_unused_columns": False,
    }  # fmt: skip
    torch.manual_seed(1)
    error = None
    try:
        trainer(
            model=mean_loss_model() if model is None else model,
            args=TrainingArguments(**(settings | arguments)),
            train_dataset=list(samples),
            data_collator=collator,
            callbacks=[*watching, doctor],
        ).train()
    except (RuntimeError, ValueError, IndexError) as raised:
        error = raised
    values = {
        tag: value for event in tracker.events if isinstance(event, Scalars) for tag, value in event.values.items()
    }
    return Diagnosis({finding.name: finding for finding in doctor.findings}, values, error)
