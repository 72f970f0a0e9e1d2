"""Where to put numbers along an axis, and how to write them.

>>> [written(tick, [0.0, 0.2]) for tick in nice_ticks(0.0, 0.93, count=5)]
['0', '0.2', '0.4', '0.6', '0.8']
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def nice_ticks(low: float, high: float, *, count: int) -> list[float]:
    """About `count` round values within [low, high]; one value where the ends are equal or not finite."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return [low if math.isfinite(low) else 0.0]
    rough = (high - low) / max(1, count)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)] or [low, high]


def written(value: float, ticks: Sequence[float]) -> str:
    """`value` with enough decimals to distinguish the ticks."""
    largest = max(abs(tick) for tick in ticks)
    gap = min((b - a for a, b in pairwise(ticks)), default=largest)
    if largest and (largest >= 1e5 or largest < 1e-3):
        return f"{value:.2g}"
    decimals = 0 if gap <= 0 else max(0, -math.floor(math.log10(gap) + 1e-9))
    text = f"{value:.{min(decimals + (round(gap * 10**decimals, 6) % 1 > 0), 6)}f}"
    return "0" if float(text) == 0 else text


def thinned(count: int, pitch: float, room: float) -> range:
    """Indices of those of `count` labels, `pitch` pixels apart, that have `room` pixels each; the step is round."""
    wanted = room / pitch if pitch > 0 else count
    magnitude = 1
    while True:
        for factor in (1, 2, 5):
            if factor * magnitude >= wanted:
                return range(0, count, factor * magnitude)
        magnitude *= 10
