"""Krippendorff's alpha: how far raters agree beyond chance. 1 is perfect agreement, 0 what chance gives.

Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011); A. F. Hayes & K. Krippendorff,
"Answering the Call for a Standard Reliability Measure for Coding Data" (2007). Any number of raters; ratings may be
missing. The example of the former, four observers of twelve units:

>>> import numpy as np
>>> nan = np.nan
>>> ratings = np.array([
...     [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
...     [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
...     [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
...     [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan]])
>>> [round(krippendorff_alpha(ratings, level), 3) for level in ("nominal", "interval")]
[0.743, 0.849]
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Level: TypeAlias = Literal["nominal", "interval"]


def krippendorff_alpha(ratings: npt.NDArray[np.float64], level: Level) -> float | None:
    """Alpha of `ratings` [raters, units], NaN where missing; `level`: of measurement (categories, or equal steps).

    None where no unit has two ratings, or all ratings are the same: agreement beyond chance is then not defined.
    """
    counts = np.isfinite(ratings).sum(axis=0)
    paired = ratings[:, counts >= 2]
    values, places = np.unique(paired[np.isfinite(paired)], return_inverse=True)
    if len(values) < 2:
        return None
    of_unit = np.nonzero(np.isfinite(paired))[1]
    units = np.zeros((paired.shape[1], len(values)))  # how often a unit got a value
    np.add.at(units, (of_unit, places), 1.0)
    within = units.T @ (units / (units.sum(axis=1, keepdims=True) - 1.0))
    within -= np.diag((units / (units.sum(axis=1, keepdims=True) - 1.0)).sum(axis=0))
    total = units.sum(axis=0)
    expected = (np.outer(total, total) - np.diag(total)) / (total.sum() - 1.0)
    distance = (values[:, None] - values) ** 2 if level == "interval" else 1.0 - np.eye(len(values))
    return float(1.0 - (within * distance).sum() / (expected * distance).sum())
