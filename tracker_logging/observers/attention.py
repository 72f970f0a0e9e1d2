"""Attention by text, reference and target, the two FFN paths, and the gradients and updates of each component."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tracker_logging import tags
from tracker_logging.events import Event, Heatmap, Image, Scalars, Table
from tracker_logging.observers.attention_pictures import (
    BRIGHTEST,
    alignment_picture,
    attention_picture,
    mass_picture,
    relations,
)
from tracker_logging.probes.activations import PATHS
from tracker_logging.probes.snapshot import (
    ActivationStatistics,
    AttentionStatistics,
    FlowStatistics,
    LayerKey,
    StepSnapshot,
)
from tracker_logging.session.observer import Later, Observer


class AttentionObserver(Observer):
    """Numbers are over all ranks; heatmaps show the first sample of rank 0.

    `gradient_conflict` adds the cosine between the gradients of the text and the audio loss in the last shared layers,
    at the price of an extra forward and backward of one sample per logged step.
    """

    name = "attention"
    needs = frozenset({"attention", "activations", "gradients", "updates"})

    def __init__(self, *, gradient_conflict: bool = False) -> None:
        if gradient_conflict:
            self.needs = self.needs | {"conflict"}

    def observe(self, snapshot: StepSnapshot) -> Iterable[Event | Later]:
        step = snapshot.step
        if snapshot.attention is not None:
            yield from self._attention(step, snapshot.attention)
        if snapshot.activations is not None:
            yield from _activations(step, snapshot.activations)
        if snapshot.flow is not None:
            yield from _flow(step, snapshot.flow)
        if snapshot.gradient_cosine is not None:
            yield Scalars(step=step, values={tags.GRADIENT_COSINE(): snapshot.gradient_cosine})

    def _attention(self, step: int, attention: AttentionStatistics) -> Iterable[Event | Later]:
        values = mass_scalars(attention)
        for layer, entropy in zip(attention.layers, attention.entropy.mean(axis=1), strict=True):
            if not np.isnan(entropy):
                values[tags.ATTENTION_ENTROPY(layer=layer)] = float(entropy)
        if attention.alignment_head is not None:
            values[tags.DIAGONALITY()] = float(attention.diagonality[attention.alignment_head])
        if values:
            yield Scalars(step=step, values=values)
        tokenizer = self.training.tokenizer
        yield Later(lambda: attention_images(step, attention, tokenizer=tokenizer))


def attention_images(step: int, attention: AttentionStatistics, *, tokenizer: Any) -> Iterator[Event]:
    """Layer × relation, layer × head, and the heatmaps of the chosen layers."""
    picture = mass_picture(attention)
    if picture is not None:
        yield Image(step=step, tag=tags.MASS_MAP(), picture=picture, caption="mean over heads")
    picture = alignment_picture(attention)
    if picture is not None:
        yield Image(step=step, tag=tags.ALIGNMENT_HEADS(), picture=picture, caption=_head_caption(attention))
    for attention_map in attention.maps:
        picture = attention_picture(attention_map, tokenizer=tokenizer)
        caption = f"the first sample of the batch; colours end at the {BRIGHTEST:.0%} quantile"
        yield Image(step=step, tag=tags.ATTENTION_HEATMAP(layer=attention_map.layer), picture=picture, caption=caption)


def mass_scalars(attention: AttentionStatistics) -> dict[str, float]:
    """Masses, mean over heads, by layer and over layers. A relation whose groups are not both there is left out."""
    values: dict[str, float] = {}
    for query, key, masses in relations(attention):
        values[tags.MASS_MEAN(query=query, key=key)] = float(masses.mean())
        for layer, mass in zip(attention.layers, masses, strict=True):
            values[tags.MASS(query=query, key=key, layer=layer)] = float(mass)
    return values


def _head_caption(attention: AttentionStatistics) -> str:
    if attention.alignment_head is None:
        return "no head reads the target's text"
    layer, head = attention.alignment_head
    return f"alignment head: layer {attention.layers[layer]}, head {head}"


def _activations(step: int, activations: ActivationStatistics) -> Iterable[Event]:
    values: dict[str, float] = {}
    for layer, row in zip(activations.layers, activations.rms, strict=True):
        for path, rms in zip(PATHS, row, strict=True):
            if not np.isnan(rms):
                values[tags.FFN_RMS(path=path, layer=layer)] = float(rms)
    yield Scalars(step=step, values=values)
    if not np.isnan(activations.rms).all(axis=0).any():
        picture = Heatmap(
            values=activations.rms.astype(np.float32),
            title="RMS of what each FFN path adds to the residual",
            row_axis="layer",
            column_axis="path",
            row_labels=tuple(str(layer) for layer in activations.layers),
            column_labels=PATHS,
            low=0.0,
        )
        yield Image(step=step, tag=tags.FFN_MAP(), picture=picture)


def _flow(step: int, flow: FlowStatistics) -> Iterable[Event]:
    values: dict[str, float] = {}
    if flow.before_clipping:
        values |= _of_components(tags.GRADIENT_NORM, flow.gradient_norm)
    values |= _of_components(tags.UPDATE_RATIO, flow.update_ratio)
    values |= {tags.SHRINK(component=component): share for component, share in flow.shrink.items()}
    if flow.clip_factor is not None:
        values[tags.CLIP_FACTOR()] = flow.clip_factor
    values |= {tags.TRAINABLE(component=component): share for component, share in flow.trainable_pct.items()}
    if flow.rounded_to_zero_pct is not None:
        values[tags.ROUNDED_TO_ZERO()] = flow.rounded_to_zero_pct
    if flow.skipped:
        values[tags.SKIPPED_STEP()] = 1.0
    values |= {tags.REACHED(component=component): share for component, share in flow.reached_pct.items()}
    yield Scalars(step=step, values=values)
    when = "before" if flow.before_clipping else "after"
    for tag, title, measured in (
        (tags.GRADIENT_MAP, f"Gradient norm {when} clipping", flow.gradient_norm),
        (tags.UPDATE_MAP, "‖ΔW‖ / ‖W‖ of this step", flow.update_ratio),
    ):
        picture = _component_map(measured, title=title)
        if picture is not None:
            yield Image(step=step, tag=tag(), picture=picture)
    rows = tuple(
        (component, layer, state, flow.gradient_norm.get((component, layer)), flow.update_ratio.get((component, layer)))
        for (component, layer), state in sorted(flow.states.items(), key=lambda item: _order(item[0]))
    )
    columns = ("component", "layer", "state", "gradient norm", "update ratio")
    yield Table(step=step, tag=tags.PARAMETER_STATES(), columns=columns, rows=rows)


def _of_components(tag: tags.Tag, measured: Mapping[LayerKey, float]) -> dict[str, float]:
    return {tag(component=component): value for (component, layer), value in measured.items() if layer is None}


def _component_map(measured: Mapping[LayerKey, float], *, title: str) -> Heatmap | None:
    """Component × layer; what is frozen or without gradient is background."""
    layers = sorted({layer for _, layer in measured if layer is not None})
    components = sorted({component for component, layer in measured if layer is not None})
    if not layers:
        return None
    values = [[measured.get((component, layer), float("nan")) for layer in layers] for component in components]
    return Heatmap(
        values=np.asarray(values, dtype=np.float32),
        title=title,
        row_axis="component",
        column_axis="layer",
        row_labels=tuple(components),
        column_labels=tuple(str(layer) for layer in layers),
        low=0.0,
    )


def _order(key: LayerKey) -> tuple[str, int]:
    component, layer = key
    return component, -1 if layer is None else layer
