"""The values that a run is made of, as `open_run` gives them. Plain frozen data; media are read when asked for.

>>> loss = Series(((100, 2.5), (200, 1.75)))
>>> loss.steps, loss.values, loss.last
((100, 200), (2.5, 1.75), (200, 1.75))
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tracker_logging.events import AlertLevel, Cell, Finding, FloatArray, SummaryValue
from tracker_logging.summary import summarize
from tracker_logging.tags import direction

Source: TypeAlias = Literal["TensorBoard", "JSON lines", "W&B", "voices folder"]


class NotARunError(ValueError):
    """There is no run in that place. The message names what was looked for and what is there instead."""


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one scalar, steps ascending. Iterates as (step, value) pairs."""

    points: tuple[tuple[int, float], ...]

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps, ascending."""
        return tuple(step for step, _ in self.points)

    @property
    def values(self) -> tuple[float, ...]:
        """The values, in the order of `steps`. A value may be NaN or infinite."""
        return tuple(value for _, value in self.points)

    @property
    def last(self) -> tuple[int, float]:
        """The last (step, value)."""
        return self.points[-1]

    def since(self, step: int) -> Series:
        """The points of `step` and later."""
        return Series(tuple(point for point in self.points if point[0] >= step))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under named columns.

    From JSON lines, cells are as they were logged. TensorBoard and W&B hold only what they display: text, with numbers
    of six digits and at most 400 characters per cell.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts` [bins] between `edges` [bins + 1], ascending, in the tag's unit."""

    counts: npt.NDArray[np.float64]
    edges: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture. `pixels()` decodes or draws it: [height, width, 3] uint8."""

    caption: str = ""
    pixels: Callable[[], npt.NDArray[np.uint8]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One recording. Audio is 16-bit and never normalised.

    `file`: the WAV or FLAC file, or None for a clip inside an event file. `encoded()` gives the bytes of that WAV or
    FLAC; it raises `OSError` where the file is gone.
    """

    caption: str = ""
    file: Path | None = None
    encoded: Callable[[], bytes] = field(repr=False)
    known_length: tuple[float, int] | None = None

    @staticmethod
    def of_file(path: Path, *, caption: str = "", known_length: tuple[float, int] | None = None) -> Clip:
        """The clip in an audio file. `known_length`: seconds and sample rate, where known without opening it."""
        return Clip(caption=caption, file=path, encoded=path.read_bytes, known_length=known_length)

    def audio(self) -> tuple[FloatArray, int]:
        """Samples [n] float32, full scale ±1, and the sample rate in Hz. Raises `OSError` or soundfile's error."""
        import soundfile

        samples, rate = soundfile.read(io.BytesIO(self.encoded()), dtype="float32")
        return samples, int(rate)

    def length(self) -> tuple[float, int]:
        """Seconds and sample rate in Hz, from the file's header where they are not known."""
        if self.known_length is not None:
            return self.known_length
        import soundfile

        info = soundfile.info(io.BytesIO(self.encoded()))
        return info.frames / info.samplerate, int(info.samplerate)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceStep:
    """What was generated for one voice at one step. `scores`: finite values by the score names of `tags.py`.

    `sampling` and `scorers` as in `VoiceComparison`; empty where the source does not keep them. `scored`: False while
    the clip waits for its scores; those that are known when it is generated may be there.
    """

    step: int
    scores: Mapping[str, float]
    scored: bool = True
    transcript: str | None = None
    stop_reason: str | None = None
    error: str | None = None
    clip: Clip | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    scorers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """One fixed prompt. `clips`: `reference`, `target` and `codec`, where they exist. `steps` ascend."""

    id: str
    speaker: str | None = None
    language: str | None = None
    group: str | None = None
    reference_text: str | None = None
    target_text: str | None = None
    clips: Mapping[str, Clip] = field(default_factory=dict)
    steps: Mapping[int, VoiceStep] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """A message that the run sent to its reader. `level` is None where the backend does not keep it (TensorBoard)."""

    step: int
    title: str
    text: str
    level: AlertLevel | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, read to the end of what is on disk now.

    - `scalars`: tag → `Series`; `texts`, `tables`, `clips`, `pictures` and `histograms`: tag → {step: value}. Of a step
      that was written twice, as after a resume, the later value counts.
    - `clips` has one tag per clip, as TensorBoard shows them: `voices/ab12/generated`.
    - `settings`: dotted name → plain value. `findings`: the doctor's last report. `alerts`: every other message, too.
    - `voices`: voice id → `Voice`. `problems`: what could not be read, a sentence each; `voice_problems`: those of them
      by which clips or scores of voices may be missing.
    """

    name: str
    path: Path
    source: Source
    scalars: Mapping[str, Series]
    texts: Mapping[str, Mapping[int, str]]
    tables: Mapping[str, Mapping[int, Table]]
    clips: Mapping[str, Mapping[int, Clip]]
    pictures: Mapping[str, Mapping[int, Picture]]
    histograms: Mapping[str, Mapping[int, Histogram]]
    settings: Mapping[str, Any]
    findings: tuple[Finding, ...]
    alerts: tuple[AlertMessage, ...]
    voices: Mapping[str, Voice]
    problems: tuple[str, ...]
    voice_problems: tuple[str, ...] = ()

    @property
    def last_step(self) -> int | None:
        """The largest step of any scalar or voice; None for a run without either."""
        steps = [series.last[0] for series in self.scalars.values()]
        steps += [max(voice.steps) for voice in self.voices.values() if voice.steps]
        return max(steps, default=None)

    @cached_property
    def summary(self) -> Mapping[str, SummaryValue]:
        """Last and best value of every scalar that has a direction in `tags.py`, computed from `scalars`."""
        values = {tag: summarize(series, direction(tag)) for tag, series in self.scalars.items() if direction(tag)}
        return {tag: value for tag, value in values.items() if value is not None}
