"""What takes the effect of the gradient away: clipping and weight decay.

>>> history = History()
>>> for step in range(3):
...     _ = history.add(step, {"gradients/clip_factor": 2e-7})
>>> RULES[0].evidence(history)
'clipping leaves 2e-07 of the gradient norm (gradients/clip_factor)'
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.history import LEARNING_RATE, History
from tracker_logging.doctor.rule import Cause, Rule

MIN_CLIP_FACTOR = 1e-3
"""A gradient norm of 100 clipped to 1 leaves 1e-2."""
MAX_SHRINK = 5e-4
"""Per step; half of the weights are gone after 1,400. A usual decay (1e-4 × 0.1) takes 1e-5."""
MOSTLY = 0.5
"""Share of the update that is shrinkage, above which decay and not the gradient moves the weights."""


def is_clipped_away(history: History) -> bool:
    """Whether clipping leaves so little that the updates say nothing about the learning rate."""
    return history[tags.CLIP_FACTOR()].recent < MIN_CLIP_FACTOR


def shrinking(history: History) -> dict[str, float]:
    """The components whose update is mostly shrinkage at the newest step, with the share of their norm that they lose.

    Norms start at 1 and may all fall together by the gradient alone, so they are left out.
    """
    step, shares = history.newest(tags.SHRINK)
    return {
        name: share
        for name, share in shares.items()
        if "norms" not in name and share > max(MAX_SHRINK, MOSTLY * history[tags.UPDATE_RATIO(component=name)].on(step))
    }


def _clipped_away(history: History) -> str | None:
    if not is_clipped_away(history):
        return None
    return f"clipping leaves {history[tags.CLIP_FACTOR()].recent:.1g} of the gradient norm ({tags.CLIP_FACTOR()})"


def _shrunk(history: History) -> str | None:
    lost = shrinking(history)
    step, shares = history.newest(tags.SHRINK)
    compared = [name for name in shares if "norms" not in name]
    if not lost or len(lost) < MOSTLY * len(compared):
        return None
    most = max(lost, key=lambda name: lost[name])
    rate = history[LEARNING_RATE].near(step)
    at = f", at a learning rate of {rate:.2g}" if rate > 0 else ""
    return (
        f"one step shrinks {len(lost)} of {len(compared)} components, {most} most, by {100 * lost[most]:.2g} % of "
        f"their norm, and that is most of the update{at} (gradients/shrink)"
    )


RULES = (
    Rule(
        name="gradient_clipped_away",
        level="warning",
        certainty="likely",
        triggers=(tags.CLIP_FACTOR,),
        opens_when="clipping leaves less than 0.1 % of the gradient norm, three times in a row",
        evidence=_clipped_away,
        causes=(
            Cause(
                "The largest allowed norm is far below the norm of the gradient. SGD stands still; Adam loses the "
                "differences between batches, and stands still where its epsilon is larger than the gradient.",
                check="max_grad_norm is far below 1 (usual: 1)",
            ),
            Cause(
                "The loss is scaled up or summed over positions, and the gradient with it.",
                check="train/grad_norm is in the thousands, or the finding loss_out_of_scale is open",
            ),
        ),
        fix="set max_grad_norm to about the usual value of train/grad_norm (1 is the default of the Trainer), and "
        "return the mean cross-entropy as the loss.",
        opens_after=3,
    ),
    Rule(
        name="weights_shrink",
        level="warning",
        certainty="likely",
        triggers=(tags.SHRINK,),
        also_reads=(tags.UPDATE_RATIO, LEARNING_RATE),
        opens_when="in half of the components more than half of the update, and at least 0.05 % of the norm per step, "
        "only makes the weights smaller",
        evidence=_shrunk,
        causes=(
            Cause(
                "Weight decay is too strong: it pulls the pretrained weights to zero faster than the gradient moves "
                "them.",
                check="gradients/shrink is learning rate x weight_decay in all decayed components",
            ),
            Cause(
                "A term of the loss or code of your own makes the weights smaller.",
                check="weight_decay is 0, or far below gradients/shrink / learning rate",
            ),
        ),
        fix="set weight_decay to 0.01 or 0; go back to a checkpoint from before.",
        opens_after=2,
    ),
)
