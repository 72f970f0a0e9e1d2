"""One item of a data file as every check sees it: the reader's sample, and the headers (or samples) of its clips.

- Nothing is raised for a bad file: the clip carries the check that it fails and the evidence.

>>> sample = VoiceSample(sample_id="3", reference_text="", reference_audio=None, target_text="Good morning.",
...                      target_audio=Path("missing.wav"), origin="train.json[3]")
>>> record = record_of(sample, file="train.json", header=lambda path: Clip(path=path, identity=1, frames=48_000,
...                                                                       sample_rate=24_000, channels=1))
>>> record.place.sample, record.is_usable, record.target.seconds
('train.json[3]', True, 2.0)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tracker_logging.data.sample import VoiceSample, shown
from tracker_logging.data.voices import untagged
from tracker_logging.doctor.data_checks.checks import Check, Place
from tracker_logging.metrics.speech import SpeechLevels

MIDDLE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The header of a clip. `problem`: the check that it fails and the evidence; then all numbers may be 0.

    `identity`: equal for paths that lead to the same file. `missing_bytes`: how much shorter the file is than its RIFF
    header declares.
    """

    path: Path
    identity: int | str
    frames: int = 0
    sample_rate: int = 0
    channels: int = 0
    size: int = 0
    missing_bytes: int = 0
    problem: tuple[Check, str] | None = None

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate if self.sample_rate else 0.0

    @property
    def name(self) -> str:
        """The path as messages show it."""
        return shown(self.path)


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded clip. `levels` is None with a `problem` (as in `Clip`) or at a sample rate too low to measure."""

    levels: SpeechLevels | None
    problem: tuple[Check, str] | None = None


@dataclass(frozen=True, slots=True)
class Utterance:
    """A clip and its text. `role` is `reference` or `target`."""

    role: str
    text: str
    clip: Clip


@dataclass(frozen=True, kw_only=True)
class Record:
    """`file` as messages show it; `sample` was accepted by its reader. A clip is None where the sample has none. `row`:
    the number among the accepted samples of the file. `more`: the clips beyond the first reference and the first
    target, with their texts. `is_prompt`: of a list of voice prompts, which need no target."""

    file: str
    sample: VoiceSample
    reference: Clip | None
    target: Clip | None
    row: int = 0
    more: tuple[Utterance, ...] = ()
    is_prompt: bool = False

    @cached_property
    def place(self) -> Place:
        return Place(self.file, self.sample.origin or self.sample.sample_id, self.row)

    def clips(self) -> Iterator[tuple[str, Clip]]:
        """(field, clip) of its clips."""
        if self.reference is not None:
            yield "reference audio", self.reference
        if self.target is not None:
            yield "target audio", self.target
        for utterance in self.more:
            yield f"{utterance.role} audio", utterance.clip

    def utterances(self) -> Iterator[Utterance]:
        """Clips with a valid header and their texts without tags. References in the system message have no text."""
        known = [
            Utterance(role, text, clip)
            for role, text, clip in (
                ("reference", self.sample.reference_text, self.reference),
                ("target", self.sample.target_text, self.target),
            )
            if clip is not None
        ]
        for utterance in (*known, *self.more):
            has_text = utterance.role == "target" or self.sample.references_in == "turns"
            if has_text and utterance.clip.problem is None:
                yield replace(utterance, text=untagged(utterance.text))

    @property
    def is_usable(self) -> bool:
        """Whether it can be trained on, or as a prompt generated from: its clip, and none that cannot be read."""
        needed = self.target if not self.is_prompt else self.reference if self.sample.voices == 1 else None
        return needed is not None and all(clip.problem is None for _, clip in self.clips())


def record_of(
    sample: VoiceSample, *, file: str, header: Callable[[Path], Clip], row: int = 0, is_prompt: bool = False
) -> Record:
    """The sample with the headers of its clips, read by `header`."""
    return Record(
        file=file,
        sample=sample,
        reference=None if sample.reference_audio is None else header(sample.reference_audio),
        target=None if sample.target_audio is None else header(sample.target_audio),
        row=row,
        more=_more(sample, header) if sample.more_references or sample.more_targets else (),
        is_prompt=is_prompt,
    )


def _more(sample: VoiceSample, header: Callable[[Path], Clip]) -> tuple[Utterance, ...]:
    return tuple(
        Utterance(role, one.text, header(one.audio))
        for role, more in (("reference", sample.more_references), ("target", sample.more_targets))
        for one in more
        if one.audio is not None
    )


def same_sound(left: Clip, right: Clip) -> bool:
    """Whether two clips are one file, or two files of equal content."""
    if left.identity == right.identity:
        return True
    if (left.size, left.frames, left.sample_rate) != (right.size, right.frames, right.sample_rate):
        return False
    names = str(left.path), str(right.path)
    if middle_of(names[0], left.size) != middle_of(names[1], right.size):
        return False
    return content_of(names[0]) == content_of(names[1])


def content_of(path: str) -> bytes:
    """A hash of the file's bytes; the path where it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  pathlib is slow, and this is done for many clips
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return path.encode("utf-8", "surrogateescape")


def middle_of(path: str, size: int) -> bytes:
    """A few bytes from the middle of the file, where two recordings of equal size differ."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  as above
            file.seek(size // 2)
            return file.read(MIDDLE_BYTES)
    except OSError:
        return b""
