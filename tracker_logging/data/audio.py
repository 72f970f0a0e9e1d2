"""Audio files as mono float32, at the recorded level.

Guarantees
- Any sampling rate and channel count that libsndfile reads. Channels are averaged; soxr (high quality) resamples.
- Never normalised, never trimmed: full scale is ±1.
- A file whose header gives no length or a placeholder (stream encoders write 0, 0x7FFFFFFF or 0xFFFFFFFF) is read to
  its real end.
- A missing, unreadable, empty, truncated or non-finite file is a `DataError`, and so is one on another scale, and one
  above `MAX_SECONDS`, `MAX_FRAMES` or `MAX_FILE_BYTES`: decoding takes at most about 700 MB.

    wave = load_audio(Path("slt.flac"), sample_rate=24_000)
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tracker_logging.data.sample import DataError, shown

MAX_SECONDS = 1_800.0
MAX_FRAMES = 100_000_000  # samples per channel
MAX_FILE_BYTES = 2_000_000_000
MAX_PEAK = 8.0  # 18 dB over full scale; samples beyond are on another scale than ±1, mostly that of 16 bits

_BLOCK_VALUES = 1 << 22
_UNKNOWN_FRAMES = 1 << 62  # libsndfile gives 2^63 - 1 for FLAC without a length
_CHUNK_NAMES = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"fact", b"cue ", b"PEAK", b"junk", b"JUNK", b"iXML", b"smpl")


@dataclass(frozen=True, slots=True)
class AudioHeader:
    """`frames`: samples per channel. `sample_rate` in Hz."""

    frames: int
    sample_rate: int
    channels: int

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate


def check_audio(path: Path) -> float:
    """Duration in seconds by the file's header, without decoding it. Raises `DataError` like `load_audio`."""
    return read_header(path).seconds


def read_header(path: Path) -> AudioHeader:
    """The header of `path`; a file whose header gives no length is decoded to count its samples. Raises `DataError`."""
    with open_audio(path) as file:
        frames, rate = int(file.frames), int(file.samplerate)
        if frames >= _UNKNOWN_FRAMES:
            frames = sum(len(block) for block in _blocks(file, path))
        if frames <= 0 or rate <= 0:
            raise DataError(f"{shown(path)}: the audio file is empty. Record it again, or drop the sample.")
        _check_length(path, frames, rate)
        return AudioHeader(frames, rate, int(file.channels))


def load_audio(path: Path, sample_rate: int) -> npt.NDArray[np.float32]:
    """The whole file as [n] float32 at `sample_rate` Hz. Raises `DataError`."""
    header = read_header(path)
    wave, _ = read_wave(path)
    if len(wave) < header.frames:
        raise DataError(
            f"{shown(path)}: truncated, {len(wave):,} of {header.frames:,} samples can be decoded. "
            "Copy or convert it again, or drop the sample."
        )
    if not np.isfinite(wave).all():
        raise DataError(f"{shown(path)}: the audio contains NaN or infinite values. Convert it again, or drop it.")
    if (scale := other_scale(wave)) is not None:
        raise DataError(f"{shown(path)}: the audio has {scale}. Write it again with samples from -1 to 1, or drop it.")
    if header.sample_rate != sample_rate:
        import soxr

        wave = soxr.resample(wave, header.sample_rate, sample_rate)
    return np.ascontiguousarray(wave, dtype=np.float32)


def read_wave(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """All samples that can be decoded, as [n] float32 at the file's own rate, and that rate. Raises `DataError`."""
    with open_audio(path) as file:
        blocks = [block.mean(axis=1, dtype=np.float32) for block in _blocks(file, path)]
        return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32), int(file.samplerate)


def other_scale(wave: npt.NDArray[np.floating[Any]]) -> str | None:
    """What shows that samples are on another scale than ±1, such as that of 16-bit numbers; None if nothing does.

    >>> other_scale(np.array([0.0, -13_482.0]))
    'samples up to 13,482, and full scale is 1'
    """
    peak = float(np.abs(wave).max(initial=0.0))
    return f"samples up to {peak:,.0f}, and full scale is 1" if peak > MAX_PEAK else None


@contextmanager
def open_audio(path: Path) -> Iterator[Any]:
    """`path` as an open `soundfile.SoundFile`; a WAV whose data size was never filled in has its real length. Raises
    `DataError`, also for what soundfile raises while the file is open."""
    import soundfile

    if not path.is_file():
        raise DataError(f"{shown(path)}: no such audio file. Correct the path in the data file.")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(
                f"{shown(path)}: the audio file is larger than {MAX_FILE_BYTES / 1e9:g} GB. Cut it into utterances."
            )
        with path.open("rb") as raw:
            size_at = _missing_data_size(raw)
            source: Any = str(path) if size_at is None else _PatchedFile(raw, size_at)
            with soundfile.SoundFile(source) as file:
                yield file
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{shown(path)}: not a readable audio file ({error}). Convert it to WAV or FLAC, or drop the sample."
        ) from error


def _blocks(file: Any, path: Path) -> Iterator[npt.NDArray[np.float32]]:
    """The rest of the file as [frames, channels] float32."""
    import soundfile

    total, at_end = 0, False
    while not at_end:
        block = np.full((max(1, _BLOCK_VALUES // max(1, file.channels)), file.channels), np.nan, dtype=np.float32)
        try:
            read = file.read(out=block)
        except soundfile.LibsndfileError:
            # soundfile seeks to the end of what it read, which fails at the end of FLAC with a wrong length or none.
            read, at_end = block[: int(np.argmax(np.isnan(block[:, 0])))], True
            if file.format != "FLAC" or not len(read):
                raise
        at_end = at_end or len(read) == 0
        total += len(read)
        _check_length(path, total, file.samplerate)
        yield read


def _check_length(path: Path, frames: int, rate: int) -> None:
    if frames > MAX_FRAMES or frames / rate > MAX_SECONDS:
        raise DataError(
            f"{shown(path)}: {frames:,} samples ({frames / rate / 60:,.0f} minutes) by its header; the limit is "
            f"{MAX_SECONDS / 60:g} minutes and {MAX_FRAMES:,} samples. Cut it into utterances, or convert it again."
        )


def _missing_data_size(file: BinaryIO) -> int | None:
    """The offset of the size of the `data` chunk, where that is 0 although samples follow; None otherwise.

    libsndfile itself clips a size beyond the end of the file, but takes 0 as an empty file.
    """
    start = file.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        return None
    while len(chunk := file.read(8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            following = file.read(4)
            return file.tell() - 8 if size == 0 and following and following not in _CHUNK_NAMES else None
        file.seek(size + size % 2, io.SEEK_CUR)
    return None


class _PatchedFile(io.RawIOBase):
    """A WAV file whose data size, the four bytes at `size_at`, is read as the rest of the file."""

    def __init__(self, file: BinaryIO, size_at: int) -> None:
        super().__init__()
        self._file, self._size_at = file, size_at
        self._size = (file.seek(0, io.SEEK_END) - size_at - 4).to_bytes(4, "little")
        file.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        at = self._file.tell()
        content = bytearray(self._file.read(len(buffer)))
        for index, byte in enumerate(self._size):
            if 0 <= self._size_at + index - at < len(content):
                content[self._size_at + index - at] = byte
        buffer[: len(content)] = content
        return len(content)
