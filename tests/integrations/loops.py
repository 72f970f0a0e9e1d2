"""A hand-written loop on the small model of the real class, with or without `watch`, and what it leaves."""

import hashlib
import random
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_families import Row, higgs, higgs_collate, higgs_row
from torch import nn
from torch.distributed.tensor import DTensor

from tracker_logging import watch

ROWS = [higgs_row(5 + at % 3, 6 + at % 4, 10 * at) for at in range(24)]
BATCH = 2


def batches(rows: Sequence[Row] = ROWS) -> list[Row]:
    return [higgs_collate(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]


def options(**more: Any) -> dict[str, Any]:
    return {"report_to": "jsonl", "every": 1, "budget_pct": 1e9} | more


def model_and_optimizer(*, dropout: float = 0.0) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = higgs(text_head=False)
    model.config.attention_dropout = dropout
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = dropout
    return model.train(), torch.optim.AdamW(model.parameters(), lr=1e-3)


def train_by_hand(
    directory: Path | None,
    *,
    steps: int = 4,
    accumulation: int = 1,
    evaluate_every: int | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[str, list[float]]:
    """Train with `watch`, or without where `directory` is None; a fingerprint of what training touches, and losses."""
    random.seed(1), np.random.seed(1)
    model, optimizer = model_and_optimizer(dropout=dropout)
    torch.manual_seed(1)
    losses = []
    stream = iter(batches() * 10)
    watched = None if directory is None else watch(model, optimizer, logging_dir=directory, **options(**more))
    with watched or nullcontext() as session:
        for step in range(1, steps + 1):
            with session.step() if session else nullcontext():
                parts = []
                for _ in range(accumulation):
                    loss = model(**next(stream)).loss / accumulation
                    loss.backward()
                    parts.append(loss.item())
                optimizer.step()
                optimizer.zero_grad()
            losses.append(sum(parts))
            if session:
                session.log({"loss": losses[-1]})
            if evaluate_every and step % evaluate_every == 0:
                losses.append(evaluated(model, session))
    return fingerprint(model, optimizer), losses


def evaluated(model: nn.Module, session: Any = None, *, name: str = "eval", rows: Sequence[Row] = ROWS[:4]) -> float:
    """The mean loss of an evaluation set."""
    model.eval()
    with session.evaluation(name) if session else nullcontext(), torch.no_grad():
        losses = [model(**batch).loss.item() for batch in batches(rows)]
    model.train()
    return sum(losses) / len(losses)


def fingerprint(model: nn.Module, optimizer: torch.optim.Optimizer) -> str:
    """SHA-256 of weights (of this rank), optimizer state and every random generator."""
    digest = hashlib.sha256()
    states = [tensor for state in optimizer.state_dict()["state"].values() for tensor in state.values()]
    for tensor in (*model.state_dict().values(), *states):
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        digest.update(local.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    for state in (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()):
        digest.update(repr(state).encode())
    return digest.hexdigest()


def hook_count(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    on_model = sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules())
    return on_model + len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks)
