"""Gradients, updates and what is frozen: is anything trained, and by how much?

rule.evidence(history)      # "no trained weight moved: gradients/update_ratio is 0 in all 6 parts"
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tracker_logging import tags
from tracker_logging.doctor.history import LEARNING_RATE, TRAIN_GRADIENT_NORM, History, Series
from tracker_logging.doctor.rule import Rule

LARGEST_UPDATE = 0.05
LARGEST_ADAPTER_UPDATE = 0.2
"""An adapter starts with one factor at zero, so that its first updates are large beside it."""
SMALLEST_UPDATE = 1e-7
_ADAPTER = "lora_"


def _now(family: Mapping[str, Series]) -> dict[str, float]:
    """The members that were measured at the family's newest step."""
    newest = max((series.step for series in family.values()), default=-1)
    return {name: series.last for name, series in family.items() if series.step == newest}


def _no_gradient(history: History) -> str | None:
    reached = _now(history.family(tags.REACHED))
    if reached and not any(reached.values()):
        return f"no gradient in any of the {len(reached)} parts that are to be trained (gradients/reached_pct is 0)"
    if history[TRAIN_GRADIENT_NORM].last == 0.0:
        return f"the gradient norm is 0 ({TRAIN_GRADIENT_NORM})"
    return None


def _no_update(history: History) -> str | None:
    ratios = _now(history.family(tags.UPDATE_RATIO))
    if not ratios or any(ratios.values()) or history[LEARNING_RATE].last == 0.0:
        return None
    return f"no trained weight moved: gradients/update_ratio is 0 in all {len(ratios)} parts"


def _part_without_gradient(history: History) -> str | None:
    reached = _now(history.family(tags.REACHED))
    without = [name for name, share in reached.items() if share == 0.0]
    if not without or len(without) == len(reached):
        return None
    return f"{', '.join(without)}: to be trained, but without gradient (gradients/reached_pct is 0)"


def _frozen(history: History) -> str | None:
    trained = {name for name, share in _now(history.family(tags.TRAINABLE)).items() if share > 0}
    if not history.family(tags.TRAINABLE) or not trained <= {"norms", "other"}:
        return None
    what = f"nothing but {' and '.join(sorted(trained))}" if trained else "nothing at all"
    return f"{what} is trained: gradients/trainable_pct is 0 everywhere else"


def _audio_path_frozen(history: History) -> str | None:
    shares = _now(history.family(tags.TRAINABLE))
    frozen = [name for name in ("audio_ffn", "heads") if shares.get(name) == 0.0]
    others = {name for name, share in shares.items() if share > 0} - {"norms", "other"}
    if not frozen or not others or any(name.startswith(_ADAPTER) for name in others):
        return None
    return f"of {' and '.join(frozen)} 0 % is trained, while {', '.join(sorted(others))} are (gradients/trainable_pct)"


def _rate_zero(history: History) -> str | None:
    series = history[LEARNING_RATE]
    return f"the learning rate is 0 at step {series.step} ({LEARNING_RATE})" if series.last == 0.0 else None


def _gradient_not_finite(history: History) -> str | None:
    norm = history[TRAIN_GRADIENT_NORM]
    if not norm or math.isfinite(norm.last):
        return None
    return f"the gradient norm is {norm.last} at step {norm.step} ({TRAIN_GRADIENT_NORM})"


def _update_too_large(history: History) -> str | None:
    family = history.family(tags.UPDATE_RATIO)
    if max((series.step for series in family.values()), default=0) <= 1:
        return None  # Adam's first step is as long as the learning rate allows, whatever the gradient
    large = {
        name: ratio
        for name, ratio in _now(family).items()
        if ratio > (LARGEST_ADAPTER_UPDATE if name.startswith(_ADAPTER) else LARGEST_UPDATE)
    }
    if not large:
        return None
    found = ", ".join(f"{name} by {100 * ratio:.2g} %" for name, ratio in large.items())
    return f"one step moved {found} of the weights' size (gradients/update_ratio)"


def _update_too_small(history: History) -> str | None:
    rate = history[LEARNING_RATE]
    if not rate.last > 0.1 * max((value for _, value in rate.points), default=math.nan):
        return None
    # Norms are left out: their weights are near 1, and move little beside that.
    ratios = {name: ratio for name, ratio in _now(history.family(tags.UPDATE_RATIO)).items() if "norms" not in name}
    small = [name for name, ratio in ratios.items() if ratio < SMALLEST_UPDATE]
    if not small or not any(ratios.values()):
        return None
    return (
        f"one step moved {', '.join(small)} by less than {SMALLEST_UPDATE:g} of the weights' size, at a learning rate "
        f"of {rate.last:.2g} (gradients/update_ratio)"
    )


