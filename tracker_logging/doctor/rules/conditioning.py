"""Is there a voice prompt in the batch, and does the model use it? Does it use the text?

>>> history = History()
>>> _ = history.add(100, {"chatml/with_reference_pct": 0.0})
>>> _without_reference(history)
'0 % of the samples have a reference (chatml/with_reference_pct)'
"""

from __future__ import annotations

import math

from tracker_logging import tags
from tracker_logging.doctor.history import TRAIN_LOSS, History, Series, has_learned
from tracker_logging.doctor.rule import Cause, Rule
from tracker_logging.doctor.rules.learning import surprised

PATIENCE = 20
"""Evaluations after which the gap is judged even if the loss has not fallen much: a pretrained model starts low."""
LARGE_GAP = 0.1  # of the nll: that of a model that uses the reference, though few prompts leave its interval wide
MOST_CLIPS, RARE_BY_CHANCE = 0.5, 0.2
"""Share of the clips that are nearest to their own reference, which shows that references are used; and its chance."""
LITTLE_ATTENTION = 0.02
FADED = 0.5
"""Share of the first conditioning gap, below which most of the reference's effect is lost."""
FEW_WINS, MANY_WINS = 0.7, 0.85
"""Shares of the prompts whose own text is better than another's: 0.5 is chance, a model that reads has nearly 1."""
MIN_PROMPTS = 4
RARE = 0.01
"""Probability below which batches without references are no chance of a recipe that mixes samples with and without."""

_GAPS = {"gap": "another speaker's reference", "gap_null": "no reference"}
_MEANS = {"gap": tags.CONDITIONING_GAP_MEAN(), "gap_null": tags.CONDITIONING_GAP_NULL()}
_LOWS = tuple(tags.CONDITIONING_LOW(which=which) for which in _GAPS)
_HIGHS = tuple(tags.CONDITIONING_HIGH(which=which) for which in _GAPS)
_CLIPS = (tags.SPK_TOP1, tags.SPK_TOP1_CHANCE)
_CLONING = (tags.CONDITIONING_GAP_NULL(), tags.CONDITIONING_GAP_MEAN(), tags.VOICE_SCORE(score="sim_o"))
_TEXT_LOW, _TEXT_HIGH = tags.CONDITIONING_LOW(which="text_gap"), tags.CONDITIONING_HIGH(which="text_gap")
_TEXT_N = tags.CONDITIONING_N(which="text_gap")
_ATTENTION = tags.MASS_MEAN(query="target", key="reference")


def _without_reference(history: History) -> str | None:
    share = history[tags.WITH_REFERENCE()].last
    return f"{share:.3g} % of the samples have a reference ({tags.WITH_REFERENCE()})" if share < 50 else None


def _is_cloning(history: History) -> bool:
    """Whether references are part of this training: cloning is evaluated, or other batches had references."""
    had_references = any(share >= 50 for _, share in history[tags.WITH_REFERENCE()].points)
    return had_references or any(history[tag] for tag in _CLONING)


def _is_mixed(history: History) -> bool:
    """Whether samples without a reference are part of the recipe: batches with some references came twice, or a run of
    batches without is as long as chance makes it by the share of the batches before."""
    shares = [share for _, share in history[tags.WITH_REFERENCE()].points]
    missing = next((at for at, share in enumerate(reversed(shares)) if share >= 50), len(shares))
    before = shares[: len(shares) - missing]
    by_chance = bool(before) and (1 - sum(before) / (100 * len(before))) ** missing > RARE
    return by_chance or sum(0 < share < 100 for share in shares) >= 2


def _reference_missing(history: History) -> str | None:
    return _without_reference(history) if _is_cloning(history) and not _is_mixed(history) else None


def _trained_without_reference(history: History) -> str | None:
    return _without_reference(history) if _is_mixed(history) or not _is_cloning(history) else None


def _measured_gap(history: History) -> str | None:
    """Which gap tells whether the reference is used."""
    return next((which for which in _GAPS if history[tags.CONDITIONING_LOW(which=which)]), None)


