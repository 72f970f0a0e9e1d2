"""The vocabulary: what callbacks say and trackers write.

Guarantees
- Every event is a frozen value. Arrays inside it are never written to after it was emitted.
- `step` is the number of optimizer steps done when the event was measured (the Trainer's `global_step` after the step).
- Nothing here knows a model, a Trainer or a backend.

    tracker.emit(Scalars(step=100, values={"outputs/nll/mean": 4.31}))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
Cell: TypeAlias = str | int | float | bool | None
AlertLevel: TypeAlias = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalars:
    """Numbers by tag, in the unit that `tags.py` gives. Non-finite values are allowed and arrive as they are.

    `source`: "loop" for the loop's own numbers (loss, learning rate), which its own reporter may write too.
    """

    step: int
    values: Mapping[str, float]
    source: Literal["ours", "loop"] = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts between edges: `counts` [bins], `edges` [bins + 1], ascending, in the tag's unit."""

    step: int
    tag: str
    counts: npt.NDArray[np.float64]
    edges: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Plain text. It is data from a user's dataset: backends escape it."""

    step: int
    tag: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells under named columns; None is an empty cell. Cells are data: backends escape and cut them."""

    step: int
    tag: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """A matrix to be drawn, top row first. It is drawn where it is written, off the training thread.

    `values` [rows, columns] float32, NaN = not measured (drawn as background, never as zero). `row_labels` and
    `column_labels` are empty or one per row / column. `low` and `high` are the ends of the colour scale (None: the
    data's own). `boundaries` are column indices before which a thin line is drawn, with one name per stretch:
    `((0, "text"), (41, "reference"))`.
    """

    values: FloatArray
    title: str
    row_axis: str
    column_axis: str
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    row_boundaries: tuple[tuple[int, str], ...] = ()
    column_boundaries: tuple[tuple[int, str], ...] = ()
    unit: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture: a `Heatmap` to be drawn, or ready pixels [height, width, 3] uint8."""

    step: int
    tag: str
    picture: Heatmap | npt.NDArray[np.uint8]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One recording: `samples` [n] float32, full scale ±1, never normalised; `sample_rate` in Hz."""

    samples: FloatArray
    sample_rate: int
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Clips shown side by side under one tag, by name (`reference`, `target`, …), in the order given."""

    step: int
    tag: str
    clips: Mapping[str, Clip]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceComparison:
    """One voice at one step: what was asked for beside what was said. The same `voice_id` in every run and backend.

    `clips` holds, in this order and each only where it exists: `reference` (the prompt as recorded), `target` (the
    real recording of the text), `codec` (the target through the codec: the ceiling), `generated`. `scores` holds
    measured values only, keyed by the score names of `tags.py`; what was not measured is absent. `pitch_hz` maps a
    clip's name to F0 [frames] float32 in Hz, NaN where unvoiced, evenly spaced over the clip.
    `sampling` is how it was spoken: `temperature` (0 = greedy), `top_p`, `top_k` where one is set, `seed`,
    `prompt_seed` (which follows from it) and `max_frames`. `new_fixed_clips` is False when reference, target and codec
    were sent at an earlier step and have not changed. `embeddings` maps a clip's name to its speaker embedding [D]
    float32, where a speaker encoder heard the clip.
    """

    step: int
    voice_id: str
    clips: Mapping[str, Clip]
    reference_text: str
    target_text: str
    speaker: str | None = None
    language: str | None = None
    transcript: str | None = None
    stop_reason: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    pitch_hz: Mapping[str, FloatArray] = field(default_factory=dict)
    embeddings: Mapping[str, FloatArray] = field(default_factory=dict)
    sampling: Mapping[str, float | int] = field(default_factory=dict)
    new_fixed_clips: bool = True
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something a person should read now: what was seen, what it means, what to do."""

    step: int
    level: AlertLevel
    title: str
    text: str


Event: TypeAlias = Scalars | Histogram | Text | Table | Image | Audio | VoiceComparison | Alert
