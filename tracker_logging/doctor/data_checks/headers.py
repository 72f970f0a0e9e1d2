"""The header of an audio file as the checks need it, without decoding.

- Plain WAV is read directly: one open file, a few bytes. Everything else, and every WAV with anything unusual, goes
  through the reader that training uses, so that both see the same length.

>>> check, seen = read_header(Path("missing.wav")).problem
>>> check.name, seen
('audio_missing', 'missing.wav: no such file')
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

from tracker_logging.data.audio import MAX_FRAMES, MAX_SECONDS
from tracker_logging.data.audio import read_header as read_any_header
from tracker_logging.data.sample import DataError, shown
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import Check
from tracker_logging.doctor.data_checks.record import Clip

_HEAD_BYTES = 128  # enough for the headers of most WAV files
_STREAMED = 0x7FFFFFFF - 4096  # written by programs that stream: larger sizes are not lengths
_SKIPPED = (b"LIST", b"JUNK", b"junk", b"bext", b"fact")
_BITS = {1: (8, 16, 24, 32), 3: (32, 64)}  # of PCM and IEEE float


def read_header(path: Path) -> Clip:
    """The clip at `path`. Raises nothing: a bad file has a `problem`."""
    name = str(path)

    def bad(check: Check, seen: str) -> Clip:
        return Clip(path=path, identity=name, problem=(check, f"{shown(path)}: {seen}"))

    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            start = os.read(descriptor, _HEAD_BYTES) if stat.S_ISREG(status.st_mode) else b""
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return bad(checks.AUDIO_MISSING, "no such file")
    except (OSError, ValueError) as error:
        return bad(checks.AUDIO_UNREADABLE, str(getattr(error, "strerror", None) or error))
    if stat.S_ISDIR(status.st_mode):
        return bad(checks.AUDIO_MISSING, "a directory")
    if not stat.S_ISREG(status.st_mode):
        return bad(checks.AUDIO_UNREADABLE, "not a regular file")
    if status.st_size == 0:
        return bad(checks.AUDIO_EMPTY, "0 bytes")
    identity = status.st_dev << 64 | status.st_ino if status.st_ino else name
    numbers = _plain_wav(start, status.st_size)
    if numbers is None:
        try:
            numbers = _any(path)
        except DataError as error:
            check, seen = _problem(error)
            return bad(check, seen)
    frames, rate, channels = numbers
    if frames / rate > MAX_SECONDS or frames > MAX_FRAMES:
        return bad(checks.AUDIO_TOO_LONG, f"{frames / rate / 60:,.0f} minutes, {frames:,} samples")
    return Clip(
        path=path,
        identity=identity,
        frames=frames,
        sample_rate=rate,
        channels=channels,
        size=status.st_size,
        missing_bytes=_missing_bytes(start, status.st_size),
    )


def _plain_wav(start: bytes, size: int) -> tuple[int, int, int] | None:
    """Frames, rate and channels of a WAV file with nothing unusual in its first bytes; None for any other."""
    if start[:4] != b"RIFF" or start[8:16] != b"WAVEfmt " or len(start) < 44:
        return None
    riff_size = int.from_bytes(start[4:8], "little")
    fmt_size, kind, channels, rate, _, block, bits = struct.unpack_from("<IHHIIHH", start, 16)
    is_usual = 0 < channels <= 8 and 1_000 <= rate <= 384_000 and bits in _BITS.get(kind, ())
    if riff_size != size - 8 or fmt_size not in (16, 18) or not is_usual or block != channels * bits // 8:
        return None
    at = 20 + fmt_size
    while at + 8 <= len(start):
        name, length = struct.unpack_from("<4sI", start, at)
        if name == b"data":
            is_inside = 0 < length <= size - at - 8 and length % block == 0
            return (length // block, rate, channels) if is_inside else None
        if name not in _SKIPPED:
            return None
        at += 8 + length + length % 2
    return None


def _any(path: Path) -> tuple[int, int, int]:
    header = read_any_header(path)
    return header.frames, header.sample_rate, header.channels


def _problem(error: DataError) -> tuple[Check, str]:
    """The check that a file fails which training refuses, and the evidence."""
    message = str(error)
    if "is empty" in message:
        return checks.AUDIO_EMPTY, "a header without samples"
    if "the limit is" in message:
        return checks.AUDIO_TOO_LONG, message.partition(": ")[2].partition(";")[0]
    cause = error.__cause__
    reason = getattr(cause, "error_string", "") or cause or message
    return checks.AUDIO_UNREADABLE, str(reason).strip().rstrip(".")


def _missing_bytes(start: bytes, size: int) -> int:
    """libsndfile silently corrects the length of a cut WAV file, so its RIFF header is compared with its size."""
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:12] != b"WAVE":
        return 0
    (declared,) = struct.unpack_from("<I", start, 4)
    return max(0, declared + 8 - size) if declared < _STREAMED else 0
