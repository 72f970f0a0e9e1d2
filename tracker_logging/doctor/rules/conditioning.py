"""Is the voice prompt there, and is it used?

rule.evidence(history)      # "the gap between another's and the true reference is −0.01 to 0.02 nats (…)"
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.history import TRAIN_LOSS, History, has_learned
from tracker_logging.doctor.rule import Rule

PATIENCE = 20
"""Looks after which the gap is judged even if the loss has not fallen much: a pretrained model starts low."""
LITTLE_ATTENTION = 0.02

_GAPS = {"gap": "another speaker's", "gap_null": "no"}
_LOWS = tuple(tags.CONDITIONING_LOW(which=which) for which in _GAPS)
_HIGHS = tuple(tags.CONDITIONING_HIGH(which=which) for which in _GAPS)
_ATTENTION = tags.MASS_MEAN(query="target", key="reference")


def _reference_ignored(history: History) -> str | None:
    which = next((which for which in _GAPS if history[tags.CONDITIONING_LOW(which=which)]), None)
    if which is None:
        return None
    low, high = history[tags.CONDITIONING_LOW(which=which)], history[tags.CONDITIONING_HIGH(which=which)]
    was_used = sum(value > 0 for _, value in low.points) >= 2
    is_time = was_used or len(low.points) > PATIENCE or has_learned(history, nll=tags.NLL_MEAN())
    if low.last > 0 or not is_time:
        return None
    seen = (
        f"with {_GAPS[which]} reference in place of the true one the loss changes by {low.last:.2g} to {high.last:.2g} "
        f"nats, which holds 0 or is below it (conditioning/{which}/low, high)"
    )
    attention = history[_ATTENTION].last
    if attention < LITTLE_ATTENTION:
        seen += f"; {100 * attention:.2g} % of the target's attention falls on the reference ({_ATTENTION})"
    return seen


def _reference_missing(history: History) -> str | None:
    share = history[tags.WITH_REFERENCE()].last
    return f"{share:.3g} % of the samples have a reference ({tags.WITH_REFERENCE()})" if share < 50 else None


RULES = (
    Rule(
        name="reference_missing",
        level="error",
        certainty="certain",
        looks_at=(tags.WITH_REFERENCE,),
        opens_when="fewer than half of the samples of a batch have reference audio",
        evidence=_reference_missing,
        cause="the reference is dropped on the way into the batch: a collator that encodes the target only, or data "
        "without reference clips. The model cannot learn to clone.",
        cure="put the reference clip into the sample's prompt and look for it in inputs/segments; run "
        "`tracker-logging check-data` on the training file.",
        opens_after=2,
    ),
    Rule(
        name="reference_ignored",
        level="warning",
        certainty="likely",
        looks_at=_LOWS,
        also_reads=(*_HIGHS, _ATTENTION, tags.NLL_MEAN, TRAIN_LOSS),
        opens_when="the interval of the conditioning gap holds 0, once the model has learned or had used the reference",
        evidence=_reference_ignored,
        cause="the reference tells nothing about the target: references paired with targets of another speaker "
        "(shuffled, or a `speaker` that is only the sample's id), or targets that can be guessed without it. The loss "
        "falls all the same; the voice will be an average.",
        cure="listen to reference and target in inputs/audio: they must be the same speaker. Pair clips by speaker, "
        "and never take the target itself as reference.",
        opens_after=3,
    ),
)
