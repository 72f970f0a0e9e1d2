"""Clips by their headers, and on request by their samples.

- A header is read once per file, however many samples use the clip.
- Nothing is raised for a bad file: the clip carries the check that it fails and what was seen.

    clips = ClipReader()
    clips.header(Path("a.wav")).seconds         # 2.4
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.data.sample import shown
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.finding import Check
from tracker_logging.metrics.speech import SpeechLevels, speech_levels

LOWEST_HZ = 1_000  # below, frames of 10 ms hold next to nothing, and levels mean nothing
_STREAMED = 0xFFFFFFFF - 8  # written by programs that do not know the length beforehand; sizes above it mean nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What a header says. `problem`: the check that fails and what was seen; then all numbers may be 0.

    `missing_bytes`: how much shorter the file is than its RIFF header says.
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
    """What decoding a clip shows. `levels` is None with a `problem` (as in `Clip`) or a rate too low to measure."""

    levels: SpeechLevels | None
    problem: tuple[Check, str] | None = None


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
        """The clip decoded; only for one without a problem."""
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
        return bad(checks.AUDIO_EMPTY, "a header and no samples", size)
    return Clip(
        path=path,
        frames=header.frames,
        sample_rate=header.samplerate,
        channels=header.channels,
        size=size,
        missing_bytes=_missing_bytes(path, size),
    )


def read_sound(clip: Clip) -> Sound:
    """Decode one file whose header is sound."""
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
    return Sound(speech_levels(wave, rate) if rate >= LOWEST_HZ else None)


def _missing_bytes(path: Path, size: int) -> int:
    """libsndfile quietly mends the length of a cut WAV file, so its RIFF header is compared with the file's size."""
    with path.open("rb") as file:
        start = file.read(12)
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:] != b"WAVE":
        return 0
    (declared,) = struct.unpack("<I", start[4:8])
    return max(0, declared + 8 - size) if declared <= _STREAMED else 0


def _reason(error: Exception) -> str:
    """The error's words without the path that libsndfile puts before them."""
    return str(getattr(error, "error_string", "") or error).strip().rstrip(".")
