"""Computes the statistics of a snapshot from sums over all ranks. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.metrics.attention import alignment_head
from tracker_logging.metrics.flow import update_ratio
from tracker_logging.metrics.tokens import COLUMNS, TokenStatistics, statistics
from tracker_logging.probes.flow import Watched
from tracker_logging.probes.snapshot import (
    ActivationStatistics,
    AttentionMap,
    AttentionStatistics,
    FlowStatistics,
    LayerKey,
    ParameterState,
)

Sums = Mapping[str, npt.NDArray[np.float64]]
MINIMUM_TEXT_MASS = 0.02  # diagonality of a head with less attention on the text means nothing
_ROWS = COLUMNS.index("rows")
_NON_FINITE = COLUMNS.index("non_finite")


def token_statistics(
    sums: Sums, *, sizes: npt.NDArray[np.int64] | None
) -> tuple[TokenStatistics | None, TokenStatistics | None]:
    """(audio, text); None without labels. `sizes`: see `TokenProbe.sizes`."""
    audio = statistics(sums["tokens"], sums["histogram"], sizes=sizes) if _labelled(sums["tokens"]) else None
    text = statistics(sums["text"], np.zeros((1, 1))) if _labelled(sums["text"]) else None
    return audio, text


def attention_statistics(
    sums: Sums, *, layers: Sequence[int], maps: Sequence[AttentionMap]
) -> AttentionStatistics | None:
    """None if no sample was observed."""
    if not sums["pair_rows"].any():
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        pair_rows = sums["pair_rows"][:, None]
        mass = np.where(pair_rows > 0, sums["mass"] / pair_rows, np.nan)
        entropy = sums["entropy"] / sums["entropy_rows"][:, None]
        target_rows = sums["target_rows"][:, None]
        diagonality = 1.0 - sums["distance"] / target_rows
        text_mass = sums["text_mass"] / target_rows
    head = alignment_head(torch.from_numpy(diagonality), torch.from_numpy(text_mass), floor=MINIMUM_TEXT_MASS)
    return AttentionStatistics(
        layers=tuple(layers),
        mass=mass,
        entropy=entropy,
        diagonality=np.where(text_mass >= MINIMUM_TEXT_MASS, diagonality, np.nan),
        text_mass=text_mass,
        alignment_head=head,
        maps=tuple(maps),
    )


def activation_statistics(sums: Sums, *, layers: Sequence[int]) -> ActivationStatistics | None:
    """None if no layer was observed."""
    squares, count = sums["rms"][..., 0], sums["rms"][..., 1]
    if not count.any():
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        return ActivationStatistics(layers=tuple(layers), rms=np.sqrt(squares / count))


def flow_statistics(
    sums: Sums, *, parameters: Sequence[Watched], before_clipping: bool, sees_clipping: bool = False
) -> FlowStatistics:
    """Aggregates the parameters of each (component, layer) and of each component."""
    members: dict[LayerKey, list[int]] = {}
    for index, watched in enumerate(parameters):
        for key in {(watched.component, watched.layer), (watched.component, None)}:
            members.setdefault(key, []).append(index)
    norms: dict[LayerKey, float] = {}
    ratios: dict[LayerKey, float] = {}
    states: dict[LayerKey, ParameterState] = {}
    trainable: dict[str, float] = {}
    reached: dict[str, float] = {}
    shrink: dict[str, float] = {}
    for key, indices in members.items():
        trained = [index for index in indices if parameters[index].parameter.requires_grad]
        with_gradient = [index for index in trained if sums["has_gradient"][index] > 0]
        # An exact zero is a part that the loss does not reach, not a part that has converged.
        norm = float(np.sqrt(sums["gradient"][with_gradient].sum()))
        states[key] = "frozen" if not trained else "without gradient" if norm == 0 else "trained"
        if states[key] == "trained":
            norms[key] = norm
            ratio = update_ratio(
                update_squares=float(sums["update"][trained].sum()), weight_squares=float(sums["weight"][trained].sum())
            )
            if ratio is not None:
                ratios[key] = ratio
        component, layer = key
        if layer is None:
            trainable[component] = _share_of_weights(trained, indices, parameters)
            if key in ratios:
                shrink[component] = 0.0 - float(sums["along"][trained].sum() / sums["weight"][trained].sum())
            if trained:
                non_zero = [index for index in with_gradient if sums["gradient"][index] != 0]
                reached[component] = _share_of_weights(non_zero, trained, parameters)
    skipped = bool(sums["skipped"].any())
    counted, whole = sums["low_precision"].sum(), sums["gradient"].sum()
    is_known = sees_clipping and 0 < whole < np.inf
    return FlowStatistics(
        gradient_norm={} if skipped else norms,
        update_ratio={} if skipped else ratios,
        states=states,
        trainable_pct=trainable,
        reached_pct=reached,
        before_clipping=before_clipping,
        rounded_to_zero_pct=float(100.0 * sums["unchanged"].sum() / counted) if counted else None,
        skipped=skipped,
        shrink={} if skipped else shrink,
        clip_factor=float(np.sqrt(sums["clipped"].sum() / whole)) if is_known else None,
    )


def _share_of_weights(some: Sequence[int], of: Sequence[int], parameters: Sequence[Watched]) -> float:
    """Weights in the tensors `some` as a share of those in the tensors `of`, in percent."""
    part, whole = (sum(parameters[index].parameter.numel() for index in tensors) for tensors in (some, of))
    return 100.0 * part / whole if whole else 0.0


def _labelled(sums: npt.NDArray[np.float64]) -> bool:
    return bool((sums[:, _ROWS] + sums[:, _NON_FINITE]).any())
