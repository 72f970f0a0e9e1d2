"""Speaker similarity over a set of prompts: whose voice is it, and do the voices differ from each other?

Guarantees
- Every function works on cosines that were computed before; nothing here knows an encoder.
- `own` names each generated clip's own prompt; a prompt of the *same speaker* is neither own nor other.
- What is undefined (one speaker only, an invalid clip's NaN row) is NaN, never zero.

Mean similarity alone misleads: voices blended towards the average score above real speech. Read it together with
`own_margins`, `nearest_is_own` and `within_and_between`.

    >>> similarity = cosines([[1.0, 0.1], [0.2, 1.0]], [[1.0, 0.0], [0.0, 1.0]])      # [G, P]
    >>> nearest_is_own(similarity, own=[0, 1], speakers=["a", "b"]).tolist()
    [1.0, 1.0]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rows = Sequence[int] | npt.NDArray[np.int64]


def cosines(left: npt.ArrayLike, right: npt.ArrayLike) -> Array:
    """[N, D] and [M, D] -> [N, M] cosines; NaN for a vector that is not finite or has no length."""
    return _unit(left) @ _unit(right).T


def own_similarity(similarity: Array, *, own: Rows) -> Array:
    """[G]: each clip's cosine with its own prompt (SIM-o of Seed-TTS-eval where the prompt is the original)."""
    return similarity[np.arange(len(own)), np.asarray(own, dtype=np.int64)]


def own_margins(similarity: Array, *, own: Rows, speakers: Sequence[str]) -> Array:
    """[G]: cosine with the own prompt − mean cosine with the prompts of other speakers."""
    others = _is_other(own, speakers)
    counts = others.sum(axis=1)
    mean_other = np.where(others, similarity, 0.0).sum(axis=1) / np.where(counts == 0, np.nan, counts)
    margins: Array = own_similarity(similarity, own=own) - mean_other
    return margins


def nearest_is_own(similarity: Array, *, own: Rows, speakers: Sequence[str]) -> Array:
    """[G] of 1, 0 or NaN: is the nearest prompt one of the clip's own speaker (top-1 of SV2TTS)?"""
    others = _is_other(own, speakers)
    result = np.full(len(own), np.nan)
    for clip in range(len(own)):
        if np.isfinite(similarity[clip]).all() and others[clip].any():
            result[clip] = float(not others[clip, int(np.argmax(similarity[clip]))])
    return result


def chance_of_own(*, own: Rows, speakers: Sequence[str]) -> float:
    """The mean of `nearest_is_own` for clips that are unrelated to their prompts."""
    return float(1.0 - _is_other(own, speakers).mean())


def equal_error_rate(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> float:
    """Error rate at the threshold where as many genuine pairs are rejected as impostors accepted; 0.5 = chance.

    Between two thresholds the rates are interpolated, so that small sets give a stable number.
    """
    good, bad = _finite(genuine), _finite(impostor)
    if len(good) == 0 or len(bad) == 0:
        return float("nan")
    thresholds = np.concatenate([[-np.inf], np.unique(np.concatenate([good, bad])), [np.inf]])
    rejected = np.searchsorted(np.sort(good), thresholds, side="left") / len(good)
    accepted = 1.0 - np.searchsorted(np.sort(bad), thresholds, side="left") / len(bad)
    gap = rejected - accepted
    after = int(np.argmax(gap >= 0))  # never the first: below all scores everything is accepted
    before = after - 1
    weight = -gap[before] / (gap[after] - gap[before])
    return float(rejected[before] + weight * (rejected[after] - rejected[before]))


def genuine_and_impostor(similarity: Array, *, own: Rows, speakers: Sequence[str]) -> tuple[Array, Array]:
    """The cosines of clips with their own prompts, and with the prompts of other speakers, for `equal_error_rate`."""
    return own_similarity(similarity, own=own), similarity[_is_other(own, speakers)]


def within_and_between(similarity: Array, *, speakers: Sequence[str]) -> tuple[float, float]:
    """Mean cosine of pairs of clips [N, N] of one speaker, and of different speakers. NaN where there is no such pair.

    When all voices collapse to one, `between` rises to `within`.
    """
    names = np.asarray(speakers)
    same = names[:, None] == names[None, :]
    upper = np.triu(np.ones_like(same), k=1) & np.isfinite(similarity)
    return _mean(similarity[same & upper]), _mean(similarity[~same & upper])


def _is_other(own: Rows, speakers: Sequence[str]) -> npt.NDArray[np.bool_]:
    """[G, P]: the prompt is of another speaker than the clip's own prompt."""
    names = np.asarray(speakers)
    is_other: npt.NDArray[np.bool_] = names[np.asarray(own, dtype=np.int64)][:, None] != names[None, :]
    return is_other


def _unit(vectors: npt.ArrayLike) -> Array:
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, np.nan)


def _finite(values: npt.ArrayLike) -> Array:
    flat = np.asarray(values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else float("nan")
