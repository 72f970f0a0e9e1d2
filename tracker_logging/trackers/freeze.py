"""Makes an event safe to pass to another thread, and tells how large and how important it is.

Guarantees
- `freeze` copies an array unless nothing can write to it, so that training may reuse its buffers.
- Freezing twice makes one copy: a frozen array is recognised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np

from tracker_logging.events import (
    Alert,
    Audio,
    Checkpoint,
    Clip,
    Event,
    Findings,
    Heatmap,
    Histogram,
    Image,
    Scalars,
    Summary,
    Table,
    Text,
    VoiceComparison,
)

Array = TypeVar("Array", bound=np.ndarray[Any, Any])
_OBJECT_BYTES = 100


class Importance(IntEnum):
    """When a queue is full the lowest is dropped first; `KEPT` is never dropped."""

    MEDIA = 0
    TABLE = 1
    TEXT = 2
    KEPT = 3


def importance(event: Event) -> Importance:
    """Media before tables, tables before text; the others stay."""
    match event:
        case Scalars() | Alert() | Findings() | Summary() | Checkpoint():
            return Importance.KEPT
        case Text():
            return Importance.TEXT
        case Table() | Histogram():
            return Importance.TABLE
        case _:
            return Importance.MEDIA


def freeze(event: Event) -> Event:
    """The same event with arrays and mappings that nothing else can change. Runs on the caller's thread."""
    match event:
        case Scalars():
            return replace(event, values=dict(event.values))
        case Summary():
            return replace(event, values=dict(event.values))
        case Histogram():
            return replace(event, counts=_frozen(event.counts), edges=_frozen(event.edges))
        case Image(picture=Heatmap() as heatmap):
            return replace(event, picture=replace(heatmap, values=_frozen(heatmap.values)))
        case Image(picture=np.ndarray() as pixels):
            return replace(event, picture=_frozen(pixels))
        case Audio():
            return replace(event, clips=_frozen_clips(event.clips))
        case VoiceComparison():
            pitch = {name: _frozen(values) for name, values in event.pitch_hz.items()}
            embeddings = {name: _frozen(vector) for name, vector in event.embeddings.items()}
            numbers: Any = {"scores": dict(event.scores), "sampling": dict(event.sampling)}
            numbers |= {"scorers": dict(event.scorers), "pitch_hz": pitch, "embeddings": embeddings}
            return replace(event, clips=_frozen_clips(event.clips), **numbers)
        case _:
            return event


def size_of(event: Event) -> int:
    """Approximate bytes that the event occupies in memory."""
    match event:
        case Scalars() | Summary():
            return _OBJECT_BYTES * (1 + len(event.values))
        case Findings():
            texts = (text for finding in event.findings for text in (finding.seen, finding.cause, finding.fix))
            return _OBJECT_BYTES * (1 + len(event.findings)) + 4 * sum(map(len, texts))
        case Histogram():
            return _OBJECT_BYTES + event.counts.nbytes + event.edges.nbytes
        case Text() | Alert():
            return _OBJECT_BYTES + 4 * len(event.text)
        case Table():
            cells = (cell for row in event.rows for cell in row)
            return _OBJECT_BYTES + sum(4 * len(cell) + 60 if isinstance(cell, str) else 60 for cell in cells)
        case Image(picture=Heatmap() as heatmap):
            labels = len(heatmap.row_labels) + len(heatmap.column_labels)
            return _OBJECT_BYTES * (1 + labels) + heatmap.values.nbytes
        case Image(picture=np.ndarray() as pixels):
            return _OBJECT_BYTES + pixels.nbytes
        case Audio():
            return _OBJECT_BYTES + _clip_bytes(event.clips)
        case VoiceComparison():
            arrays = sum(array.nbytes for array in (*event.pitch_hz.values(), *event.embeddings.values()))
            return 10 * _OBJECT_BYTES + _clip_bytes(event.clips) + arrays
        case _:
            return _OBJECT_BYTES


def _frozen(array: Array) -> Array:
    owner: object = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        owner = owner.base
    if owner is None or isinstance(owner, bytes):
        return array
    copy = array.copy()
    copy.setflags(write=False)
    return copy


def _frozen_clips(clips: Mapping[str, Clip]) -> dict[str, Clip]:
    return {name: replace(clip, samples=_frozen(clip.samples)) for name, clip in clips.items()}


def _clip_bytes(clips: Mapping[str, Clip]) -> int:
    return sum(_OBJECT_BYTES + clip.samples.nbytes for clip in clips.values())
