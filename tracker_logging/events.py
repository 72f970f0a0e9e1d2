"""The event vocabulary: what observers emit and trackers write.

Guarantees
- Every event is a frozen value. Arrays inside it are not modified after it was emitted.
- `step` is the number of optimizer steps completed when the event was measured (the Trainer's `global_step`).
- This module imports nothing of the project: no model, no training loop, no backend.

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
VoiceStage: TypeAlias = Literal["complete", "generated", "scored"]
Certainty: TypeAlias = Literal["certain", "likely", "possible"]


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
    """Plain text, possibly from a user's dataset: backends escape it."""

    step: int
    tag: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells under named columns; None is an empty cell. Backends escape and truncate the cells."""

    step: int
    tag: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """A matrix to draw, top row first. The tracker draws it, off the training thread.

    `values` [rows, columns] float32; NaN means not measured and is drawn as background, never as zero. `row_labels`
    and `column_labels` are empty or have one entry per row or column. `low` and `high` are the ends of the colour scale
    (None: minimum and maximum of the data). Each boundary is an index before which a thin line is drawn, with the name
    of the segment that starts there: `((0, "text"), (41, "reference"))`.
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
    """A picture: a `Heatmap` to draw, or pixels [height, width, 3] uint8."""

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
    """Clips under one tag, by name (`reference`, `target`, …), in display order."""

    step: int
    tag: str
    clips: Mapping[str, Clip]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceComparison:
    """One voice at one step: requested and generated speech. A voice has the same `voice_id` in every run.

    - `clips`, in this order, each only where it exists: `reference` (the prompt as recorded), `target` (the real
      recording of the target text), `codec` (the target encoded and decoded: the upper bound), `generated`.
    - `scores`: measured values only, keyed by the score names of `tags.py`. A score that was not measured is left out.
    - `pitch_hz`: clip name → F0 [frames] float32 in Hz, NaN where unvoiced, evenly spaced over the clip.
    - `embeddings`: clip name → speaker embedding [D] float32, for clips that a speaker encoder processed.
    - `sampling`: the generation settings `temperature` (0 = greedy), `top_p`, `top_k` where set, `seed`, `prompt_seed`
      (derived from it) and `max_frames`.
    - `new_fixed_clips`: False when reference, target and codec were emitted at an earlier step and have not changed.
    - `error`: why there is no generated clip or no score; None when all went well.
    - `stage`: "generated" for clips that are logged as soon as they exist; the event "scored" of the same voice and
      step then completes it with scores, transcript, pitch and embeddings, and its clips are not stored again.
      "complete": all in one event.
    - `group`: the kind of voice, by which scores are averaged too, such as "trained" and "unseen".
    - `scorers` names the chosen scorers (see `voices.settings`), so that missing scores can be added later. A clip
      `reference_codec` (the prompt encoded and decoded) is kept in the voices folder for that purpose only.
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
    stage: VoiceStage = "complete"
    scorers: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None

    @property
    def shown_clips(self) -> dict[str, Clip]:
        """The clips that backends show: all but `reference_codec`."""
        return {name: clip for name, clip in self.clips.items() if name != "reference_codec"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A message that a person should read now: what was measured, what it means and what to do."""

    step: int
    level: AlertLevel
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem of a training that the doctor reported. A value, not an event: `Findings` carries it.

    `name`: snake_case, the same in every run; name and `since` identify a finding. `seen`: the evidence with its
    numbers. `since`: the step at which the evidence was first seen, None before training. `until`: the step at which
    the problem was resolved, None while it is open. `certainty` is about `cause`; `seen` is always measured.
    """

    name: str
    level: AlertLevel
    seen: str
    cause: str
    certainty: Certainty
    fix: str
    since: int | None = None
    until: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the problem is not resolved yet."""
        return self.until is None

    @property
    def title(self) -> str:
        """The name as a heading: `Learning rate zero`."""
        return self.name.replace("_", " ").capitalize()

    @property
    def text(self) -> str:
        """Evidence, cause and fix, one line each, without the title."""
        since = "" if self.since is None else f" Since step {self.since}."
        resolved = "" if self.until is None else f" Resolved at step {self.until}."
        return f"Seen: {self.seen}.{since}{resolved}\nCause ({self.certainty}): {self.cause}\nFix: {self.fix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The doctor's complete report at a step: all findings so far, open and resolved. It replaces earlier ones."""

    step: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryValue:
    """Last and best value of a scalar with the steps of both. `best` is None where neither high nor low is better.

    `base`: the value of step 0, of the model before its first update; None where it was not measured.
    """

    last: float
    last_step: int
    best: float | None = None
    best_step: int | None = None
    base: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The numbers by which a run is judged, by tag. Each summary replaces the last one of the run."""

    step: int
    values: Mapping[str, SummaryValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The loop saved a checkpoint after `step` steps. It names the files; it does not hold them.

    `name`: of the directory, without its place. `digest`: tells which content it is (`data.content_digest`), of `files`
    files with `size_bytes` bytes: those of the model, without what only continues a training.
    """

    step: int
    name: str
    digest: str
    files: int
    size_bytes: int


Event: TypeAlias = (
    Scalars | Histogram | Text | Table | Image | Audio | VoiceComparison | Alert | Findings | Summary | Checkpoint
)
