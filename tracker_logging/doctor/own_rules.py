"""Rules that a user states in one line with `--alert_if`.

>>> (rule,) = own_rules(["train/loss > 9 for 2"])
>>> rule.name, rule.opens_after
('alert_if_train_loss_above_9_for_2', 2)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracker_logging.alert_condition import AlertCondition
from tracker_logging.doctor.history import History
from tracker_logging.doctor.rule import Cause, Rule

PREFIX = "alert_if_"
"""Of the names of these rules."""
_WORDS = {"<": "below", "<=": "at_most", ">": "above", ">=": "at_least"}


def own_rules(conditions: Iterable[str]) -> tuple[Rule, ...]:
    """A rule of level warning for each condition. Raises `ValueError` with the fix."""
    return tuple(_rule(AlertCondition.parse(text)) for text in dict.fromkeys(conditions))


def _rule(condition: AlertCondition) -> Rule:
    def evidence(history: History) -> str | None:
        value = history[condition.tag].last
        return f"{condition.tag} is {value:.4g}" if condition.holds(value) else None

    limit = f"{condition.limit:g}".replace("-", "minus_")
    times = f"_for_{condition.times}" if condition.times > 1 else ""
    place = f"{condition.tag}_{_WORDS[condition.sign]}_{limit}{times}"
    return Rule(
        name=f"{PREFIX}{re.sub(r'[^a-z0-9]+', '_', place.lower()).strip('_')}",
        level="warning",
        certainty="certain",
        triggers=(condition.tag,),
        opens_when=f"{condition}",
        evidence=evidence,
        causes=(Cause(f"It was asked for with --alert_if: {condition}."),),
        fix="look at the run, or change the condition.",
        opens_after=condition.times,
        closes_after=1,
        updates_seen=True,
    )
