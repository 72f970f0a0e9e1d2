"""Lists of transcripts among the recordings of a corpus: each line is the name of a recording and its text.

    ESD, MLS, AISHELL-3     0011_000001<tab>The text.[<tab>Neutral]
    JSUT, JVS               VOICE_001:The text.
    CMU ARCTIC              ( arctic_a0001 "The text." )
    AISHELL                 BAC009S0002W0122 the text

A list lies in the folder of the recordings, in one above it, or in `etc` or `transcript` there. A file counts as a list
if half of its first lines or more begin with the name of a recording; of several columns the longest is the text.

>>> parse_line("VOICE_001:Good morning."), parse_line('( a1 "Good morning." )'), parse_line("a1 Good morning.")
(('VOICE_001', 'Good morning.'), ('a1', 'Good morning.'), ('a1', 'Good morning.'))
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

from tracker_logging.data.find_file import AUDIO_ENDINGS
from tracker_logging.data.sample import DataError
from tracker_logging.data.text_files import read_utf8

_ENDINGS = (".txt", ".tsv", ".csv", ".data", ".lab")
_INNER = ("etc", "transcript")
_LOOKED_AT = 50  # lines
_MOST_FILES = 20  # of a folder: where each recording has a text file, that is no list
_MAX_BYTES = 1 << 30
_FESTIVAL = re.compile(r'\(\s*(\S+)\s+"(.*)"\s*\)')
_COLON = re.compile(r"(\S+?):\s*(.+)")


class TranscriptLists:
    """The lists below `directory`. `names`: of the recordings without a text of their own, without ending."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        self._directory = directory
        self._names = names
        self._lists: dict[Path, tuple[Path, ...]] = {}

    def of(self, recording: Path) -> Path | None:
        """The nearest list that has a line for `recording`."""
        for folder in (recording.parent, *recording.parent.parents):
            for place in (folder, *(folder / name for name in _INNER)):
                if place not in self._lists:
                    self._lists[place] = tuple(self._found(place))
                for path in self._lists[place]:
                    if recording.stem in transcripts(path):
                        return path
            if folder == self._directory:
                break
        return None

    def _found(self, folder: Path) -> list[Path]:
        if not folder.is_dir():
            return []
        files = [path for path in islice(sorted(folder.iterdir()), 10_000) if path.suffix.lower() in _ENDINGS]
        return [path for path in files if self._is_list(path)] if len(files) <= _MOST_FILES else []

    def _is_list(self, path: Path) -> bool:
        try:
            if not path.is_file() or path.stat().st_size > _MAX_BYTES:
                return False
            with path.open("rb") as file:
                lines = [line.decode(errors="replace").strip() for line in islice(file, _LOOKED_AT)]
        except OSError:
            return False
        keys = [parsed[0] for line in lines if line and (parsed := parse_line(line)) is not None]
        return 2 * sum(key in self._names for key in keys) >= max(1, len(keys))


@lru_cache(maxsize=32)
def transcripts(path: Path) -> Mapping[str, str]:
    """The texts by name of the recording; none of a file that is not UTF-8."""
    try:
        lines = read_utf8(path, max_bytes=_MAX_BYTES).splitlines()
    except DataError:
        return {}
    return dict(parsed for line in lines if (parsed := parse_line(line.strip())) is not None)


def parse_line(line: str) -> tuple[str, str] | None:
    """The name of the recording, without folder and ending, and the text; None for another line."""
    if festival := _FESTIVAL.fullmatch(line):
        return festival[1], festival[2].replace('\\"', '"')
    delimiter = next((mark for mark in "\t|" if mark in line), None)
    if delimiter is not None:
        name, *cells = (cell.strip() for cell in line.split(delimiter))
        text = max(reversed(cells), key=len)
    elif colon := _COLON.fullmatch(line):
        name, text = colon[1], colon[2]
    else:
        name, _, text = line.partition(" ")
    file = PurePosixPath(name.replace("\\", "/"))
    stem = file.stem if file.suffix.lower() in AUDIO_ENDINGS else file.name
    return (stem, text.strip()) if stem and text.strip() else None
