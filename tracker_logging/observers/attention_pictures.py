"""Attention as heatmaps: layer × relation, layer × head, and token × token with its labels. Pure functions."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.events import Heatmap
from tracker_logging.families.base import Role
from tracker_logging.observers.readable import readable_tokens
from tracker_logging.probes.attention_plan import GROUPS, Bin
from tracker_logging.probes.snapshot import AttentionMap, AttentionStatistics

LABEL_LENGTH = 16  # characters
BRIGHTEST = 0.98  # quantile of the cells at which the colours of an attention heatmap end


def mass_picture(attention: AttentionStatistics) -> Heatmap | None:
    """Layer × relation, mean over heads; relations with an absent group are left out."""
    there = [(f"{query} → {key}", masses) for query, key, masses in relations(attention)]
    if not there:
        return None
    return Heatmap(
        values=np.stack([masses for _, masses in there], axis=1).astype(np.float32),
        title="Where each group looks",
        row_axis="layer",
        column_axis="query → key",
        row_labels=tuple(str(layer) for layer in attention.layers),
        column_labels=tuple(name for name, _ in there),
        unit="share",
        low=0.0,
        high=1.0,
    )


def relations(attention: AttentionStatistics) -> list[tuple[str, str, npt.NDArray[np.float64]]]:
    """(query group, key group, mass [L] as a mean over heads) where both are there.

    Empty where there is one group only, for all of its attention is its own.
    """
    by_layer = attention.mass.mean(axis=1)
    there = [
        (query.name.lower(), key.name.lower(), by_layer[:, row, column])
        for row, query in enumerate(GROUPS)
        for column, key in enumerate(GROUPS)
        if not np.isnan(by_layer[:, row, column]).any()
    ]
    return there if len(there) > 1 else []


def alignment_picture(attention: AttentionStatistics) -> Heatmap | None:
    """Layer × head; heads that hardly look at the text are background."""
    if np.isnan(attention.diagonality).all():
        return None
    return Heatmap(
        values=attention.diagonality.astype(np.float32),
        title="Diagonality of target → target text",
        row_axis="layer",
        column_axis="head",
        row_labels=tuple(str(layer) for layer in attention.layers),
        column_labels=tuple(str(head) for head in range(attention.diagonality.shape[1])),
        low=0.5,  # reads backwards
        high=1.0,  # reads along
    )


def attention_picture(one: AttentionMap, *, tokenizer: Any) -> Heatmap:
    """Query × key of one sample; future keys are background, role boundaries are drawn. The keys of a decoder are its
    encoder's text, then its own positions.

    The first queries see few keys and give each much: the colours end where 2 % of the cells are brighter.
    """
    values = one.values.astype(np.float32).copy()
    text = values.shape[1] - len(values)  # keys of an encoder, all seen at once
    values[np.triu_indices(len(values), k=1 + text, m=values.shape[1])] = np.nan
    return Heatmap(
        values=values,
        title=f"Attention of layer {one.layer}, mean over heads",
        row_axis="query",
        column_axis="key",
        row_labels=tuple(_label(own, one, tokenizer) for own in one.bins),
        column_labels=tuple(_label(own, one, tokenizer) for own in one.key_bins),
        row_boundaries=_boundaries(one.bins),
        column_boundaries=_boundaries(one.key_bins),
        unit="share",
        low=0.0,
        high=float(np.nanquantile(values, BRIGHTEST)),
    )


def _label(own: Bin, one: AttentionMap, tokenizer: Any) -> str:
    """The text of a text bin; the frames of an audio bin, counted from the start of its stretch."""
    if own.role == Role.TEXT:
        text = readable_tokens(one.token_ids[own.start : own.stop].tolist(), tokenizer)
        return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
    first = own.start
    for before in reversed([other for other in one.key_bins if other.start < own.start]):
        if before.role != own.role:
            break
        first = before.start
    start, last = own.start - first, own.stop - first - 1
    return f"{own.role.name.lower()} {start}" + (f"–{last}" if last > start else "")


def _boundaries(bins: tuple[Bin, ...]) -> tuple[tuple[int, str], ...]:
    """(first bin, role) of each stretch of one role."""
    stretches = [list(run) for _, run in groupby(range(len(bins)), key=lambda at: bins[at].role)]
    return tuple((run[0], bins[run[0]].role.name.lower()) for run in stretches)
