"""A small real Higgs Audio v2 in a real Trainer with all loggers and the doctor, and the findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from probes.small_model import batch, sample, small_model
from torch import nn
from transformers import Trainer, TrainingArguments

from tracker_logging.doctor.finding import Finding
from tracker_logging.events import Alert, Scalars
from tracker_logging.families.higgs_v2.labels import normalise_loss_by_audio_labels
from tracker_logging.integrations.hf_trainer import (
    DoctorCallback,
    InputLoggerCallback,
    LoggingSession,
    OutputLoggerCallback,
    SharedAttentionLoggerCallback,
)
from tracker_logging.trackers.memory import MemoryTracker

Batch = dict[str, torch.Tensor]
SAMPLES = [sample(3 + at % 4, 4 + at % 5, seed=at) for at in range(24)]


@dataclass(frozen=True)
class Diagnosis:
    """`findings` by name, `values` by tag (the last of each), `alerts`: their titles, `errors`: how often a part of
    ours failed; `error` is what the training itself raised."""

    findings: dict[str, Finding]
    values: dict[str, float]
    alerts: list[str]
    errors: int
    error: Exception | None

    @property
    def bad(self) -> set[str]:
        """Names of the findings above "info"."""
        return serious(self.findings.values())


def serious(findings: Iterable[Finding]) -> set[str]:
    """The names of those above "info"."""
    return {finding.name for finding in findings if finding.level != "info"}


def sound_model(**options: Any) -> nn.Module:
    """A small model whose loss is normalised as train_v2_ddp.py does."""
    model = small_model(**options)
    normalise_loss_by_audio_labels(model)
    return model


def mean_loss_model(**options: Any) -> nn.Module:
    """A small model whose loss the Trainer does not divide by text labels: the other cure."""
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


def prepared(
    directory: Path,
    *,
    model: nn.Module | None = None,
    samples: Sequence[Batch] = SAMPLES,
    collate: Callable[[list[Batch]], Batch] = collate,
    trainer: type[Trainer] = Trainer,
    tracker: Any = None,
    fail_on: Any = "never",
    every: int = 1,
    **arguments: Any,
) -> tuple[DoctorCallback, Trainer]:
    """The doctor and the Trainer, before the first step."""
    settings = {
        "output_dir": str(directory), "max_steps": 4, "per_device_train_batch_size": 4, "logging_steps": 1,
        "learning_rate": 1e-3, "report_to": "none", "use_cpu": True, "save_strategy": "no", "disable_tqdm": True,
        "seed": 7, "remove_unused_columns": False,
    }  # fmt: skip
    session = LoggingSession(tracker=tracker or MemoryTracker(), every=every, budget_pct=1e9)
    watching = [kind(session) for kind in (InputLoggerCallback, OutputLoggerCallback, SharedAttentionLoggerCallback)]
    doctor = DoctorCallback(session, fail_on=fail_on)
    torch.manual_seed(1)
    running = trainer(
        model=sound_model() if model is None else model,
        args=TrainingArguments(**(settings | arguments)),
        train_dataset=list(samples),
        data_collator=collate,
        callbacks=[*watching, doctor],
    )
    return doctor, running


def watched(directory: Path, **options: Any) -> tuple[DoctorCallback, Trainer]:
    """Train some steps, logging each; the doctor and the Trainer. `options` as of `prepared`."""
    doctor, running = prepared(directory, **options)
    running.train()
    return doctor, running


def diagnose(directory: Path, **options: Any) -> Diagnosis:
    """Train and ask the doctor. An error of the training is kept, and what was found before it."""
    tracker = MemoryTracker()
    doctor, running = prepared(directory, tracker=tracker, **options)
    error = None
    try:
        running.train()
    except (RuntimeError, ValueError, IndexError) as raised:
        error = raised
    return Diagnosis(
        findings={finding.name: finding for finding in doctor.findings},
        values={
            tag: own for event in tracker.events if isinstance(event, Scalars) for tag, own in event.values.items()
        },
        alerts=[event.title for event in tracker.events if isinstance(event, Alert)],
        errors=doctor.session.errors,
        error=error,
    )
