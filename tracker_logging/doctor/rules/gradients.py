"""Gradients, updates and frozen weights: is anything trained, and by how much?

>>> history = History()
>>> _ = history.add(100, {"gradients/reached_pct/heads": 0.0, "gradients/reached_pct/audio_ffn": 0.0})
>>> RULES[0].evidence(history)
'no gradient in any of the 2 components that are to be trained (gradients/reached_pct is 0) at step 100'
"""

from __future__ import annotations

import math

from tracker_logging import tags
from tracker_logging.doctor.history import LEARNING_RATE, TRAIN_GRADIENT_NORM, TRAIN_LOSS, History, has_learned
from tracker_logging.doctor.rule import Cause, Rule, above
from tracker_logging.doctor.rules.weights import is_clipped_away, shrinking

MAX_UPDATE = 0.05
MAX_ADAPTER_UPDATE = 0.2
"""An adapter starts with one factor at zero, so that its first updates are large relative to it."""
MIN_UPDATE = 1e-7
MIN_LARGEST_UPDATE = 1e-5
"""Of the component that changes most; a learning rate of 1e-6 gives about 5e-5."""
MAX_ROUNDED_PCT = 20.0
SCALER_STEPS = 20
_ADAPTER = "lora_"


def _no_gradient(history: History) -> str | None:
    """Zeros at the newest step only, and not of a batch without labels, which has no gradient in any training."""
    norm, (reached_step, shares) = history[TRAIN_GRADIENT_NORM], history.newest(tags.REACHED)
    step = max(norm.step, reached_step)
    if reached_step == step and shares and not any(shares.values()):
        seen = f"no gradient in any of the {len(shares)} components that are to be trained (gradients/reached_pct is 0)"
    elif norm.on(step) == 0.0:
        seen = f"the gradient norm is 0 ({TRAIN_GRADIENT_NORM})"
    else:
        return None
    labelled = history[tags.WITH_LABELS()].on(step)
    has_labels = not _had_gradient(history) if math.isnan(labelled) else labelled > 0.0
    return f"{seen} at step {step}" if has_labels else None


def _had_gradient(history: History) -> bool:
    """Whether any gradient was seen; then a zero of a batch whose labels are unknown may be that of a batch without."""
    series = [history[TRAIN_GRADIENT_NORM], *history.family(tags.REACHED).values()]
    return any(value > 0 for gradient in series for _, value in gradient.points)


def _no_update(history: History) -> str | None:
    step, ratios = history.newest(tags.UPDATE_RATIO)
    has_rate = history[LEARNING_RATE].near(step) != 0.0
    if not ratios or any(ratios.values()) or not has_rate or has_learned(history, share=0.05):
        return None
    return f"no trained weight changed: gradients/update_ratio is 0 in all {len(ratios)} components"


def _part_without_gradient(history: History) -> str | None:
    _, reached = history.newest(tags.REACHED)
    without = [name for name, share in reached.items() if share == 0.0]
    if not without or len(without) == len(reached):
        return None
    return f"{', '.join(without)}: to be trained, but without gradient (gradients/reached_pct is 0)"


def _frozen(history: History) -> str | None:
    _, shares = history.newest(tags.TRAINABLE)
    trained = {name for name, share in shares.items() if share > 0}
    if not shares or not trained <= {"norms", "other"}:
        return None
    what = f"only {' and '.join(sorted(trained))} is trained" if trained else "nothing is trained"
    return f"{what}: gradients/trainable_pct is 0 in all other components"


def _audio_path_frozen(history: History) -> str | None:
    _, shares = history.newest(tags.TRAINABLE)
    frozen = [name for name in ("audio_ffn", "heads") if shares.get(name) == 0.0]
    others = {name for name, share in shares.items() if share > 0} - {"norms", "other"}
    if any(name.startswith(_ADAPTER) for name in others):
        # Adapters train through a frozen head; a family without an FFN path for audio has nothing else to adapt.
        frozen = [name for name in frozen if name == "audio_ffn" and _ADAPTER + name not in others]
    if not frozen or not others:
        return None
    return f"of {' and '.join(frozen)} 0 % is trained, while {', '.join(sorted(others))} are (gradients/trainable_pct)"


