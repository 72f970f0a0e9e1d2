"""Alerts of one's own: `--alert_if "voices/spk_top1 < 0.5 for 2"`.

>>> AlertCondition.parse("voices/spk_top1 < 0.5 for 2")
AlertCondition(tag='voices/spk_top1', sign='<', limit=0.5, times=2)
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*(?P<tag>[^\s<>=]+)\s*(?P<sign><=|>=|<|>)\s*(?P<limit>\S+)(?:\s+for\s+(?P<times>\d+))?\s*")


@dataclass(frozen=True)
class AlertCondition:
    """It holds when `times` values of `tag` in a row are on that side of `limit`."""

    tag: str
    sign: str
    limit: float
    times: int = 1

    @classmethod
    def parse(cls, text: str) -> AlertCondition:
        """Raises `ValueError` with the fix."""
        match = _CONDITION.fullmatch(text)
        try:
            if match is None or not math.isfinite(limit := float(match["limit"])) or match["times"] == "0":
                raise ValueError
        except ValueError:
            raise ValueError(
                f"alert_if: {text!r} is no condition. Fix: TAG, one of {' '.join(SIGNS)}, a number, and optionally "
                '"for N", as in "voices/spk_top1 < 0.5 for 2".'
            ) from None
        return cls(match["tag"], match["sign"], limit, int(match["times"] or 1))

    def __str__(self) -> str:
        return f"{self.tag} {self.sign} {self.limit:g}" + (f" for {self.times}" if self.times > 1 else "")

    def holds(self, value: float) -> bool:
        """Whether one value is on that side; one that is not a number is not."""
        return SIGNS[self.sign](value, self.limit)
