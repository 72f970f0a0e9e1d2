"""Does the model use the voice prompt? The cheapest proof: the target's loss with the true reference, with another
speaker's, and with none. No generation is needed.

Guarantees
- The other reference is fixed for the run: a derangement over different speakers where the prompts allow it.
- Prompts without a target recording are left out; with one speaker only there is no "other" condition.
- All conditions are scored by the same forward as training, on rows that the training labels were built for.

    rows = conditioning_rows(prompts, processor)
    losses = conditioning_losses(adapter, rows, collate, device=device, batch_size=16)
    gap(losses, "other").mean(axis=0)       # [K] nats: above zero = the reference helps
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.families.base import Features, ModelAdapter
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.prompt import VoicePrompt

Condition: TypeAlias = Literal["own", "other", "none"]
CONDITIONS: tuple[Condition, ...] = ("own", "other", "none")
Losses: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]
Collate: TypeAlias = Callable[[Sequence[Features]], Features]


@dataclass(frozen=True, slots=True, eq=False)
class ConditioningRow:
    """One prompt's target under one condition, as a training row."""

    voice_id: str
    condition: Condition
    features: Features


def conditioning_rows(prompts: Sequence[VoicePrompt], processor: SpeechProcessor) -> list[ConditioningRow]:
    """The rows of all prompts that have a target recording, prompt by prompt."""
    partners = other_speakers([one.speaker for one in prompts])
    rows: list[ConditioningRow] = []
    for one, partner in zip(prompts, partners, strict=True):
        if one.sample.target_audio is None:
            continue
        references = {"own": one.sample, "other": None if partner is None else prompts[partner].sample, "none": None}
        for condition in CONDITIONS:
            if condition == "other" and partner is None:
                continue
            features = processor.features(one.sample, reference=references[condition])
            rows.append(ConditioningRow(one.voice_id, condition, features))
    return rows


def conditioning_losses(
    adapter: ModelAdapter,
    rows: Sequence[ConditioningRow],
    collate: Collate,
    *,
    device: torch.device,
    batch_size: int,
) -> dict[str, dict[str, list[float]]]:
    """Voice id -> condition -> nll [K] in nats. Rows of like length share a batch, to waste no padding."""
    losses: dict[str, dict[str, list[float]]] = {}
    by_length = sorted(rows, key=lambda row: len(row.features["input_ids"]))
    for start in range(0, len(by_length), batch_size):
        batch = by_length[start : start + batch_size]
        inputs: dict[str, Any] = {
            name: value.to(device) for name, value in collate([r.features for r in batch]).items()
        }
        for row, nll in zip(batch, adapter.audio_nll(inputs).tolist(), strict=True):
            losses.setdefault(row.voice_id, {})[row.condition] = nll
    return losses


def gap(losses: Losses, against: Condition) -> npt.NDArray[np.float64]:
    """[prompts, K] nats: nll under `against` − nll under the true reference; above zero = the reference helps."""
    pairs = [(one[against], one["own"]) for one in losses.values() if against in one and "own" in one]
    return np.array([np.subtract(worse, own) for worse, own in pairs], dtype=np.float64)


def other_speakers(speakers: Sequence[str]) -> list[int | None]:
    """For each prompt the index of one of another speaker; all different where no speaker has half of the prompts.

    Sorted by speaker and turned by the size of the largest group, equal speakers never meet.
    """
    order = sorted(range(len(speakers)), key=lambda index: (speakers[index], index))
    turn = max((list(speakers).count(name) for name in speakers), default=0)
    partners: list[int | None] = [None] * len(speakers)
    for place, index in enumerate(order):
        candidates = (order[(place + turn + more) % len(order)] for more in range(len(order)))
        partners[index] = next((other for other in candidates if speakers[other] != speakers[index]), None)
    return partners
