"""All rules of the doctor, by theme. `docs/doctor.md` is generated from this table."""

from __future__ import annotations

from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import (
    conditioning,
    cost,
    gradients,
    groups,
    labels,
    latents,
    learning,
    loss,
    predictions,
    repeats,
    voices,
    weights,
)

THEMES: dict[str, tuple[Rule, ...]] = {
    "The batch and its labels": (*labels.RULES, *repeats.RULES, *loss.RULES),
    "Gradients and updates": (*gradients.RULES, *weights.RULES),
    "Predictions": (*predictions.RULES, *learning.RULES, *latents.RULES),
    "The reference and the text": conditioning.RULES,
    "The voices": (*voices.RULES, *groups.RULES),
    "Time": cost.RULES,
}

RULES: tuple[Rule, ...] = tuple(rule for rules in THEMES.values() for rule in rules)
