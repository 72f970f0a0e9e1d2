"""Directories that hold a known data file: the path of the directory is as good as that of the file.

Read are the audiofolder of Hugging Face (`metadata.csv`, `.jsonl` or `.parquet` with `file_name`), LJSpeech and F5-TTS
(`metadata.csv` beside `wavs`), NeMo (`manifest.json`), Seed-TTS-eval (`meta.lst`), Lhotse (`cuts.jsonl.gz`), MeloTTS
(`metadata.list`), a `metadata.json` with samples, a folder of parquet files, as Hugging Face datasets are downloaded,
and any other table or JSON Lines that is the only one in the directory.

A directory with several such files is refused with their names, for one of them may be the test data. The parquet files
of one split are read together; where their names count more of them than are there, a warning tells it.
"""

from __future__ import annotations

import bisect
import itertools
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.metadata_folder import METADATA, first_samples
from tracker_logging.data.formats.renamed import UnknownTable
from tracker_logging.data.sample import DataError, VoiceSample, printable, shown
from tracker_logging.data.samples import Source
from tracker_logging.data.walk import is_file, is_folder, walk

logger = logging.getLogger(__name__)

NAMES = (
    *(f"{stem}{ending}" for stem in ("metadata", "manifest") for ending in (".csv", ".tsv", ".jsonl", ".parquet")),
    "manifest.json",
    "metadata.list",
    "meta.lst",
    "cuts.jsonl",
    "cuts.jsonl.gz",
)
_NUMBERED = re.compile(r"(.*?)-?\d+-of-(\d{1,9})")
_TABLES = (".tsv", ".csv", ".jsonl", ".list", ".lst")


class DataFolder(Format):
    """`find`: the format of a file."""

    name = "directory with a data file"

    def __init__(self, find: Callable[[Path], Format]) -> None:
        self._find = find

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and bool(self._files(path))

    def open(self, path: Path, shelf: AudioShelf) -> Source:
        files = self._files(path)
        parquet = all(file.suffix == ".parquet" for file in files)
        if len(files) > 1 and (not parquet or len({_split(file) for file in files}) > 1):
            names = ", ".join(file.relative_to(path).as_posix() for file in files[:6])
            raise DataError(f"{shown(path)}: has several data files ({names}). Give the path of one of them.")
        _warn_of_missing(path, files)
        sources = [self._find(file).open(file, shelf) for file in files]
        return sources[0] if len(sources) == 1 else Concatenated.of(sources)

    def _files(self, folder: Path) -> list[Path]:
        """The data files in `folder`, or if there are none, one level below it."""
        with os.scandir(folder) as entries:
            inner = sorted(Path(entry.path) for entry in entries if is_folder(entry))
        for places in ([folder], inner):
            files = [place / name for place in places for name in NAMES if is_file(place / name)]
            if places == [folder] and is_file(folder / METADATA) and _has_samples(folder / METADATA):
                files.append(folder / METADATA)
            files = files or [file for place in places for file in _files_in(place, ".parquet")]
            if files:
                return files
        return [file for file in _files_in(folder, *_TABLES) if self._is_data(file)]

    def _is_data(self, file: Path) -> bool:
        try:
            return not isinstance(self._find(file), UnknownTable)
        except DataError:
            return False


def _has_samples(metadata: Path) -> bool:
    """Whether a `metadata.json` is more than a description of the data."""
    try:
        return bool(first_samples(metadata))
    except DataError:
        return False


def _files_in(folder: Path, *endings: str) -> list[Path]:
    """The files of these endings, sorted; none of a folder that may not be listed."""
    _, names = next(walk(folder), (folder, []))
    return [folder / name for name in sorted(names) if name.endswith(endings) and is_file(folder / name)]


def _split(file: Path) -> str:
    """`data/train` for `data/train-00000-of-00004.parquet`; else the name, for the file stands for itself."""
    numbered = _NUMBERED.match(file.stem)
    return f"{file.parent}/{numbered[1]}" if numbered else str(file)


def _warn_of_missing(folder: Path, files: Sequence[Path]) -> None:
    """Log how many `files` of a split are missing by the name of the first."""
    numbered = _NUMBERED.match(files[0].stem)
    if numbered and len(files) < int(numbered[2]):
        logger.warning(
            "%s: %d of %d files are here, by the name of %s; the samples in the others are missing. Download these, "
            "unless the part is intended.",
            shown(folder),
            len(files),
            int(numbered[2]),
            printable(files[0].name),
        )


@dataclass(frozen=True, slots=True)
class Concatenated:
    """The samples of several sources, one after the other. `ends`: where each ends."""

    sources: tuple[Source, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Concatenated:
        return cls(tuple(sources), tuple(itertools.accumulate(len(source) for source in sources)))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int, /) -> VoiceSample:
        number = bisect.bisect_right(self.ends, index)
        return self.sources[number][index - (self.ends[number - 1] if number else 0)]