def _ends(history: History, which: str) -> tuple[Series, Series]:
    """Of the 95 % interval of a gap."""
    return history[tags.CONDITIONING_LOW(which=which)], history[tags.CONDITIONING_HIGH(which=which)]


def _reference_fades(history: History) -> str | None:
    which = _measured_gap(history)
    if which is None:
        return None
    mean, low, high = history[_MEANS[which]], *_ends(history, which)
    if not (low.first > 0 and high.last < FADED * mean.first):
        return None
    return (
        f"with {_GAPS[which]} in place of the true one the nll changes by {mean.last:.2g} [{low.last:.2g}, "
        f"{high.last:.2g}] nats, and by {mean.first:.2g} [{low.first:.2g}, {high.first:.2g}] when training began "
        f"({_MEANS[which]})"
    )


def _reference_ignored(history: History) -> str | None:
    which = _measured_gap(history)
    if which is None:
        return None
    low, high = _ends(history, which)
    was_used = sum(value > 0 for _, value in low.points) >= 2
    can_be_judged = was_used or len(low.points) > PATIENCE or has_learned(history)
    is_large = (low.last + high.last) / 2 > LARGE_GAP * history[tags.NLL_MEAN()].last
    if low.last > 0 or is_large or not can_be_judged or _most_clips_have_their_voice(history):
        return None
    seen = (
        f"with {_GAPS[which]} in place of the true one the nll changes by {low.last:.2g} to {high.last:.2g} nats (95 % "
        f"interval), which is not above 0 (conditioning/{which}/low, high)"
    )
    attention = history[_ATTENTION].near(low.step)
    if attention < LITTLE_ATTENTION:
        seen += f"; {100 * attention:.2g} % of the target's attention falls on the reference ({_ATTENTION})"
    return seen


def _most_clips_have_their_voice(history: History) -> bool:
    right, chance = history[tags.SPK_TOP1()], history[tags.SPK_TOP1_CHANCE()]
    return bool(right) and right.last >= MOST_CLIPS and chance.last <= RARE_BY_CHANCE


def _text_ignored(history: History) -> str | None:
    gap, wins = history[tags.TEXT_GAP_MEAN()], history[tags.TEXT_WIN_RATE()]
    was_used = sum(share >= MANY_WINS for _, share in wins.points) >= 2
    can_be_judged = was_used or len(wins.points) > PATIENCE or has_learned(history)
    if not can_be_judged or history[_TEXT_N].last < MIN_PROMPTS or not wins.recent < FEW_WINS:
        return None
    low, high = (history[end].on(wins.step) for end in (_TEXT_LOW, _TEXT_HIGH))
    if low > 0:
        return None
    interval = "" if math.isnan(low) else f" ({low:.2g} to {high:.2g}, 95 % interval)"
    return (
        f"with another sample's text in place of its own the nll changes by {gap.last:.2g} nats{interval}, and the own "
        f"text is better for {100 * wins.recent:.0f} % of the prompts, where 50 % is chance ({tags.TEXT_GAP_MEAN()}, "
        f"{tags.TEXT_WIN_RATE()})"
    )


