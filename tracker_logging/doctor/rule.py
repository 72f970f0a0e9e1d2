"""A rule of the doctor: a pure function over the logged numbers, and the text of the finding that it opens.

- A rule is evaluated when one of its `triggers` has a value for a new step; else nothing opens or closes.
- A finding opens after `opens_after` evaluations with evidence in a row and closes after `closes_after` without. One
  evaluation is enough only where the value cannot be noise, such as a non-finite number or a wrong label.
- A rule whose cause is not proven by its evidence ranks at least two causes, each with the observation that tells it
  from the others. A cause whose observation is among the logged numbers already is named first.

>>> rule = Rule(
...     name="learning_rate_zero", level="error", certainty="likely", triggers=("train/learning_rate",),
...     opens_when="the learning rate is 0", evidence=lambda history: None, fix="raise max_steps.",
...     causes=(Cause("the schedule ended.", check="it was above 0"), Cause("it was set to 0.", check="always 0")),
... )
>>> rule.cause()
'(1) the schedule ended. Check: it was above 0. (2) it was set to 0. Check: always 0.'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tracker_logging.doctor.finding import Certainty, Finding, Level, title
from tracker_logging.doctor.history import History
from tracker_logging.tags import Tag


@dataclass(frozen=True, slots=True)
class Cause:
    """`text`: one or more sentences. `check`: the observation that decides for this cause, empty for a proven one.

    `observed`: whether the logged numbers show that observation; None where they cannot.
    """

    text: str
    check: str = ""
    observed: Callable[[History], bool] | None = None


def above(limit: float, tag: Tag, text: str) -> Callable[[History], str | None]:
    """Evidence while the newest value of `tag` is above `limit`; `text` describes it, with the number as `{value}`.

    >>> from tracker_logging import tags
    >>> history = History()
    >>> _ = history.add(1, {"throughput/data_wait_pct": 45.0})
    >>> above(30.0, tags.DATA_WAIT, "it waits {value:.0f} % of the time")(history)
    'it waits 45 % of the time (throughput/data_wait_pct)'
    """

    def evidence(history: History) -> str | None:
        value = history[tag()].last
        return f"{text.format(value=value)} ({tag()})" if value > limit else None

    return evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One problem that a training can have.

    `evidence` returns the measured evidence with its numbers, as part of a sentence, or None. It and `Cause.observed`
    may read the tags of `triggers` and `also_reads`. `opens_when` describes the evidence in the documentation.
    `causes`: most likely first. `updates_seen`: while the finding is open, its `seen` follows the newest evidence;
    otherwise it stays the first one.
    """

    name: str
    level: Level
    certainty: Certainty
    triggers: tuple[Tag | str, ...]
    opens_when: str
    evidence: Callable[[History], str | None]
    causes: tuple[Cause, ...]
    fix: str
    also_reads: tuple[Tag | str, ...] = ()
    opens_after: int = 1
    closes_after: int = 2
    updates_seen: bool = False

    @property
    def title(self) -> str:
        """The name as a heading."""
        return title(self.name)

    @property
    def reads(self) -> tuple[Tag | str, ...]:
        """Every tag or family of tags that the evidence may read."""
        return (*self.triggers, *self.also_reads)

    def cause(self, history: History | None = None) -> str:
        """The cause; several of them numbered, each with its check, those that `history` shows first."""
        if len(self.causes) == 1:
            return self.causes[0].text
        shown = [cause for cause in self.causes if history and cause.observed and cause.observed(history)]
        others = [cause for cause in self.causes if cause not in shown]
        ranked = [("Seen", cause) for cause in shown] + [("Check", cause) for cause in others]
        return " ".join(
            f"({rank}) {cause.text} {word}: {cause.check}." for rank, (word, cause) in enumerate(ranked, start=1)
        )

    def finding(self, seen: str, *, since: int, history: History | None = None) -> Finding:
        """The finding that this rule opens."""
        return Finding(
            name=self.name,
            level=self.level,
            seen=seen,
            cause=self.cause(history),
            fix=self.fix,
            certainty=self.certainty,
            since=since,
        )
