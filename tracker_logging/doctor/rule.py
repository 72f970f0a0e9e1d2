"""What a rule of the doctor is: a value with one pure function, and the words that its finding will have.

- A rule looks when one of its `looks_at` has a value for a new step; without a new measurement nothing opens or closes.
- A finding opens after `opens_after` looks with evidence in a row and closes after `closes_after` looks without. One
  look opens it only where the evidence is certain by itself, such as a non-finite value or a wrong label.

    Rule(
        name="learning_rate_zero", level="error", certainty="certain", looks_at=(LEARNING_RATE,),
        opens_when="the learning rate is 0", evidence=zero_rate, cause="…", cure="…", opens_after=3,
    )
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tracker_logging.doctor.finding import Certainty, Finding, Level, title
from tracker_logging.doctor.history import History
from tracker_logging.tags import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that can go wrong in a training.

    `evidence` gives what is seen now, with its numbers and as part of a sentence, or None. It may read the tags of
    `looks_at` and `also_reads`. `opens_when` says in the documentation what counts as evidence.
    """

    name: str
    level: Level
    certainty: Certainty
    looks_at: tuple[Tag | str, ...]
    opens_when: str
    evidence: Callable[[History], str | None]
    cause: str
    cure: str
    also_reads: tuple[Tag | str, ...] = ()
    opens_after: int = 1
    closes_after: int = 2

    @property
    def title(self) -> str:
        """The name as a heading."""
        return title(self.name)

    @property
    def reads(self) -> tuple[Tag | str, ...]:
        """Every tag or family of tags that the evidence is made of."""
        return (*self.looks_at, *self.also_reads)

    def finding(self, seen: str, *, since: int) -> Finding:
        """The finding that this rule opens."""
        return Finding(
            name=self.name,
            level=self.level,
            seen=seen,
            cause=self.cause,
            cure=self.cure,
            certainty=self.certainty,
            since=since,
        )
