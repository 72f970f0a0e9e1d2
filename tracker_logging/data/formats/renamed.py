"""Records whose columns have names of their own, and tables without a header.

`--columns audio=wav,text=sentence` says which column has which role. A table without a header is told by what its cells
are: paths of recordings, codes of languages, texts. That reads

    LJSpeech, Coqui, Piper     id|text[|normalised text], id|speaker|text
    VITS, StyleTTS2            path|text, path|speaker|text, path|text|speaker
    GPT-SoVITS, MeloTTS        path|speaker|language|text[|…]
    Seed-TTS-eval meta.lst     id|prompt text|prompt audio|text[|target audio]
    LibriSpeech-PC, F5-TTS     id, seconds, text of the reference, then the same of the target
    CSS10, KSS 1.4             path|text|normalised text|seconds, path|text|expanded text|jamo|seconds|translation

where an id is the name of a recording without its ending, in the folder of the table or in `wavs`, `wav`, `clips` or
`audio` below it. Which column is the text is told by `text_columns.py`; a table with two that may be is refused. The
roles that were found are logged.

    ColumnsFormat({"audio": "wav", "text": "sentence"}).open(Path("data.csv"), AudioShelf())
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import AUDIO_ENDINGS, is_file_name, search_folders
from tracker_logging.data.formats.arrow_folder import STATE, ArrowRows
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.columns import AUDIO, ROLES, TEXT
from tracker_logging.data.formats.containers import Container, container_of, open_records
from tracker_logging.data.formats.lazy import LazySequence, outcomes
from tracker_logging.data.formats.manifests import audio_table_sample
from tracker_logging.data.formats.record_file import RecordFormat, RecordSource
from tracker_logging.data.formats.text_columns import is_text, share_of, text_columns, unclear
from tracker_logging.data.formats.text_table import (
    Layout,
    TextTable,
    check_text,
    first_lines,
    no_table,
    odd_first_line,
    peek_table,
)
from tracker_logging.data.sample import DataError, printable, shown

logger = logging.getLogger(__name__)

_LOOKED_AT = 24
_TABLE_ENDINGS = (".csv", ".tsv", ".psv", ".list", ".lst", ".txt")
_DECIMAL = re.compile(r"\d+[.,]\d+")
_LANGUAGES = frozenset(
    re.findall(
        r"\S+",
        "zh cn yue en ja jp ko kr fr de es it pt ru nl pl tr ar hi vi th id uk cs sv fi el he hu ro da no bg ca "
        "all_zh all_ja all_en all_ko all_yue auto zh_mix_en es-es en-us en-gb zh-cn",
    )
)


class Renamed(LazySequence[object]):
    """`records` with the column `columns[role]` under the name that readers know for the role; it replaces a column of
    that name. Other columns keep their names."""

    def __init__(self, records: Sequence[object], columns: Mapping[str, str]) -> None:
        self._records = records
        self._columns = dict(columns)

    def __len__(self) -> int:
        return len(self._records)

    def item(self, index: int) -> object:
        """Record `index` with its columns renamed. Raises `DataError`."""
        return self._renamed(self._records[index])

    def outcomes(self) -> Iterator[object | DataError]:
        """As in `LazySequence`."""
        for record in outcomes(self._records):
            yield record if isinstance(record, DataError) else self._renamed(record)

    def _renamed(self, record: object) -> object:
        if not isinstance(record, Mapping):
            return record
        taken = set(self._columns.values())
        kept = {name: value for name, value in record.items() if name not in taken}
        return kept | {ROLES.get(role, role): record.get(name) for role, name in self._columns.items()}


class ColumnsFormat(Format):
    """Any file of records, or Hugging Face dataset on disk, with its columns named by role."""

    name = "columns named by --columns"

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = dict(columns)

    def recognises(self, path: Path) -> bool:
        return path.is_file() or (path / STATE).is_file()

    def open(self, path: Path, shelf: AudioShelf) -> RecordSource:
        if path.is_dir() and not (path / STATE).is_file():
            raise DataError(
                f"{shown(path)}: a directory without columns for --columns. Give the path of its data file, or write a "
                "table (tracker-logging convert DIRECTORY OUT.csv --to manifest) and fill in its columns."
            )
        named = tuple(self._columns.values())
        records: Sequence[object] = ArrowRows(path) if path.is_dir() else open_records(path, named)
        first = next((record for record in _readable(records) if isinstance(record, Mapping)), {})
        missing = [name for name in self._columns.values() if name not in first]
        if missing:
            names = ", ".join(printable(str(name)) for name in first)
            raise DataError(f"{shown(path)}: no column {', '.join(missing)}. Name one of {names} in --columns.")
        return _source(path, Renamed(records, self._columns), shelf)


class HeaderlessTable(Format):
    """A text table whose first line is a row."""

    name = "table without header"

    def recognises(self, path: Path) -> bool:
        try:
            return path.is_file() and find_roles(path) is not None
        except DataError:
            return True  # `open` raises it

    def open(self, path: Path, shelf: AudioShelf) -> RecordSource:
        roles = find_roles(path)
        if roles is None:
            raise DataError(f"{shown(path)}: no column names an existing recording. Name the columns with --columns.")
        table = TextTable(path)
        _check_first_line(path, table.layout, roles)
        listed = ", ".join(f"{role}={column}" for role, column in roles.items() if role in ROLES)
        logger.warning(
            "%s: read as %s; columns %s. Set --columns if this is wrong.", shown(path), table.decision, listed
        )
        return _source(path, Renamed(table, roles), shelf)


class UnknownTable(Format):
    """Text tables in no other format, to name what is missing."""

    name = "table of unknown columns"

    def recognises(self, path: Path) -> bool:
        if not path.is_file() or path.suffix.lower() not in _TABLE_ENDINGS:
            return False
        try:
            check_text(path)
        except DataError:
            return True  # `open` raises it
        return peek_table(path, 1) is not None or _begins_with_text(path)

    def open(self, path: Path, shelf: AudioShelf) -> RecordSource:
        check_text(path)
        table = peek_table(path, 1)
        if (table is None or not table[0].has_header) and _is_separated_by_spaces(path):
            is_chapter = path.name.lower().endswith(".trans.txt")  # LibriSpeech
            fix = "Give the directory of the corpus" if is_chapter else "Replace the first space of each line by a tab"
            first = printable(first_lines(path)[0])[:120]
            raise DataError(
                f"{shown(path)}: the first line ({first!r}) separates recording and text by a space. {fix}."
            )
        if table is None:
            raise no_table(path)
        layout, _ = table
        if layout.has_header:
            names = ", ".join(printable(name) for name in layout.names)
            roles = {"audio": AUDIO, "text": TEXT}
            missing = " and ".join(role for role, known in roles.items() if not set(known) & set(layout.names))
            raise DataError(
                f"{shown(path)}: the columns {names} have none known as {missing or 'audio and text'}. Name them with "
                "--columns audio=…,text=…,speaker=…."
            )
        if problem := odd_first_line(layout.first_line):
            raise DataError(f"{shown(path)}: {problem}")
        first = printable(layout.first_line)[:120]
        raise DataError(
            f"{shown(path)}: the first line ({first!r}) has no known column name, and no cell below it is an existing "
            f"recording. Write a header such as {layout.delimiter.join(('audio', 'text', 'speaker'))!r}, or name the "
            "columns with --columns audio=1,text=2."
        )


def _check_first_line(path: Path, layout: Layout, roles: Mapping[str, str]) -> None:
    """Raises `DataError` for a first line that is no row: a comment, or names of columns that are not known."""
    if problem := odd_first_line(layout.first_line):
        raise DataError(f"{shown(path)}: {problem}")
    table = peek_table(path, _LOOKED_AT)
    rows = [] if table is None else table[1]
    folders = search_folders(path)
    audio = roles["audio" if "audio" in roles else "reference_audio"]
    found = [_has_audio_ending(cell) or is_file_name(cell, folders) for cell in (str(row[audio]) for row in rows)]
    if len(rows) > 2 and not found[0] and all(found[1:]) and not is_text([str(rows[0][roles["text"]])]):
        names = {role: str(rows[0][column]).strip() for role, column in roles.items() if role in ROLES}
        flag = ",".join(f"{role}={name}" for role, name in names.items())
        first = printable(layout.first_line)[:120]
        raise DataError(
            f"{shown(path)}: the first line ({first!r}) names columns that are not known. Set --columns "
            f"{printable(flag)}."
        )


def find_roles(path: Path) -> dict[str, str] | None:
    """The roles of the columns of a table without a header; None if `path` is none, or names no recordings. Raises
    `DataError` if two columns may be the text."""
    try:
        if container_of(path) is not Container.TABLE:
            return None
    except (DataError, OSError):
        return None
    table = peek_table(path, _LOOKED_AT)
    if table is None or table[0].has_header or not table[1]:
        return None
    columns = {name: [str(row[name]).strip() for row in table[1]] for name in table[0].names}
    folders = search_folders(path)
    audio = [name for name, cells in columns.items() if share_of(is_file_name(cell, folders) for cell in cells) >= 0.5]
    paths = [name for name, cells in columns.items() if share_of(map(_has_audio_ending, cells)) >= 0.5]
    if not audio:  # no recording is where its path says; each row names it
        audio = paths
    elif paths:  # then a name without its ending is an id in the first column, and elsewhere a speaker
        audio = [name for name in audio if name in paths or name == table[0].names[0]] or paths
    try:
        return roles_of(columns, audio)
    except DataError as error:
        raise DataError(f"{shown(path)}: {error}") from error


def roles_of(columns: Mapping[str, Sequence[str]], audio: Sequence[str]) -> dict[str, str] | None:
    """The roles of `columns` (cells by name, in order), of which `audio` name recordings; None without text. Raises
    `DataError`, without the file, if two columns may be the text."""
    names = list(columns)
    prompts = [name for name in audio if names.index(name) == 2]
    if prompts and len(names) in (4, 5) and is_text(columns[names[1]]) and is_text(columns[names[3]]):
        roles = {"id": names[0], "reference_text": names[1], "reference_audio": names[2], "text": names[3]}
        target = names[4] if len(names) == 5 else names[0] if names[0] in audio else None
        return roles | ({"audio": target} if target else {})
    if not audio:
        return None
    if len(audio) == 2 and (pair := _pair_of(columns, audio)):
        return pair
    clip = max(audio, key=lambda name: len(set(columns[name])))  # speakers 0, 1, 0 are no clips 0.wav, 1.wav
    roles = {"audio": clip}
    paths = {name for name in audio if share_of(map(_has_audio_ending, columns[name])) >= 0.5}
    rest = [name for name in names if name != clip and name not in paths]
    language = next((name for name in rest if _is_language(columns[name])), None)
    if language is not None:
        place = rest.index(language)
        before, after = rest[:place], rest[place + 1 :]
        roles["language"] = language
        if after and (is_text(columns[after[0]]) or not any(is_text(columns[name]) for name in before)):
            return roles | {"text": after[0]} | ({"speaker": before[0]} if before else {})
        rest = before + after
    if not rest:
        return None
    texts, other = text_columns({name: columns[name] for name in rest})
    if other is not None:
        flags = " or ".join(f"--columns audio={clip},text={name}" for name in (texts[-1], other))
        raise DataError(f"{unclear(columns, texts[-1], other)}. Set {flags}, with speaker=… if there is one.")
    roles["text"] = texts[-1]
    if len(texts) > 1:
        roles["raw_text"] = texts[0]
    names_someone = [name for name in rest if name not in texts and not is_text(columns[name])]
    speaker = next((name for name in names_someone if not _are_measured(columns[name])), None)
    return roles | ({"speaker": speaker} if speaker is not None else {})


def _pair_of(columns: Mapping[str, Sequence[str]], audio: Sequence[str]) -> dict[str, str] | None:
    """The roles where a text follows each of two recordings: reference, then target."""
    names = list(columns)
    first, second = (names.index(name) for name in audio)
    between = [name for name in names[first + 1 : second] if is_text(columns[name])]
    after = [name for name in names[second + 1 :] if is_text(columns[name])]
    if not between or not after:
        return None
    return {"reference_audio": audio[0], "reference_text": between[-1], "audio": audio[1], "text": after[-1]}


def _is_separated_by_spaces(path: Path) -> bool:
    """Whether most lines are the name of a recording, a space, and text. Does not raise."""
    try:
        lines = first_lines(path)
    except (DataError, OSError):
        return False
    folders = search_folders(path)
    words = [line.split(maxsplit=1) for line in lines[:_LOOKED_AT]]
    named = (len(parts) == 2 and (_has_audio_ending(parts[0]) or is_file_name(parts[0], folders)) for parts in words)
    return share_of(named) >= 0.5


def _begins_with_text(path: Path) -> bool:
    """Whether there is a line, and the file is not JSON. Does not raise."""
    try:
        return any(not line.lstrip().startswith(("{", "[")) for line in first_lines(path)[:1])
    except (DataError, OSError):
        return False


def _has_audio_ending(cell: str) -> bool:
    return cell.lower().endswith(AUDIO_ENDINGS)


def _is_language(cells: Sequence[str]) -> bool:
    return all(cell.casefold() in _LANGUAGES for cell in cells)


def _are_measured(cells: Sequence[str]) -> bool:
    """Whether these are decimal numbers, such as seconds."""
    return share_of(_DECIMAL.fullmatch(cell) for cell in cells) >= 0.5


def _readable(records: Sequence[object]) -> list[object]:
    """The first records that can be read."""
    readable: list[object] = []
    for index in range(min(len(records), _LOOKED_AT)):
        try:
            readable.append(records[index])
        except DataError:
            continue
    return readable


def _source(path: Path, records: Sequence[object], shelf: AudioShelf) -> RecordSource:
    folders = search_folders(path / STATE if path.is_dir() else path)
    return RecordSource(path, records, _RENAMED, (_RENAMED,), folders, shelf)


_RENAMED = RecordFormat("table", lambda values: True, audio_table_sample)
