"""The hyperparameters of the demo's training, tuned on two CPU cores.

Measured with them (one thread, 24 held-out sentences): the nearest prompt is that of the right speaker in 24 of 24
(GE2E), all clips end by themselves, 95 % of the phrases are right (matched to the codec's phrase templates); 274
CPU-seconds. At step 140: voice 23 of 24, phrases 34 %; at step 280: 24 of 24 and 67 %.

    args = TrainingArguments(max_steps=DEMO_RECIPE.max_steps, learning_rate=DEMO_RECIPE.learning_rate, ...)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRecipe:
    """Names as in `TrainingArguments`, and the size of the demo's data."""

    max_steps: int = 420
    per_device_train_batch_size: int = 8
    learning_rate: float = 2e-3
    warmup_steps: int = 20
    lr_scheduler_type: str = "linear"
    seed: int = 42
    logging_steps: int = 10
    strategic_logging_steps: int = 70
    voice_steps: int = 105
    eval_steps: int = 70
    logging_budget_pct: float = 50.0  # its steps are short, so voices take a large share
    per_device_eval_batch_size: int = 8
    voice_temperature: float = 0.0  # random weights learn no probabilities worth sampling from in so few steps
    sentences_per_speaker: int = 500
    eval_pairs_per_speaker: int = 4


DEMO_RECIPE = DemoRecipe()
