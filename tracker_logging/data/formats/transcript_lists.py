"""Lists of transcripts among the recordings of a corpus: each line is the name of a recording and its text.

    ESD, MLS                0011_000001<tab>The text.[<tab>Neutral]
    AISHELL-3               SSB00050001.wav<tab>广 guang3 州 zhou1
    JSUT, JVS               VOICE_001:The text.
    CMU ARCTIC              ( arctic_a0001 "The text." )
    AISHELL                 BAC009S0002W0122 the text

A list lies in the folder of the recordings, in one above it, or in `etc` or `transcript` there. A file counts as a list
if half of its first lines or more begin with the name of a recording. One column of a list is the text
(`text_columns.py`); of characters with their pinyin the characters are. A list that is not UTF-8, or in which two
columns may be the text, is the error of the recordings that no other list has.

>>> parse_line("VOICE_001:Good morning."), parse_line('( a1 "Good morning." )'), parse_line("a1 Good morning.")
(('VOICE_001', ['Good morning.']), ('a1', ['Good morning.']), ('a1', ['Good morning.']))
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

from tracker_logging.data.find_file import AUDIO_ENDINGS
from tracker_logging.data.formats.text_columns import share_of, text_columns, unclear
from tracker_logging.data.sample import DataError, shown
from tracker_logging.data.text_files import read_utf8, text_lines, wide_encoding
from tracker_logging.data.walk import APPLE_DOUBLE

_ENDINGS = (".txt", ".tsv", ".csv", ".data", ".lab")
_INNER = ("etc", "transcript")
_LOOKED_AT, _LOOK = 50, 1 << 16  # lines, bytes
_MOST_FILES = 20  # of a folder: where each recording has a text file, that is no list
_MAX_BYTES = 1 << 30
_FESTIVAL = re.compile(r'\(\s*(\S+)\s+"(.*)"\s*\)')
_READING = re.compile(r"([\u3400-\u9fff]+)\s+[a-zü:]+\d(?:\s+|$)")  # 广 guang3
_COLON = re.compile(r"(\S+?):\s*(.+)")


class TranscriptLists:
    """The lists below `directory`. `names`: of the recordings without a text of their own, without ending."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        self._directory = directory
        self._names = names
        self._lists: dict[Path, tuple[Path, ...]] = {}

    def of(self, recording: Path) -> Path | None:
        """The nearest list that has a line for `recording`; else the nearest that cannot be read, if there is one."""
        unreadable: Path | None = None
        for folder in (recording.parent, *recording.parent.parents):
            for place in (folder, *(folder / name for name in _INNER)):
                if place not in self._lists:
                    self._lists[place] = tuple(self._found(place))
                for path in self._lists[place]:
                    texts = _texts(path)
                    if isinstance(texts, DataError):
                        unreadable = unreadable or path
                    elif recording.stem in texts:
                        return path
            if folder == self._directory:
                break
        return unreadable

    def _found(self, folder: Path) -> list[Path]:
        try:
            inner = sorted(folder.iterdir()) if folder.is_dir() else []
        except OSError:  # may not be listed, which the reader of the directory reports
            return []
        files = [
            path
            for path in islice(inner, 10_000)
            if path.suffix.lower() in _ENDINGS and not path.name.startswith(APPLE_DOUBLE)
        ]
        return [path for path in files if self._is_list(path)] if len(files) <= _MOST_FILES else []

    def _is_list(self, path: Path) -> bool:
        try:
            if not path.is_file() or path.stat().st_size > _MAX_BYTES:
                return False
            with path.open("rb") as file:
                start = file.read(_LOOK)
        except OSError:
            return False
        text = start.decode(wide_encoding(start[:4]) or "utf-8-sig", errors="replace")
        lines = [line.strip() for line in text_lines(text)[:_LOOKED_AT]]
        keys = [parsed[0] for line in lines if line and (parsed := parse_line(line)) is not None]
        return 2 * sum(key in self._names for key in keys) >= max(1, len(keys))


def transcripts(path: Path) -> Mapping[str, str]:
    """The texts by name of the recording. Raises `DataError` for a file that is not UTF-8, or if two columns may be the
    text."""
    texts = _texts(path)
    if isinstance(texts, DataError):
        raise DataError(str(texts))
    return texts


@lru_cache(maxsize=32)
def _texts(path: Path) -> Mapping[str, str] | DataError:
    try:
        lines = text_lines(read_utf8(path, max_bytes=_MAX_BYTES))
        rows = dict(parsed for line in lines if (parsed := parse_line(line.strip())) is not None)
        column = _text_column(path, list(islice(rows.values(), _LOOKED_AT))) if rows else 0
    except DataError as error:
        return error
    texts = {name: cells[column] for name, cells in rows.items() if column < len(cells) and cells[column]}
    if share_of(not _READING.sub("", text) for text in islice(texts.values(), _LOOKED_AT)) < 0.5:
        return texts
    return {name: _READING.sub(r"\1", text) for name, text in texts.items()}


def _text_column(path: Path, rows: Sequence[Sequence[str]]) -> int:
    """Which of the cells of `rows` is the text. Raises `DataError` if two may be."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    cells = zip(*(row for row in rows if len(row) == width), strict=True)
    columns = {str(number): column for number, column in enumerate(cells, start=2)}  # the name is column 1
    texts, other = text_columns(columns)
    if other is not None:
        raise DataError(f"{shown(path)}: {unclear(columns, texts[-1], other)}. Keep only the words of the recordings.")
    return int(texts[-1]) - 2


def parse_line(line: str) -> tuple[str, list[str]] | None:
    """The name of the recording, without folder and ending, and the cells after it; None for another line."""
    if festival := _FESTIVAL.fullmatch(line):
        return festival[1], [festival[2].replace('\\"', '"')]
    delimiter = next((mark for mark in "\t|" if mark in line), None)
    if delimiter is not None:
        name, *cells = (cell.strip() for cell in line.split(delimiter))
    elif colon := _COLON.fullmatch(line):
        name, cells = colon[1], [colon[2].strip()]
    else:
        name, *cells = (cell.strip() for cell in line.split(" ", maxsplit=1))
    file = PurePosixPath(name.replace("\\", "/"))
    stem = file.stem if file.suffix.lower() in AUDIO_ENDINGS else file.name
    return (stem, cells) if stem and any(cells) else None
