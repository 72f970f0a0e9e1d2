"""Does the nll fall as far as the updates go?

Few updates of a low learning rate teach nothing, and that is no failure yet. So an nll that does not fall is judged by
the *way* of the updates: the sum over all steps of ‖ΔW‖ / ‖W‖, of the component that changes most.

>>> history = History()
>>> for step in range(0, 100, 10):
...     _ = history.add(step, {"gradients/update_ratio/heads": 1e-3})
>>> round(_way(history), 3), _way_to_the_end(history)
(0.091, nan)
"""

from __future__ import annotations

import math

from tracker_logging import tags
from tracker_logging.doctor.history import LEARNING_RATE, PLANNED_STEPS, TRAIN_LOSS, History, has_learned
from tracker_logging.doctor.rule import Cause, Rule
from tracker_logging.doctor.rules.gradients import is_audio_path_frozen, is_update_too_large

_FLAT_BLOCKS = 6  # 24 logged steps
FAR = {False: 0.3, True: 1.0}
"""Way after which a healthy nll has fallen by about 5 % (by adapter or not: an adapter starts near zero)."""
NEAR = 0.02
"""Way of a whole training that teaches nothing. A learning rate of 1e-5 goes it in about 40 steps."""
SURPRISE = 1.0
"""Nats above its own entropy, at the first logged step, that show a model codes it was not trained on."""


def _ways(history: History) -> dict[str, float]:
    """The way of the updates by component; norms are left out, whose weights are near 1."""
    return {
        name: sum(ratio * len(steps) for steps, ratio in series.windows())
        for name, series in history.family(tags.UPDATE_RATIO).items()
        if "norms" not in name
    }


def _way(history: History) -> float:
    """That of the component that changes most; NaN where updates are not logged."""
    return max(_ways(history).values(), default=math.nan)


def _way_to_the_end(history: History) -> float:
    """What it becomes in the planned steps; NaN where the loop does not say how many they are.

    At the mean pace so far; in a warm-up the pace goes on rising.
    """
    rates, planned = history[LEARNING_RATE], history[PLANNED_STEPS].last
    step = max((series.step for series in history.family(tags.UPDATE_RATIO).values()), default=-1)
    if step <= 0:
        return math.nan
    is_warm_up = len(rates.points) > 1 and rates.last > rates.points[-2][1]
    return _way(history) * (max(planned / step, 1.0) ** (2 if is_warm_up else 1))


def _ends_before_it_learns(history: History) -> bool:
    return _way_to_the_end(history) < NEAR


def _has_gone_far(history: History) -> bool:
    return any(way >= FAR[name.startswith("lora_")] for name, way in _ways(history).items())


def surprised(history: History) -> bool:
    """Whether the model was surer of its predictions than they were right, at the first logged step: in the first
    codebook and in the mean over all.

    A model that was trained on such codes, or not at all, has an nll near its entropy. Codes of another codec are a
    surprise from the first codebook on; of shuffled references only those are that tell the voice.
    """
    entropies = {codebook: series.first for codebook, series in history.family(tags.ENTROPY).items()}
    surprises = [history[tags.NLL(codebook=codebook)].first - entropy for codebook, entropy in entropies.items()]
    return bool(surprises) and min(surprises[0], sum(surprises) / len(surprises)) > SURPRISE


def _does_not_learn(history: History) -> str | None:
    nll = history[tags.NLL_MEAN()]
    blocks, accuracy = nll.blocks(), history[tags.ACCURACY_MEAN()]
    if len(blocks) < _FLAT_BLOCKS or has_learned(history, share=0.1) or not accuracy.recent < 0.5:
        return None
    first, now = blocks[0][1], min(mean for _, mean in blocks[-2:])
    way, to_the_end = _way(history), _way_to_the_end(history)
    if first - now > max(0.02 * first, 2.0 * nll.block_noise()):
        return None
    if way > 0 and not _has_gone_far(history) and not _ends_before_it_learns(history):
        return None
    seen = (
        f"the nll was {first:.3g} at step {blocks[0][0]} and is {now:.3g} at step {blocks[-1][0]}, with an accuracy of "
        f"{100 * accuracy.recent:.2g} % ({tags.NLL_MEAN()}, {tags.ACCURACY_MEAN()})"
    )
    if way > 0:
        seen += f", after updates of {100 * way:.2g} % of the weights' norm in all"
        seen += f", about {100 * to_the_end:.2g} % by the end of training" if to_the_end > way else ""
    return seen


RULES = (
    Rule(
        name="does_not_learn",
        level="warning",
        certainty="likely",
        triggers=(tags.NLL_MEAN,),
        also_reads=(
            tags.ACCURACY_MEAN,
            TRAIN_LOSS,
            tags.UPDATE_RATIO,
            tags.SHRINK,
            tags.TRAINABLE,
            tags.NLL,
            tags.ENTROPY,
            LEARNING_RATE,
            PLANNED_STEPS,
        ),
        opens_when="after 24 logged steps the nll has not fallen by 2 % or beyond its noise, and less than half of the "
        "codes are predicted, though the updates add up to 30 % of the weights' norm (100 % for adapters), or will not "
        "add up to 2 % in the planned steps",
        evidence=_does_not_learn,
        causes=(
            Cause(
                "The learning rate is too low for so few steps.",
                check="gradients/update_ratio times the steps of the training is below 2 %",
                observed=_ends_before_it_learns,
            ),
            Cause(
                "What is trained cannot change the predictions: adapters or trained weights miss the audio FFN and "
                "heads.",
                check="gradients/trainable_pct is 0 for audio_ffn and heads, and no lora_ component is in them",
                observed=is_audio_path_frozen,
            ),
            Cause(
                "The learning rate is too high, and the loss only jumps.",
                check="gradients/update_ratio is above 5 % (of an adapter: 20 %)",
                observed=is_update_too_large,
            ),
            Cause(
                "The codes or labels are noise to the model, as those of another codec are to a pretrained one.",
                check="outputs/nll was far above outputs/entropy at the first logged step, or inputs/audio is not the "
                "speech of the data",
                observed=surprised,
            ),
        ),
        fix="use a learning rate of 1e-5 to 1e-4 for all weights or 1e-4 to 5e-4 for LoRA, and train the audio FFN.",
        opens_after=2,
    ),
)