RULES = (
    Rule(
        name="no_gradient",
        level="error",
        certainty="likely",
        looks_at=(tags.REACHED, TRAIN_GRADIENT_NORM),
        opens_when="no trained part has a gradient, or the Trainer's gradient norm is 0",
        evidence=_no_gradient,
        cause="`backward` is never called: a Trainer whose `training_step` or `compute_loss` was overridden and "
        "returns a detached loss. Nothing is trained, whatever the printed loss does.",
        cure="stop, and remove the override (or let it call `self.accelerator.backward(loss)` and return "
        "`loss.detach()`).",
        opens_after=2,
    ),
    Rule(
        name="no_update",
        level="error",
        certainty="likely",
        looks_at=(tags.UPDATE_RATIO,),
        also_reads=(LEARNING_RATE,),
        opens_when="no weight moves in an optimizer step, though there are gradients and the learning rate is not 0",
        evidence=_no_update,
        cause="the optimizer holds other weights than the model (it was made before the model was replaced, wrapped or "
        "given adapters), or every step is skipped by the fp16 scaler, or the updates vanish in bf16 weights.",
        cure="make the optimizer from the model that is trained, and keep the weights in fp32 (bf16=True trains in "
        "bf16 with fp32 weights).",
        opens_after=3,
    ),
    Rule(
        name="part_without_gradient",
        level="warning",
        certainty="likely",
        looks_at=(tags.REACHED,),
        opens_when="a part that is not frozen has no gradient while others have",
        evidence=_part_without_gradient,
        cause="the loss does not reach that part: its output is detached or not used, or its labels are missing (a "
        "text head without text labels).",
        cure="read gradients/parameters for the layers concerned; freeze the part if it is not to be trained, or give "
        "it labels.",
        opens_after=2,
    ),
    Rule(
        name="frozen_by_mistake",
        level="error",
        certainty="likely",
        looks_at=(tags.TRAINABLE,),
        opens_when="nothing but norms is trained, and there are no adapters",
        evidence=_frozen,
        cause="a filter on parameter names froze more than was meant (names differ between checkpoints of the same "
        "model).",
        cure="list `[n for n, p in model.named_parameters() if p.requires_grad]` and mend the filter; "
        "`--freeze_llm` freezes the text path only.",
    ),
    Rule(
        name="audio_path_frozen",
        level="warning",
        certainty="possible",
        looks_at=(tags.TRAINABLE,),
        opens_when="the audio FFN or the heads are frozen while other weights are trained without adapters",
        evidence=_audio_path_frozen,
        cause="a filter on parameter names took the audio path for the text path. Speech is made there, so the voice "
        "can change only by way of the shared attention.",
        cure="train `audio_mlp` and `audio_lm_head` too, unless you froze them on purpose.",
    ),
    Rule(
        name="learning_rate_zero",
        level="error",
        certainty="certain",
        looks_at=(LEARNING_RATE,),
        opens_when="the learning rate is 0, three times in a row (a warm-up begins and a decay ends with one 0)",
        evidence=_rate_zero,
        cause="the scheduler has run out before training has, or the rate was given as 0. Nothing is learned from here "
        "on.",
        cure="give --learning_rate, and let the scheduler's steps be those of the training (max_steps, epochs and "
        "resumed steps must agree).",
        opens_after=3,
    ),
    Rule(
        name="gradient_not_finite",
        level="error",
        certainty="likely",
        looks_at=(TRAIN_GRADIENT_NORM,),
        opens_when="the gradient norm is NaN or infinite, three times in a row (fp16 skips single ones)",
        evidence=_gradient_not_finite,
        cause="the backward pass overflows: a learning rate that is too high, fp16, or a batch with non-finite values.",
        cure="use bf16 or fp32, halve the learning rate, and go back to the last good checkpoint: the weights may be "
        "NaN already.",
        opens_after=3,
    ),
    Rule(
        name="update_too_large",
        level="warning",
        certainty="likely",
        looks_at=(tags.UPDATE_RATIO,),
        opens_when="one optimizer step moves a part by more than 5 % of its size (an adapter by more than 20 %)",
        evidence=_update_too_large,
        cause="the learning rate is too high for these weights. About 0.01 to 0.5 % is usual; at this pace what was "
        "pretrained is overwritten in a few dozen steps.",
        cure="divide the learning rate by ten, and warm up for longer.",
        opens_after=2,
    ),
    Rule(
        name="update_too_small",
        level="warning",
        certainty="likely",
        looks_at=(tags.UPDATE_RATIO,),
        also_reads=(LEARNING_RATE,),
        opens_when="a part moves by less than 1e-7 of its size while the learning rate is above a tenth of its peak",
        evidence=_update_too_small,
        cause="the learning rate is too low to be felt, or updates vanish in the rounding of bf16 or fp16 weights.",
        cure="raise the learning rate, or keep the weights in fp32 (load without torch_dtype and use --bf16).",
        opens_after=3,
    ),
)
