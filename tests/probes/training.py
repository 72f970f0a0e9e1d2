"""A real Trainer on the small model, with or without logging, and a fingerprint of the result."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_model import AUDIO_BOS, batch, sample, small_model
from torch import nn
from transformers import Trainer, TrainingArguments

from tracker_logging.events import Event, Scalars
from tracker_logging.families import Prompt, SamplingSettings
from tracker_logging.integrations.hf_trainer import (
    InputLoggerCallback,
    LoggingSession,
    OutputLoggerCallback,
    SharedAttentionLoggerCallback,
    StrategicCallback,
)
from tracker_logging.session.observer import Observer, StepContext
from tracker_logging.trackers.memory import MemoryTracker

SAMPLES = [sample(3 + at % 4, 4 + at % 5, seed=at) for at in range(24)]


class GeneratingObserver(Observer):
    """Sampled generation in the middle of training, and many random numbers."""

    name = "generating"

    def after_step(self, context: StepContext) -> Iterable[Event]:
        prompt = Prompt(
            token_ids=torch.tensor([1, 5, 6, AUDIO_BOS]),
            audio_codes=None,
            max_frames=6,
            seed=3,
        )
        self.training.adapter.generate([prompt], SamplingSettings(temperature=1.0))
        torch.rand(5), np.random.rand(5), random.random()
        return ()


class GeneratingCallback(StrategicCallback):
    def make_observer(self) -> Observer:
        return GeneratingObserver()


def collate(samples: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return batch(*samples, text_labels=True)


def watched_callbacks(tracker: MemoryTracker, *, every: int = 2) -> list[StrategicCallback]:
    session = LoggingSession(tracker=tracker, every=every, voice_steps=every, budget_pct=1e9)
    return [
        InputLoggerCallback(session),
        OutputLoggerCallback(session),
        SharedAttentionLoggerCallback(session, gradient_conflict=True),
        GeneratingCallback(session),
    ]


def train(
    directory: Path,
    *,
    callbacks: Iterable[Any] = (),
    model: nn.Module | None = None,
    resume_from: str | None = None,
    samples: Sequence[dict[str, torch.Tensor]] = SAMPLES,
    **arguments: Any,
) -> tuple[Trainer, str]:
    """Train a few steps; the Trainer and the fingerprint of all that training has touched."""
    settings = {
        "output_dir": str(directory), "max_steps": 6, "per_device_train_batch_size": 2, "logging_steps": 1,
        "learning_rate": 1e-3, "report_to": "none", "use_cpu": True, "save_strategy": "no", "disable_tqdm": True,
        "seed": 7,
    }  # fmt: skip
    random.seed(1)
    np.random.seed(1)
    model = model if model is not None else small_model(text_head=True, dropout=0.1)
    torch.manual_seed(1)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**(settings | arguments)),
        train_dataset=samples,
        eval_dataset=samples[:5],
        data_collator=collate,
        callbacks=list(callbacks),
    )
    trainer.train(resume_from_checkpoint=resume_from)
    return trainer, fingerprint(trainer)


def values_of(tracker: MemoryTracker) -> dict[str, list[tuple[int, float]]]:
    """All scalars by tag: (step, value)."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in tracker.events:
        if isinstance(event, Scalars):
            for tag, value in event.values.items():
                found.setdefault(tag, []).append((event.step, value))
    return found


def hook_count(model: nn.Module) -> int:
    """Forward hooks on all modules, without the one that waits for an evaluation outside training."""
    hooks = [
        hook for each in model.modules() for hook in (*each._forward_hooks.values(), *each._forward_pre_hooks.values())
    ]
    return sum(not type(hook).__module__.startswith("tracker_logging.session.gate") for hook in hooks)


def fingerprint(trainer: Trainer) -> str:
    """SHA-256 of weights, optimizer state, losses and the state of every random generator."""
    kept = [
        {name: value for name, value in entry.items() if not name.endswith(("runtime", "per_second"))}
        for entry in trainer.state.log_history
    ]
    return fingerprint_of(trainer.model, trainer.optimizer, repr(kept))


def fingerprint_of(model: nn.Module, optimizer: Any, more: str = "") -> str:
    """SHA-256 of weights (of this rank), optimizer state, the state of every random generator, and `more`."""
    digest = hashlib.sha256(more.encode())
    for name, own in model.state_dict().items():
        digest.update(name.encode() + _bytes(own))
    for key, own in _leaves(optimizer.state_dict()):
        digest.update(key.encode() + (_bytes(own) if isinstance(own, torch.Tensor) else repr(own).encode()))
    for state in (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()):
        digest.update(repr(state).encode())
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> bytes:
    own = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return own.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _leaves(value: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, own in value.items():
            yield from _leaves(own, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for key, own in enumerate(value):
            yield from _leaves(own, f"{name}/{key}")
    else:
        yield name, value
