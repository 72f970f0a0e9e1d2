"""One item of a data file as every check sees it: the reader's sample, and the headers (or samples) of its clips.

- A header is read once per file, however many samples use the clip.
- Nothing is raised for a bad file: the clip carries the check that it fails and the evidence.

>>> sample = VoiceSample(sample_id="3", reference_text="", reference_audio=None, target_text="Good morning.",
...                      target_audio=Path("missing.wav"), origin="train.json[3]")
>>> record = record_of(sample, file="train.json", clips=ClipReader())
>>> record.place.sample, record.is_usable, record.target.problem[0].name
('train.json[3]', False, 'audio_missing')
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tracker_logging.data.sample import VoiceSample, shown
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import Check, Place
from tracker_logging.metrics.speech import SpeechLevels, speech_levels

MIDDLE_BYTES = 4096
MIN_RATE_HZ = 1_000  # below, a frame of 10 ms has too few samples for a level
_STREAMED = 0xFFFFFFFF - 8  # written by programs that stream; larger sizes are not lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The header of a clip. `problem`: the check that it fails and the evidence; then all numbers may be 0.

    `missing_bytes`: how much shorter the file is than its RIFF header declares.
    """

    path: Path
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
    """`file` as messages show it; `sample` was accepted by its reader. A clip is None where the sample has none."""

    file: str
    sample: VoiceSample
    reference: Clip | None
    target: Clip | None

    @cached_property
    def place(self) -> Place:
        return Place(self.file, self.sample.origin or self.sample.sample_id)

    def clips(self) -> Iterator[tuple[str, Clip]]:
        """(field, clip) of its clips."""
        if self.reference is not None:
            yield "reference audio", self.reference
        if self.target is not None:
            yield "target audio", self.target

    def utterances(self) -> Iterator[Utterance]:
        """Clips with a valid header and their texts."""
        if self.reference is not None and self.reference.problem is None:
            yield Utterance("reference", self.sample.reference_text, self.reference)
        if self.target is not None and self.target.problem is None:
            yield Utterance("target", self.sample.target_text, self.target)

    @property
    def is_usable(self) -> bool:
        """Whether it can be trained on: a target, and no clip that cannot be read."""
        return self.target is not None and all(clip.problem is None for _, clip in self.clips())


class ClipReader:
    """Headers and sounds by path, each read once. One thread."""

    def __init__(self) -> None:
        self._headers: dict[Path, Clip] = {}
        self._sounds: dict[Path, Sound] = {}

    def header(self, path: Path) -> Clip:
        """The clip at `path` by its header."""
        if path not in self._headers:
            self._headers[path] = read_header(path)
        return self._headers[path]

    def sound(self, clip: Clip) -> Sound:
        """The decoded clip; only for a clip without a problem."""
        if clip.path not in self._sounds:
            self._sounds[clip.path] = read_sound(clip)
        return self._sounds[clip.path]


def read_header(path: Path) -> Clip:
    """Read the header of one file."""
    import soundfile

    def bad(check: Check, seen: str, size: int = 0) -> Clip:
        return Clip(path=path, size=size, problem=(check, f"{shown(path)}: {seen}"))

    try:
        if not path.is_file():
            return bad(checks.AUDIO_MISSING, "a directory" if path.is_dir() else "no such file")
        size = path.stat().st_size
        if size == 0:
            return bad(checks.AUDIO_EMPTY, "0 bytes")
        header = soundfile.info(str(path))
    except soundfile.SoundFileError as error:
        return bad(checks.AUDIO_UNREADABLE, _reason(error), size)
    except (OSError, ValueError, RuntimeError) as error:
        return bad(checks.AUDIO_UNREADABLE, str(error))
    if header.frames <= 0 or header.samplerate <= 0:
        return bad(checks.AUDIO_EMPTY, "a header without samples", size)
    return Clip(
        path=path,
        frames=header.frames,
        sample_rate=header.samplerate,
        channels=header.channels,
        size=size,
        missing_bytes=_missing_bytes(path, size),
    )


def read_sound(clip: Clip) -> Sound:
    """Decode one file whose header is valid."""
    import numpy as np
    import soundfile

    try:
        channels, rate = soundfile.read(str(clip.path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError, RuntimeError, MemoryError) as error:
        return Sound(None, (checks.AUDIO_UNDECODABLE, f"{clip.name}: {_reason(error)}"))
    if len(channels) < clip.frames:
        seen = f"{clip.name}: {len(channels)} of {clip.frames} samples can be decoded"
        return Sound(None, (checks.AUDIO_UNDECODABLE, seen))
    wave = channels.mean(axis=1, dtype=np.float32)
    bad = int(np.count_nonzero(~np.isfinite(wave)))
    if bad:
        return Sound(None, (checks.AUDIO_NOT_FINITE, f"{clip.name}: {bad} of {len(wave)} samples"))
    return Sound(speech_levels(wave, rate) if rate >= MIN_RATE_HZ else None)


def record_of(sample: VoiceSample, *, file: str, clips: ClipReader) -> Record:
    """The sample with the headers of its clips."""
    return Record(
        file=file,
        sample=sample,
        reference=None if sample.reference_audio is None else clips.header(sample.reference_audio),
        target=None if sample.target_audio is None else clips.header(sample.target_audio),
    )


def same_sound(left: Clip, right: Clip) -> bool:
    """Whether two clips are one file, or two files of equal content."""
    if resolved(left.path) == resolved(right.path):
        return True
    if (left.size, left.frames, left.sample_rate) != (right.size, right.frames, right.sample_rate):
        return False
    return middle_of(left) == middle_of(right) and content_of(left) == content_of(right)


def content_of(clip: Clip) -> str:
    """A hash of the file's bytes; the path where it cannot be read."""
    try:
        with clip.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return str(clip.path)


def middle_of(clip: Clip) -> bytes:
    """A few bytes from the middle of the file, where two recordings of equal size differ."""
    try:
        with clip.path.open("rb") as file:
            file.seek(clip.size // 2)
            return file.read(MIDDLE_BYTES)
    except OSError:
        return b""


def resolved(path: Path) -> Path:
    """The path with links resolved; the path itself where that fails."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def _missing_bytes(path: Path, size: int) -> int:
    """libsndfile silently corrects the length of a cut WAV file, so its RIFF header is compared with its size."""
    with path.open("rb") as file:
        start = file.read(12)
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:] != b"WAVE":
        return 0
    (declared,) = struct.unpack("<I", start[4:8])
    return max(0, declared + 8 - size) if declared <= _STREAMED else 0


def _reason(error: Exception) -> str:
    """The error's message without the path that libsndfile puts before it."""
    return str(getattr(error, "error_string", "") or error).strip().rstrip(".")
