"""For which samples does the model do no better with their own text, or their own reference, than with another's?

A gap is the nll of a target with another sample's text, or without its own reference, − that with its own, in nats. It
tells nothing before the model uses texts (or references) at all, so a round counts only where its median over the
samples is `USED` or more. A sample is a suspect while its gap was at most a tenth of that median in each of the last
`MIN_ROUNDS` rounds that counted: its text or reference may belong to another clip.

>>> gaps = GapHistory()
>>> for step in range(3):
...     right = [SampleGap(f"sentence {number}", 1.5, 2.0, 0.4, 0.8) for number in range(7)]
...     gaps.add([*right, SampleGap("wrong", 2.5, 3.0, 0.4, -0.1)], step=step)
>>> [(hard.why, hard.text, hard.text_gap) for hard in gaps.suspects()]
[('own text does not help', 'wrong', -0.1)]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tracker_logging.metrics.hard_samples import USED, HardSample

TEXT_USELESS, REFERENCE_USELESS = "own text does not help", "own reference does not help"

LITTLE = 0.1  # share of the median
MIN_SAMPLES, MIN_ROUNDS = 4, 3


@dataclass(frozen=True, slots=True)
class SampleGap:
    """One sample in one round. `seconds`: length of the target. `nll`: with its own text and reference. A gap is None
    where it was not measured."""

    text: str
    seconds: float | None
    nll: float
    reference_gap: float | None
    text_gap: float | None

    def of(self, why: str) -> float | None:
        """The gap that `why` is about."""
        return self.text_gap if why == TEXT_USELESS else self.reference_gap


@dataclass(slots=True)
class _Entry:
    first_nll: float
    last: SampleGap
    usual: float = 0.0
    seen: int = 0
    step: int = 0
    useless: dict[str, int] = field(default_factory=dict)  # rounds in a row


class GapHistory:
    """The gaps of the same samples, round by round. One thread."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, float | None], _Entry] = {}

    def add(self, samples: Sequence[SampleGap], *, step: int) -> None:
        """The samples of one round."""
        if not samples:
            return
        usual = median(sample.nll for sample in samples)
        for sample in samples:
            entry = self._entries.setdefault((sample.text, sample.seconds), _Entry(sample.nll, sample))
            entry.last, entry.usual, entry.step = sample, usual, step
            entry.seen += 1
        for why in (TEXT_USELESS, REFERENCE_USELESS):
            gaps = [gap for sample in samples if (gap := sample.of(why)) is not None]
            if len(gaps) < MIN_SAMPLES or (usual_gap := median(gaps)) < USED:
                continue
            for sample in samples:
                gap, useless = sample.of(why), self._entries[sample.text, sample.seconds].useless
                if gap is not None:
                    useless[why] = useless.get(why, 0) + 1 if gap <= LITTLE * usual_gap else 0

    def suspects(self) -> list[HardSample]:
        """Samples whose text does not help, then those whose reference does not, the lowest gap first."""
        suspects: list[HardSample] = []
        for why in (TEXT_USELESS, REFERENCE_USELESS):
            entries = [entry for entry in self._entries.values() if entry.useless.get(why, 0) >= MIN_ROUNDS]
            for entry in sorted(entries, key=lambda entry: entry.last.of(why) or 0.0):
                last = entry.last
                suspects.append(
                    HardSample(
                        why, last.text, last.seconds, last.nll, entry.usual, entry.first_nll, entry.seen, entry.step,
                        last.reference_gap, last.text_gap,
                    )
                )  # fmt: skip
        return suspects