def is_audio_path_frozen(history: History) -> bool:
    """Whether the audio FFN or the heads are frozen while other weights are trained, or have no adapter."""
    return _audio_path_frozen(history) is not None


def _rate_zero(history: History) -> str | None:
    series = history[LEARNING_RATE]
    ratios = history.family(tags.UPDATE_RATIO).values()
    if series.last != 0.0 or any(ratio.step >= series.step and ratio.last > 0 for ratio in ratios):
        return None  # the Trainer logs the rate of the first parameter group; others may be trained
    return f"the learning rate is 0 at step {series.step} ({LEARNING_RATE})"


def _gradient_not_finite(history: History) -> str | None:
    norm = history[TRAIN_GRADIENT_NORM]
    if not norm or math.isfinite(norm.last):
        return None
    finite = [step for step, value in norm.points if math.isfinite(value)]
    if not finite and norm.step - norm.points[0][0] < SCALER_STEPS:
        return None  # at the start of fp16 the scaler skips steps until it has found its scale
    return f"the gradient norm is {norm.last} at step {norm.step} ({TRAIN_GRADIENT_NORM})"


def _update_too_large(history: History) -> str | None:
    step, ratios = history.newest(tags.UPDATE_RATIO)
    if step <= 1:
        return None  # Adam's first step has full length, whatever the gradient
    decayed = shrinking(history)
    large = {
        name: ratio
        for name, ratio in ratios.items()
        if name not in decayed and ratio > (MAX_ADAPTER_UPDATE if name.startswith(_ADAPTER) else MAX_UPDATE)
    }
    if not large:
        return None
    changes = ", ".join(f"{name} by {100 * ratio:.2g} %" for name, ratio in large.items())
    return f"one step changed {changes} of the weights' norm (gradients/update_ratio)"


def is_update_too_large(history: History) -> bool:
    """Whether the newest step changed a component by more than a pretrained model can take."""
    return _update_too_large(history) is not None


def _update_too_small(history: History) -> str | None:
    (step, all_ratios), rates = history.newest(tags.UPDATE_RATIO), history[LEARNING_RATE]
    rate = rates.near(step)
    if not rate > 0.1 * max((value for _, value in rates.points), default=math.nan) or is_clipped_away(history):
        return None
    # Norms are left out: their weights are near 1, and change little relative to that.
    ratios = {name: ratio for name, ratio in all_ratios.items() if "norms" not in name}
    if not any(ratios.values()):
        return None
    largest = max(ratios, key=lambda name: ratios[name])
    if ratios[largest] < MIN_LARGEST_UPDATE:
        return (
            f"one step changed no component by more than {ratios[largest]:.2g} of the weights' norm ({largest}), at a "
            f"learning rate of {rate:.2g} (gradients/update_ratio)"
        )
    small = [name for name, ratio in ratios.items() if ratio < MIN_UPDATE]
    if not small:
        return None
    return (
        f"one step changed {', '.join(small)} by less than {MIN_UPDATE:g} of the weights' norm, at a learning rate "
        f"of {rate:.2g} (gradients/update_ratio)"
    )


