"""Is there a voice prompt in the batch, and does the model use it?

>>> history = History()
>>> _ = history.add(100, {"chatml/with_reference_pct": 0.0})
>>> RULES[0].evidence(history)
'0 % of the samples have a reference (chatml/with_reference_pct)'
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.history import TRAIN_LOSS, History, has_learned
from tracker_logging.doctor.rule import Cause, Rule

PATIENCE = 20
"""Evaluations after which the gap is judged even if the loss has not fallen much: a pretrained model starts low."""
LITTLE_ATTENTION = 0.02

_GAPS = {"gap": "another speaker's reference", "gap_null": "no reference"}
_LOWS = tuple(tags.CONDITIONING_LOW(which=which) for which in _GAPS)
_HIGHS = tuple(tags.CONDITIONING_HIGH(which=which) for which in _GAPS)
_ATTENTION = tags.MASS_MEAN(query="target", key="reference")


def _reference_missing(history: History) -> str | None:
    share = history[tags.WITH_REFERENCE()].last
    return f"{share:.3g} % of the samples have a reference ({tags.WITH_REFERENCE()})" if share < 50 else None


def _reference_ignored(history: History) -> str | None:
    which = next((which for which in _GAPS if history[tags.CONDITIONING_LOW(which=which)]), None)
    if which is None:
        return None
    low, high = history[tags.CONDITIONING_LOW(which=which)], history[tags.CONDITIONING_HIGH(which=which)]
    was_used = sum(value > 0 for _, value in low.points) >= 2
    can_be_judged = was_used or len(low.points) > PATIENCE or has_learned(history)
    if low.last > 0 or not can_be_judged:
        return None
    seen = (
        f"with {_GAPS[which]} in place of the true one the nll changes by {low.last:.2g} to {high.last:.2g} nats (95 % "
        f"interval), which is not above 0 (conditioning/{which}/low, high)"
    )
    attention = history[_ATTENTION].last
    if attention < LITTLE_ATTENTION:
        seen += f"; {100 * attention:.2g} % of the target's attention falls on the reference ({_ATTENTION})"
    return seen


RULES = (
    Rule(
        name="reference_missing",
        level="error",
        certainty="certain",
        triggers=(tags.WITH_REFERENCE,),
        opens_when="fewer than half of the samples of a batch have reference audio",
        evidence=_reference_missing,
        causes=(
            Cause(
                "The reference is lost on the way into the batch: a collator that encodes the target only, or data "
                "without reference clips. The model cannot learn to clone."
            ),
        ),
        fix="put the reference clip into the sample's prompt and look for it in inputs/segments; run "
        "`tracker-logging check-data` on the training file.",
        opens_after=2,
    ),
    Rule(
        name="reference_ignored",
        level="warning",
        certainty="likely",
        triggers=_LOWS,
        also_reads=(*_HIGHS, _ATTENTION, tags.NLL_MEAN, TRAIN_LOSS),
        opens_when="the interval of the conditioning gap includes 0 or is below it, once the model has learned or had "
        "used the reference",
        evidence=_reference_ignored,
        causes=(
            Cause(
                "References are paired with targets of another speaker: shuffled, or `speaker` is only the sample's "
                "id.",
                check="in inputs/audio, reference and target are two voices",
            ),
            Cause(
                "The codes are those of another codec, so that the reference is noise to the model.",
                check="in inputs/audio, reference and target are noise, or accuracy stays near chance",
            ),
            Cause(
                "Targets can be predicted without the reference: few speakers, or one voice for all.",
                check="voices/between_speaker_real is high, or the data has fewer than about ten speakers",
            ),
        ),
        fix="pair clips by speaker, encode them with the model's own codec, and never use the target as its own "
        "reference. The loss falls all the same, but the generated voice is an average.",
        opens_after=3,
    ),
)
