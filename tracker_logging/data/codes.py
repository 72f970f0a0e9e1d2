"""A cache on disk for the codec codes of audio files.

Guarantees
- The key is the content: a hash of the file's bytes and of the codec's identity. A changed clip or another codec
  is encoded again; a copied or moved clip is not.
- Several processes may use one directory: files appear whole, by rename.
- A cached file that cannot be read is computed again.
- A directory that cannot be written is refused by `prepare`. Later (a full disk) codes are computed again each time,
  which is logged once.

    codes = CodeCache(Path("cache"), codec)
    codes.prepare([sample.target_audio for sample in samples])   # before data loader workers start
    codes(Path("slt.flac"))                                      # [K, T] int64
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tracker_logging.data.audio import MAX_FILE_BYTES, load_audio
from tracker_logging.data.codec import IdentifiedCodec
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.whole_file import whole_file

_CHUNK = 1 << 20
logger = logging.getLogger(__name__)

Codes: TypeAlias = npt.NDArray[np.int64]
CodeSource: TypeAlias = Callable[[Path], Codes]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Clips that were encoded now, and clips that cannot be read."""

    encoded: int
    bad: int


class CodeCache:
    """Called with a path, returns the codes [K, T] int64. May be used by any thread and process."""

    def __init__(self, directory: Path, codec: IdentifiedCodec) -> None:
        self.directory = directory
        self.codec = codec
        self._keys: dict[tuple[str, str, int, int], str] = {}  # by codec, path, size and modification time
        self._failed = False  # to keep codes

    def __call__(self, path: Path) -> Codes:
        """Codes of the clip [K, T] int64, from disk or computed now. Raises `DataError` if the clip cannot be read."""
        place = self._place(path)
        cached = _read(place)
        if cached is not None:
            return cached
        codes = self._encoded(path)
        try:
            self._write(place, codes)
        except DataError as error:
            if not self._failed:
                logger.warning("%s Until then they are computed again each time.", error)
            self._failed = True
        return codes

    def put(self, path: Path, codes: Codes) -> None:
        """Store `codes` [K, T] of the clip, computed elsewhere. Raises `DataError` where they cannot be kept."""
        self._write(self._place(path), codes)

    def prepare(self, paths: Iterable[Path], *, skip_bad: bool = False) -> Prepared:
        """Compute missing codes, so that later calls only read, also in forked workers of a data loader.

        Under DDP each rank may take a share of the paths: `codes.prepare(paths[rank::world_size])`. Raises `DataError`
        for a clip that cannot be read, unless `skip_bad`, and where codes cannot be kept.
        """
        encoded, bad = 0, 0
        for path in paths:
            try:
                place = self._place(path)
                if _read(place) is not None:
                    continue
                codes = self._encoded(path)
            except DataError:
                if not skip_bad:
                    raise
                bad += 1
                continue
            self._write(place, codes)
            encoded += 1
        return Prepared(encoded=encoded, bad=bad)

    def prepare_samples(
        self, parts: Sequence[Sequence[VoiceSample]], *, rank: int = 0, world_size: int = 1, skip_bad: bool = False
    ) -> Prepared:
        """`prepare` for this rank's share of the clips of samples, with a progress bar on rank 0.

        Raises `DataError` for a sample or clip that cannot be read, unless `skip_bad`.
        """
        share = [(part, index) for part in parts for index in range(rank, len(part), world_size)]
        bar = tqdm(share, desc="Codes", unit="sample", disable=rank != 0)
        paths = (path for part, index in bar for path in _clips_of(part, index, skip_bad=skip_bad))
        return self.prepare(paths, skip_bad=skip_bad)

    def _place(self, path: Path) -> Path:
        """Where the codes are. A file is hashed again only when its size or modification time changed."""
        try:
            status = path.stat()
            if status.st_size > MAX_FILE_BYTES:
                raise DataError(f"{shown(path)}: larger than {MAX_FILE_BYTES / 1e9:g} GB. Cut it into utterances.")
            version = (self.codec.identity, str(path), status.st_size, status.st_mtime_ns)
            if version not in self._keys:
                digest = hashlib.sha256(self.codec.identity.encode() + b"\0")
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                self._keys[version] = digest.hexdigest()
        except OSError as error:
            raise DataError(
                f"{shown(path)}: the audio file cannot be read ({error.strerror}). Correct the path or its permissions."
            ) from error
        key = self._keys[version]
        return self.directory / key[:2] / f"{key}.npy"

    def _encoded(self, path: Path) -> Codes:
        return self.codec.encode(load_audio(path, self.codec.sample_rate))

    def _write(self, place: Path, codes: Codes) -> None:
        """Raises `DataError` where it cannot be written."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(place) as part, part.open("wb") as file:  # numpy adds a suffix to a path
                np.save(file, codes.astype(np.int32))
        except OSError as error:
            raise cannot_keep(self.directory, error, instead="name another folder with --code_cache") from error


def cannot_keep(directory: Path, error: OSError, *, instead: str) -> DataError:
    """The error to be raised for a directory that codes cannot be written to. `instead`: how another one is chosen."""
    return DataError(
        f"{shown(directory)}: codes of clips cannot be kept there ({error.strerror}). Make room, correct the "
        f"permissions, or {instead}."
    )


def _read(place: Path) -> Codes | None:
    try:
        return np.load(place).astype(np.int64)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError):
        return None


def _clips_of(samples: Sequence[VoiceSample], index: int, *, skip_bad: bool) -> list[Path]:
    """The audio files of a sample; none for a sample that cannot be read, with `skip_bad`."""
    try:
        sample = samples[index]
    except DataError:
        if not skip_bad:
            raise
        return []
    return list(sample.clips)
