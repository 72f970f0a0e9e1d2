"""A real Trainer on the small model, watched by everything and by the doctor; what the doctor found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

sys.path.append(str(Path(__file__).parents[1] / "probes"))
from small_model import batch, sample, small_model

from tracker_logging.callbacks.attention import SharedAttentionLoggerCallback
from tracker_logging.callbacks.doctor import DoctorCallback
from tracker_logging.callbacks.inputs import InputLoggerCallback
from tracker_logging.callbacks.outputs import OutputLoggerCallback
from tracker_logging.callbacks.session import LoggingSession
from tracker_logging.data.labels import normalise_loss_by_audio_labels
from tracker_logging.diagnosis.finding import Finding
from tracker_logging.trackers.memory import MemoryTracker

Batch = dict[str, torch.Tensor]
SAMPLES = [sample(3 + at % 4, 4 + at % 5, seed=at) for at in range(24)]


def sound_model(**options: Any) -> nn.Module:
    """A small model whose loss is normalised as train_v2_ddp.py does."""
    model = small_model(**options)
    normalise_loss_by_audio_labels(model)
    return model


def collate(samples: list[Batch]) -> Batch:
    return batch(*samples)


def watched(
    directory: Path,
    *,
    model: nn.Module | None = None,
    samples: Sequence[Batch] = SAMPLES,
    collate: Callable[[list[Batch]], Batch] = collate,
    trainer: type[Trainer] = Trainer,
    tracker: Any = None,
    fail_on: Any = "never",
    **arguments: Any,
) -> tuple[DoctorCallback, Trainer]:
    """Train some steps, logging each; the doctor and the Trainer."""
    settings = {
        "output_dir": str(directory), "max_steps": 4, "per_device_train_batch_size": 2, "logging_steps": 1,
        "learning_rate": 1e-3, "report_to": "none", "use_cpu": True, "save_strategy": "no", "disable_tqdm": True,
        "seed": 7, "remove_unused_columns": False, "label_names": ["audio_labels"],
    }  # fmt: skip
    session = LoggingSession(tracker=tracker or MemoryTracker(), every=1, voice_steps=1000, budget_pct=1e9)
    callbacks = [
        InputLoggerCallback(session),
        OutputLoggerCallback(session),
        SharedAttentionLoggerCallback(session),
        DoctorCallback(session, fail_on=fail_on),
    ]
    torch.manual_seed(1)
    running = trainer(
        model=model if model is not None else sound_model(),
        args=TrainingArguments(**(settings | arguments)),
        train_dataset=samples,
        eval_dataset=list(samples)[:5],
        data_collator=collate,
        callbacks=callbacks,
    )
    running.train()
    return callbacks[-1], running


def serious(findings: Sequence[Finding]) -> set[str]:
    """The names of those above "info"."""
    return {finding.name for finding in findings if finding.level != "info"}