RULES = (
    Rule(
        name="no_gradient",
        level="error",
        certainty="likely",
        triggers=(tags.REACHED, TRAIN_GRADIENT_NORM),
        also_reads=(tags.WITH_LABELS,),
        opens_when="no trained component has a gradient, or the Trainer's gradient norm is 0, in two batches with "
        "labels (or, where labels are unknown, from the beginning)",
        evidence=_no_gradient,
        causes=(
            Cause(
                "`backward` is never called: `training_step` or `compute_loss` was overridden and returns a detached "
                "loss. Nothing is trained, whatever the printed loss is.",
                check="gradients/parameters shows every component without gradient from the first logged step on",
            ),
            Cause(
                "The loss does not depend on the trained weights: it is computed from a copy, or under no_grad.",
                check="`loss.requires_grad` is False in compute_loss",
            ),
        ),
        fix="stop, and remove the override (or let it call `self.accelerator.backward(loss)` and return "
        "`loss.detach()`).",
        opens_after=2,
    ),
    Rule(
        name="no_update",
        level="warning",
        certainty="likely",
        triggers=(tags.UPDATE_RATIO,),
        also_reads=(LEARNING_RATE, tags.NLL_MEAN, TRAIN_LOSS),
        opens_when="no weight changes in an optimizer step, though there are gradients, the learning rate is not 0 "
        "and the loss does not fall",
        evidence=_no_update,
        causes=(
            Cause(
                "The optimizer holds other weights than the model: it was made before the model was replaced, wrapped "
                "or given adapters.",
                check="no id of `optimizer.param_groups` is an id of `model.parameters()`",
            ),
            Cause("The updates are rounded to zero in bf16 weights.", check="the weights' dtype is bfloat16"),
            Cause("The fp16 scaler skips every step.", check="train/grad_norm is inf or NaN"),
            Cause(
                "The optimizer step is made elsewhere (DeepSpeed, a wrapped optimizer), so that it is not measured.",
                check="train/loss falls",
            ),
        ),
        fix="make the optimizer from the model that is trained, and keep trained weights in fp32: load with "
        "dtype=torch.float32 and use --bf16 for autocast.",
        opens_after=3,
    ),
    Rule(
        name="updates_rounded_to_zero",
        level="warning",
        certainty="certain",
        triggers=(tags.ROUNDED_TO_ZERO,),
        opens_when="more than 20 % of the updates of bf16 or fp16 weights are rounded to zero",
        evidence=above(
            MAX_ROUNDED_PCT,
            tags.ROUNDED_TO_ZERO,
            "bf16 or fp16 weights without a master copy: {value:.0f} % of the updates round to zero",
        ),
        causes=(
            Cause(
                "The trained weights are bf16 or fp16 and have no fp32 master copy: an update smaller than half a unit "
                "in the last place of its weight (0.4 % in bf16) is lost."
            ),
        ),
        fix="keep trained weights in fp32: load with dtype=torch.float32 and use --bf16 for autocast. Where that does "
        "not fit, train LoRA adapters in fp32 on a frozen bf16 base.",
        opens_after=2,
    ),
    Rule(
        name="part_without_gradient",
        level="warning",
        certainty="likely",
        triggers=(tags.REACHED,),
        opens_when="a component that is not frozen has no gradient while others have",
        evidence=_part_without_gradient,
        causes=(
            Cause("Its labels are missing, as for a text head without text labels.", check="the component is a head"),
            Cause("Its output is detached or not used.", check="gradients/parameters shows it in some layers only"),
        ),
        fix="find the layers in gradients/parameters; freeze the component if it is not to be trained, or give it "
        "labels.",
        opens_after=2,
    ),
    Rule(
        name="frozen_by_mistake",
        level="warning",
        certainty="likely",
        triggers=(tags.TRAINABLE,),
        opens_when="only norms are trained, or nothing, and there are no adapters",
        evidence=_frozen,
        causes=(
            Cause(
                "A filter on parameter names froze more than intended: names differ between checkpoints of a model.",
                check="the filter's names are not among `model.named_parameters()`",
            ),
            Cause("Adapters were added and then frozen.", check="gradients/parameters shows frozen lora_ components"),
        ),
        fix="list `[n for n, p in model.named_parameters() if p.requires_grad]` and correct the filter; "
        "`--freeze_llm` freezes the text path only.",
    ),
    Rule(
        name="audio_path_frozen",
        level="warning",
        certainty="possible",
        triggers=(tags.TRAINABLE,),
        opens_when="the audio FFN or the heads are frozen while other weights are trained; with adapters: the audio "
        "FFN has none",
        evidence=_audio_path_frozen,
        causes=(
            Cause(
                "A filter on parameter names took the audio path for the text path. Speech is made there, so the voice "
                "can change only through the shared attention.",
                check="the filter matches `mlp` where `audio_mlp` was meant",
            ),
            Cause(
                "The adapters miss the audio path: their target_modules name the attention or the text FFN only.",
                check="gradients/trainable_pct has lora_ components, and none of them is lora_audio_ffn",
            ),
            Cause("It was frozen on purpose.", check="you set it"),
        ),
        fix="train `audio_mlp` and `audio_lm_head` too, or add the projections of the audio FFN to the adapters' "
        "target_modules, unless you froze them on purpose.",
    ),
    Rule(
        name="learning_rate_zero",
        level="error",
        certainty="likely",
        triggers=(LEARNING_RATE,),
        also_reads=(tags.UPDATE_RATIO,),
        opens_when="the learning rate is 0, three times in a row (a warm-up begins and a decay ends with one 0)",
        evidence=_rate_zero,
        causes=(
            Cause(
                "The schedule has ended before training. Nothing is learned from here on.",
                check="train/learning_rate was above 0 before",
            ),
            Cause("The learning rate was set to 0.", check="train/learning_rate is 0 from the beginning"),
        ),
        fix="set --learning_rate, and make the schedule as long as the training (max_steps, epochs and resumed steps "
        "must agree).",
        opens_after=3,
    ),
    Rule(
        name="gradient_not_finite",
        level="error",
        certainty="likely",
        triggers=(TRAIN_GRADIENT_NORM,),
        opens_when="the gradient norm is NaN or infinite, three times in a row (not in the first 20 steps, in which "
        "the fp16 scaler finds its scale)",
        evidence=_gradient_not_finite,
        causes=(
            Cause("The backward pass overflows in fp16.", check="it is gone in bf16 or fp32"),
            Cause("The learning rate is too high.", check="train/grad_norm rose before"),
            Cause(
                "A batch or the weights hold non-finite values.", check="inputs/non_finite, outputs/non_finite_logits"
            ),
        ),
        fix="use bf16 autocast or fp32, halve the learning rate, and go back to the last good checkpoint: the weights "
        "may be NaN already.",
        opens_after=3,
    ),
    Rule(
        name="update_too_large",
        level="warning",
        certainty="likely",
        triggers=(tags.UPDATE_RATIO,),
        also_reads=(tags.SHRINK,),
        opens_when="one optimizer step changes a component by more than 5 % of its norm (an adapter by more than 20 "
        "%), and not by making it smaller only",
        evidence=_update_too_large,
        causes=(
            Cause(
                "The learning rate is too high for these weights. About 0.01 to 0.5 % is usual; at this pace the "
                "pretrained weights are overwritten in a few dozen steps.",
                check="the ratio falls with the learning rate",
            ),
            Cause(
                "The weights of the component are near zero, as those of a new head or a fresh embedding, so that any "
                "step is large beside them.",
                check="it is one component only, and its ratio falls from step to step",
            ),
        ),
        fix="divide the learning rate by ten and warm up for longer.",
        opens_after=2,
    ),
    Rule(
        name="update_too_small",
        level="warning",
        certainty="likely",
        triggers=(tags.UPDATE_RATIO,),
        also_reads=(LEARNING_RATE, tags.CLIP_FACTOR),
        opens_when="a component changes by less than 1e-7 of its norm, or all by less than 1e-5, while the learning "
        "rate is above a tenth of its peak",
        evidence=_update_too_small,
        causes=(
            Cause("The learning rate is too low.", check="the trained weights are fp32"),
            Cause("The updates are rounded to zero in bf16 or fp16 weights.", check="the trained weights are not fp32"),
        ),
        fix="raise the learning rate, or keep trained weights in fp32: load with dtype=torch.float32 and use --bf16 "
        "for autocast.",
        opens_after=3,
    ),
)
