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
    measured = [(f"{query} → {key}", masses) for query, key, masses in relations(attention)]
    if not measured:
        return None
    return Heatmap(
        values=np.stack([masses for _, masses in measured], axis=1).astype(np.float32),
        title="Where each group looks",
        row_axis="layer",
        column_axis="query → key",
        row_labels=tuple(str(layer) for layer in attention.layers),
        column_labels=tuple(name for name, _ in measured),
        unit="share",
        low=0.0,
        high=1.0,
    )


def relations(attention: AttentionStatistics) -> list[tuple[str, str, npt.NDArray[np.float64]]]:
    """(query group, key group, mass [L] as a mean over heads) where both are there.

    Empty where there is one group only, for all of its attention is its own.
    """
    by_layer = attention.mass.mean(axis=1)
    measured = [
        (query.name.lower(), key.name.lower(), by_layer[:, row, column])
        for row, query in enumerate(GROUPS)
        for column, key in enumerate(GROUPS)
        if not np.isnan(by_layer[:, row, column]).any()
    ]
    return measured if len(measured) > 1 else []


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


def attention_picture(attention_map: AttentionMap, *, tokenizer: Any) -> Heatmap:
    """Query × key of one sample; future keys are background, role boundaries are drawn. The keys of a decoder are its
    encoder's text, then its own positions.

    The first queries see few keys and give each much: the colours end where 2 % of the cells are brighter.
    """
    values = attention_map.values.astype(np.float32).copy()
    text = values.shape[1] - len(values)  # keys of an encoder, all seen at once
    values[np.triu_indices(len(values), k=1 + text, m=values.shape[1])] = np.nan
    return Heatmap(
        values=values,
        title=f"Attention of layer {attention_map.layer}, mean over heads",
        row_axis="query",
        column_axis="key",
        row_labels=tuple(_label(label_bin, attention_map, tokenizer) for label_bin in attention_map.bins),
        column_labels=tuple(_label(label_bin, attention_map, tokenizer) for label_bin in attention_map.key_bins),
        row_boundaries=_boundaries(attention_map.bins),
        column_boundaries=_boundaries(attention_map.key_bins),
        unit="share",
        low=0.0,
        high=float(np.nanquantile(values, BRIGHTEST)),
    )


def _label(label_bin: Bin, attention_map: AttentionMap, tokenizer: Any) -> str:
    """The text of a text bin; the frames of an audio bin, counted from the start of its stretch."""
    if label_bin.role == Role.TEXT:
        text = readable_tokens(attention_map.token_ids[label_bin.start : label_bin.stop].tolist(), tokenizer)
        return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
    first = label_bin.start
    for before in reversed([other for other in attention_map.key_bins if other.start < label_bin.start]):
        if before.role != label_bin.role:
            break
        first = before.start
    start, last = label_bin.start - first, label_bin.stop - first - 1
    return f"{label_bin.role.name.lower()} {start}" + (f"–{last}" if last > start else "")


def _boundaries(bins: tuple[Bin, ...]) -> tuple[tuple[int, str], ...]:
    """(first bin, role) of each stretch of one role."""
    stretches = [list(run) for _, run in groupby(range(len(bins)), key=lambda at: bins[at].role)]
    return tuple((run[0], bins[run[0]].role.name.lower()) for run in stretches)
