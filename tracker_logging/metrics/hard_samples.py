"""Which training samples are hard: the highest loss, loss that does not fall, loss far above that of the others.

A sample is compared with the `WINDOW` samples that were measured before it, since the loss of all of them falls:

- highest loss: the largest differences from their median, of either sign
- does not fall: at the third measurement and later, 98 % of its first loss or more, while the median fell by a tenth
- text and audio may differ: far above the median, by a tenth and by three times the robust spread (1.4826 · MAD), at
  every one of at least two measurements; or far above it at the last one, where another sample's text was no worse
  (text gap ≤ 0) although the model uses texts: the median of `MIN_WINDOW` or more text gaps is `USED` or more

At most `MOST` samples are remembered; the one that was not measured for the longest time is forgotten first.

>>> losses = LossHistory()
>>> for number in range(20):
...     losses.add(step=number, text=f"sentence {number % 5}", nll=2.0 + 0.01 * (number % 5))
>>> losses.add(step=20, text="wrong", nll=6.0); losses.add(step=21, text="wrong", nll=5.9)
>>> losses.hardest()[0].why, losses.hardest()[0].text
('text and audio may differ', 'wrong')
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

HIGHEST, NOT_FALLING, SUSPECT = "highest loss", "loss does not fall", "text and audio may differ"

LOSS_COLUMNS = ("why", "target text", "seconds", "nll", "usual nll", "first nll", "measured", "step")
GAP_COLUMNS = ("reference gap", "text gap")  # not in runs of an earlier state
USED = 0.05  # nats: a lower median gap shows that the model does not use texts yet, or references
COLUMNS = (*LOSS_COLUMNS, *GAP_COLUMNS)
"""Of the table `inputs/hard_samples`: the fields of `HardSample`."""

WINDOW, MIN_WINDOW = 64, 8  # measurements
MOST = 20_000  # samples
SHOWN = 10  # of each kind
_FALLEN, _SAME, _ABOVE = 0.9, 0.98, 1.1
_SPREADS, _NORMAL_MAD = 3.0, 1.4826
_MIN_SEEN = {NOT_FALLING: 3, SUSPECT: 2}


@dataclass(frozen=True, slots=True)
class HardSample:
    """`seconds`: length of the target, None if it is not known. `nll` in nats, the last and the first one; `usual`: the
    median of the samples before it. `seen`: measurements. `reference_gap` and `text_gap`: as in `sample_gaps`, the last
    that were measured, or None."""

    why: str
    text: str
    seconds: float | None
    nll: float
    usual: float
    first_nll: float
    seen: int
    step: int
    reference_gap: float | None = None
    text_gap: float | None = None


_Key = tuple[str, float | None]


@dataclass(slots=True)
class _Entry:
    first_nll: float
    first_usual: float
    nll: float = 0.0
    usual: float = 0.0
    seen: int = 0
    far: int = 0
    step: int = 0
    reference_gap: float | None = None
    text_gap: float | None = None
    text_is_useless: bool = False

    @property
    def above(self) -> float:
        return self.nll - self.usual


class LossHistory:
    """Losses of samples, told apart by text and length. One thread."""

    def __init__(self) -> None:
        self._entries: dict[_Key, _Entry] = {}
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._text_gaps: deque[float] = deque(maxlen=WINDOW)

    def add(
        self, *, step: int, text: str, nll: float, seconds: float | None = None,
        reference_gap: float | None = None, text_gap: float | None = None,
    ) -> None:  # fmt: skip
        """A measurement, in nats; the first `MIN_WINDOW` only tell what is usual. Gaps as in `sample_gaps`."""
        uses_texts = len(self._text_gaps) >= MIN_WINDOW and median(self._text_gaps) >= USED
        if text_gap is not None:
            self._text_gaps.append(text_gap)
        before = list(self._window)
        self._window.append(nll)
        if len(before) < MIN_WINDOW:
            return
        usual = median(before)
        spread = _NORMAL_MAD * median(abs(value - usual) for value in before)
        entry = self._entries.pop((text, seconds), None) or _Entry(nll, usual)
        self._entries[text, seconds] = entry  # the last of the dict: measured most recently
        entry.nll, entry.usual, entry.step = nll, usual, step
        entry.seen += 1
        is_far = nll > _ABOVE * usual and nll > usual + _SPREADS * spread
        entry.far += is_far
        if reference_gap is not None:
            entry.reference_gap = reference_gap
        if text_gap is not None:
            entry.text_gap, entry.text_is_useless = text_gap, is_far and uses_texts and text_gap <= 0
        if len(self._entries) > MOST:
            del self._entries[next(iter(self._entries))]

    def hardest(self) -> list[HardSample]:
        """At most `SHOWN` samples of each kind, each sample once, suspects first; within a kind the hardest first."""
        ordered = sorted(self._entries.items(), key=lambda item: -item[1].above)
        kinds = {why: [item for item in ordered if _is(item[1], why)] for why in (SUSPECT, NOT_FALLING, HIGHEST)}
        chosen: dict[_Key, HardSample] = {}
        for why, items in kinds.items():
            for key, entry in [item for item in items if item[0] not in chosen][:SHOWN]:
                chosen[key] = HardSample(
                    why, *key, entry.nll, entry.usual, entry.first_nll, entry.seen, entry.step,
                    entry.reference_gap, entry.text_gap,
                )  # fmt: skip
        return list(chosen.values())


def _is(entry: _Entry, why: str) -> bool:
    if why == SUSPECT and entry.text_is_useless:
        return True
    if entry.seen < _MIN_SEEN.get(why, 1):
        return False
    if why == SUSPECT:
        return entry.far == entry.seen
    if why == NOT_FALLING:
        return entry.usual <= _FALLEN * entry.first_usual and entry.nll >= _SAME * entry.first_nll
    return True
