"""The numbers with which the demo is trained, found by trying them on two CPU cores.

args = TrainingArguments(max_steps=DEMO_RECIPE.max_steps, learning_rate=DEMO_RECIPE.learning_rate, ...)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRecipe:
    """Names as in `TrainingArguments`, and what the demo's data is made of."""

    max_steps: int = 300
    per_device_train_batch_size: int = 8
    learning_rate: float = 3e-3
    warmup_steps: int = 20
    lr_scheduler_type: str = "cosine"
    weight_decay: float = 0.0
    adam_beta2: float = 0.98
    max_grad_norm: float = 1.0
    seed: int = 42
    logging_steps: int = 10
    strategic_logging_steps: int = 50
    voice_steps: int = 100
    sentences_per_speaker: int = 100
    eval_pairs_per_speaker: int = 4


DEMO_RECIPE = DemoRecipe()
