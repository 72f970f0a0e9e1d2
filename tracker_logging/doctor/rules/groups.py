"""How a fine-tuned model clones voices that it was not trained on, against the base model.

>>> history = History()
>>> margins = {"voices/group/trained/sim_margin": 0.1, "voices/group/unseen/sim_margin": 0.3}
>>> base = {"voices/group/unseen/sim_margin/low": 0.25, "voices/group/unseen/sim_margin/high": 0.35}
>>> tuned = {"voices/group/trained/sim_margin": 0.4, "voices/group/unseen/sim_margin": 0.1}
>>> _ = history.add(0, margins | base), history.add(100, tuned)
>>> RULES[0].evidence(history)[:78]
'the similarity margin of unseen voices has fallen from 0.300 [0.250, 0.350] at'
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.history import History, Series
from tracker_logging.doctor.rule import Cause, Rule

FALLEN = 0.9
"""Share of the base's margin, below which a fall matters, however narrow the interval."""
_MARGIN = tags.GROUP_SCORE.filled(score="sim_margin")
_LOW = tags.PART_LOW.filled(kind="group", score="sim_margin")
_HIGH = tags.PART_HIGH.filled(kind="group", score="sim_margin")


def _others_lost(history: History) -> str | None:
    """A group of unseen voices is below its interval of the first round, while one of trained voices has risen."""
    step, now = history.newest(_MARGIN)
    margins, lows, highs = (history.family(tag) for tag in (_MARGIN, _LOW, _HIGH))

    risen = next((name for name in now if name.startswith(tags.TRAINED) and now[name] > margins[name].first), None)
    if risen is None:
        return None
    for group in now:
        first, low = margins[group], lows.get(group)
        if not group.startswith(tags.UNSEEN) or low is None or _begin(low) != _begin(first):
            continue
        if now[group] < low.first and now[group] < FALLEN * first.first:
            return (
                f"the similarity margin of {group} voices has fallen from {first.first:.3f} [{low.first:.3f}, "
                f"{highs[group].first:.3f}] at step {_begin(first)} to {now[group]:.3f} at step {step}, while that of "
                f"{risen} voices has risen from {margins[risen].first:.3f} to {now[risen]:.3f} ({_MARGIN(group=group)})"
            )
    return None


def _begin(series: Series) -> int:
    """The step of the first round."""
    return series.points[0][0]


RULES = (
    Rule(
        name="cloning_others_lost",
        level="warning",
        certainty="likely",
        triggers=(_MARGIN,),
        also_reads=(_LOW, _HIGH),
        opens_when="the similarity margin of a group of unseen voices is below the 95 % interval of the first round, "
        "and by a tenth, while that of a group of trained voices has risen, two rounds in a row",
        evidence=_others_lost,
        causes=(
            Cause(
                "The model overfits to the voices that it is trained on.",
                check="eval/loss rises while train/loss falls, or an earlier round of the unseen voices was better",
            ),
            Cause(
                "All weights are trained, at a rate at which those of the base model are forgotten.",
                check="the fall begins in the first rounds, and is smaller at a tenth of the learning rate",
            ),
            Cause(
                "The training data has few speakers, so that the voice can be told without the reference.",
                check="conditioning/gap/mean falls, and `tracker-logging check-data` shows few speakers",
            ),
        ),
        fix="take the checkpoint before the fall (voices/group/…/sim_margin), train fewer steps or with --use_lora, "
        "and mix recordings of other speakers into the training data.",
        opens_after=2,
        updates_seen=True,
    ),
)
