"""One item of a data file as all checks see it: what the reader made of it, and the headers of its clips.

record.place, record.fields()       # where it is; ("reference", text, clip) and ("target", text, clip)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tracker_logging.data.sample import VoiceSample
from tracker_logging.doctor.data_checks.clips import Clip
from tracker_logging.doctor.data_checks.finding import Place


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text and the clip that is to speak it. `role` is `reference` or `target`."""

    role: str
    text: str
    clip: Clip


@dataclass(frozen=True, kw_only=True)
class Record:
    """`file` as messages show it; `sample` was accepted by its reader. A clip is None where the sample has none."""

    file: str
    sample: VoiceSample
    reference: Clip | None
    target: Clip | None

    @cached_property
    def place(self) -> Place:
        return Place(self.file, self.sample.origin or self.sample.sample_id)

    def clips(self) -> Iterator[tuple[str, Clip]]:
        """(field, clip) of the clips that it has."""
        if self.reference is not None:
            yield "reference audio", self.reference
        if self.target is not None:
            yield "target audio", self.target

    def spoken(self) -> Iterator[Spoken]:
        """Texts with their clips, of those whose header is sound."""
        if self.reference is not None and self.reference.problem is None:
            yield Spoken("reference", self.sample.reference_text, self.reference)
        if self.target is not None and self.target.problem is None:
            yield Spoken("target", self.sample.target_text, self.target)

    @property
    def is_usable(self) -> bool:
        """Whether it can be trained on: a target, and no clip that cannot be read."""
        return self.target is not None and all(clip.problem is None for _, clip in self.clips())


def resolved(path: Path) -> Path:
    """One name for one file, through links; the path itself where that cannot be found out."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path
