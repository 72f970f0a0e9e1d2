"""The conditioning gap over the prompts as scalars, with n and a 95 % bootstrap interval.

The interval is over speakers: prompts of one speaker are no independent proof.

    values = conditioning_scalars(losses, speakers)
    values["conditioning/gap/mean"]     # nats; its interval above zero = the voice prompt is used
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracker_logging import tags
from tracker_logging.metrics.interval import grouped_interval
from tracker_logging.voices.conditioning import Condition, Losses, gap


def conditioning_scalars(losses: Losses, speakers: Mapping[str, str]) -> dict[str, float]:
    """Scalars by tag; empty without a prompt that has a target recording. `speakers`: voice id -> speaker."""
    values: dict[str, float] = {}
    conditions: tuple[tuple[str, tags.Tag, Condition], ...] = (
        ("gap", tags.CONDITIONING_GAP_MEAN, "other"),
        ("gap_null", tags.CONDITIONING_GAP_NULL, "none"),
    )
    for which, tag, condition in conditions:
        gaps = gap(losses, condition)
        groups = [speakers[voice] for voice, own in losses.items() if condition in own and "own" in own]
        interval = grouped_interval(gaps.mean(axis=1), groups) if len(gaps) else None
        if interval is None:
            continue
        values[tag()] = interval.mean
        values[tags.CONDITIONING_N(which=which)] = float(interval.n)
        for end, bound in ((tags.CONDITIONING_LOW, interval.low), (tags.CONDITIONING_HIGH, interval.high)):
            if bound is not None:
                values[end(which=which)] = bound
    others = gap(losses, "other")
    if len(others):
        values[tags.CONDITIONING_WIN_RATE()] = float((others.mean(axis=1) > 0).mean())
        for codebook, column in enumerate(others.T):
            values[tags.CONDITIONING_GAP(codebook=codebook)] = float(np.mean(column))
            values[tags.CONDITIONING_WINS(codebook=codebook)] = float((column > 0).mean())
    return values