RULES = (
    Rule(
        name="reference_missing",
        level="warning",
        certainty="likely",
        triggers=(tags.WITH_REFERENCE,),
        also_reads=_CLONING,
        opens_when="fewer than half of the samples of a batch have reference audio, while cloning is evaluated or "
        "other batches have references, unless samples with and without a reference are mixed",
        evidence=_reference_missing,
        causes=(
            Cause(
                "The collator drops the reference or encodes the target only. The model cannot learn to clone.",
                check="`tracker-logging check-data` finds references in the training file",
            ),
            Cause("The data has no reference clips.", check="`tracker-logging check-data` finds reference_missing"),
        ),
        fix="put the reference clip into the sample's prompt and look for it in inputs/segments; run "
        "`tracker-logging check-data` on the training file.",
        opens_after=2,
    ),
    Rule(
        name="trained_without_reference",
        level="info",
        certainty="possible",
        triggers=(tags.WITH_REFERENCE,),
        also_reads=_CLONING,
        opens_when="fewer than half of the samples of a batch have reference audio, and nothing shows that cloning is "
        "wanted, or samples with and without a reference are mixed",
        evidence=_trained_without_reference,
        causes=(
            Cause(
                "It is a single-turn recipe, which trains voices without cloning them, or one that mixes such samples "
                "with cloning.",
                check="you chose it",
            ),
            Cause("The reference is dropped on the way into the batch.", check="the data has reference clips"),
        ),
        fix="nothing, for a single-turn recipe; for cloning put the reference clip into the sample's prompt.",
        opens_after=2,
    ),
    Rule(
        name="reference_fades",
        level="warning",
        certainty="likely",
        triggers=_LOWS,
        also_reads=(*_HIGHS, *_MEANS.values()),
        opens_when="the interval of the conditioning gap is below half of the gap with which training began",
        evidence=_reference_fades,
        causes=(
            Cause(
                "References are paired with targets of another speaker, so that training undoes cloning.",
                check="in inputs/audio, reference and target are two voices",
            ),
            Cause(
                "The training data has few speakers, or one: the voice can be told without the reference.",
                check="the similarity of trained voices rises, and that of unseen ones falls (voices/group/…)",
            ),
            Cause(
                "The base model is forgotten: all weights are trained, at a high rate.",
                check="the fall begins in the first rounds, and is smaller at a tenth of the learning rate",
            ),
        ),
        fix="pair clips by speaker; with few speakers train fewer steps, at a lower rate or with --use_lora, and mix "
        "other speakers in. Nothing, if the model is to have one voice.",
        opens_after=3,
    ),
    Rule(
        name="reference_ignored",
        level="warning",
        certainty="likely",
        triggers=_LOWS,
        also_reads=(*_HIGHS, *_CLIPS, _ATTENTION, tags.NLL_MEAN, TRAIN_LOSS, tags.NLL, tags.ENTROPY),
        opens_when="the interval of the conditioning gap includes 0 or is below it, with a middle below a tenth of the "
        "nll, once the model has learned or had used the reference, unless most generated clips are nearest to their "
        "own reference",
        evidence=_reference_ignored,
        causes=(
            Cause(
                "References are paired with targets of another speaker: shuffled, or `speaker` is only the sample's "
                "id.",
                check="in inputs/audio, reference and target are two voices",
            ),
            Cause(
                "The codes are those of another codec, so that the reference is noise to the model.",
                check="outputs/nll was far above outputs/entropy at the first logged step of a pretrained model, or in "
                "inputs/audio reference and target are noise",
                observed=surprised,
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
    Rule(
        name="text_ignored",
        level="warning",
        certainty="likely",
        triggers=(tags.TEXT_WIN_RATE,),
        also_reads=(tags.TEXT_GAP_MEAN, _TEXT_LOW, _TEXT_HIGH, _TEXT_N, tags.NLL_MEAN, TRAIN_LOSS),
        opens_when="fewer than 70 % of the prompts prefer their own text to another sample's, and the interval of the "
        "text gap is not above 0, once the model has learned or had used the text",
        evidence=_text_ignored,
        causes=(
            Cause(
                "The texts belong to other clips: shifted by a row, or shuffled.",
                check="`tracker-logging check-data` finds texts_shifted or texts_unrelated, or the words of "
                "inputs/audio are not those of inputs/samples",
            ),
            Cause(
                "The text is lost on the way into the batch: replaced, emptied or masked from the attention.",
                check="inputs/samples does not show the target's text, or attention/mass/target_to_text is 0",
            ),
            Cause(
                "The text is in another language or script than the tokenizer knows.",
                check="inputs/samples shows unknown tokens or single bytes",
            ),
            Cause(
                "The model has not learned to read yet.",
                check="conditioning/text_win_rate rises from round to round",
            ),
        ),
        fix="put each text beside its own clip, and look for it in inputs/samples. The loss falls all the same, and "
        "voices may be right while the words are not: judge by voices/wer.",
        opens_after=3,
    ),
)
