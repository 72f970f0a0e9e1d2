"""Do the texts of a file belong to their clips? Longer texts take longer, whatever the clips sound like.

- How many letters a second is usual in the file is compared with what people read: a wrong sample rate of all clips
  makes all of them too fast or too slow.
- Compared is the correlation of the logarithms of letters and seconds over the targets of a file, for the texts where
  they are and moved by up to `FARTHEST` rows. Headers are enough.
- Nothing is found in a file of fewer than `MIN_ROWS` clips, or whose texts have nearly the same length.

>>> letters = np.exp(np.random.default_rng(0).normal(4.0, 0.5, 40))
>>> fit = best_shift(letters, np.roll(letters, 1) / 14.0)
>>> fit.shift, round(fit.correlation, 2)
(1, 1.0)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.rows import Rows

Numbers = npt.NDArray[np.float64]

MIN_ROWS = 16
FARTHEST = 3
MIN_SPREAD = 0.12
"""Standard deviation of the logarithm of letters and of seconds; below, all clips are about as long."""
FITS, GAIN = 0.6, 0.3
SLOW_PER_S, FAST_PER_S = 5.0, 20.0
"""Weighted letters per second; read English has 11 to 15."""
UNRELATED = 0.5
"""Healthy files have 0.8 and more; reported is a correlation whose 99 % interval ends below this."""
_Z = 2.6


@dataclass(frozen=True, slots=True)
class Fit:
    """`shift`: a clip has the text of the row this many rows before it (0: its own); `correlation` there and `own`."""

    shift: int
    correlation: float
    own: float
    rows: int


def best_shift(letters: Numbers, seconds: Numbers) -> Fit | None:
    """The number of rows by which the texts fit the clips best; None where nothing can be told.

    `letters` and `seconds` [n] of the clips of a file, in its order; rows with a zero are left out of each comparison.
    """
    known = (letters > 0) & (seconds > 0)
    if known.sum() < MIN_ROWS:
        return None
    logs = [np.log(np.where(known, values, 1.0)) for values in (letters, seconds)]
    if min(float(values[known].std()) for values in logs) < MIN_SPREAD:
        return None
    fits = {}
    for shift in range(-FARTHEST, FARTHEST + 1):
        both = known & np.roll(known, shift)
        texts, clips = np.roll(logs[0], shift)[both], logs[1][both]
        if len(clips) >= MIN_ROWS and texts.std() > 0 < clips.std():
            fits[shift] = float(np.corrcoef(texts, clips)[0, 1])
    if 0 not in fits:
        return None
    best = max(fits, key=lambda shift: (fits[shift], -abs(shift)))
    return Fit(best, fits[best], fits[0], int(known.sum()))


def targets_of(rows: Rows) -> tuple[Numbers, Numbers]:
    """Weighted letters and seconds of the targets, in order; 0 where a sample has none."""
    seconds = np.append(rows.shared.clips.seconds, 0.0)  # the last is that of NONE
    return rows.column("target_letters").astype(np.float64), seconds[rows.column("target")]


def order_findings(letters: Numbers, seconds: Numbers, place: Place) -> Iterator[DataFinding]:
    """Texts that fit the clips of other rows, or no clips at all. Arguments as for `best_shift`."""
    fit = best_shift(letters, seconds)
    yield from _usual_pace(letters, seconds, place)
    if fit is None:
        return
    own = f"letters and seconds have a correlation of {fit.own:.2f} in {fit.rows} rows"
    if fit.shift and fit.correlation > max(FITS, fit.own + GAIN):
        where = "before" if fit.shift > 0 else "after"
        rows = f"{abs(fit.shift)} row{'s' if abs(fit.shift) > 1 else ''}"
        seen = f"{own}, with the text of {rows} {where} each clip {fit.correlation:.2f}"
        yield checks.TEXTS_SHIFTED.at(place, seen=seen, field="target text")
    elif math.tanh(math.atanh(min(fit.own, 0.999)) + _Z / math.sqrt(fit.rows - 3)) < UNRELATED:
        yield checks.TEXTS_UNRELATED.at(place, seen=own, field="target text")


def _usual_pace(letters: Numbers, seconds: Numbers, place: Place) -> Iterator[DataFinding]:
    known = (letters > 0) & (seconds > 0)
    if known.sum() < MIN_ROWS:
        return
    usual = float(np.median(letters[known] / seconds[known]))
    if not SLOW_PER_S <= usual <= FAST_PER_S:
        yield checks.PACE_OF_FILE.at(place, seen=f"{usual:.1f} letters/s in most of {int(known.sum())} targets")
