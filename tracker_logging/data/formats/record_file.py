"""Formats that are files of records: what a record means, independent of the container (JSON, CSV, parquet).

Guarantees
- The format of a file is the one that most of its first 16 records fit; of two, the one listed first.
- A record that fits only another format is refused: formats cannot be mixed in one file.

    FORMAT = RecordFormat("pair manifest", fits, sample)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import search_folders
from tracker_logging.data.formats.base import Format, Reading
from tracker_logging.data.formats.columns import AUDIO, TEXT
from tracker_logging.data.formats.containers import may_be_data, open_records, peek, stream_records
from tracker_logging.data.formats.record import Place, Record
from tracker_logging.data.sample import DataError, VoiceSample, printable, shown

_LOOKED_AT = 16
_NAMED = 12  # columns in a message
_OF_CHATS = frozenset({"messages", "conversation", "conversations", "role", "content", "audios", "start_index", "misc"})

Values: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """`fits`: whether a record looks like this format; does not raise. `sample` parses it, or raises `DataError`."""

    name: str
    fits: Callable[[Values], bool]
    sample: Callable[[Record], VoiceSample]


def best_fit(records: Sequence[object], formats: Sequence[RecordFormat]) -> RecordFormat | None:
    """The format that most of `records` fit; None if they fit none."""
    values = [_values(record) for record in records]
    counts = [sum(known.fits(value) for value in values) for known in formats]
    return formats[counts.index(max(counts))] if any(counts) else None


@dataclass(frozen=True, slots=True)
class RecordSource:
    """The samples of `records`, read from `path`."""

    path: Path
    records: Sequence[object]
    format: RecordFormat
    among: Sequence[RecordFormat]
    folders: tuple[Path, ...]
    shelf: AudioShelf

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int, /) -> VoiceSample:
        return self.parse(self.records[index], index)

    def parse(self, value: object, index: int) -> VoiceSample:
        """The sample of `value`. Raises `DataError`."""
        place = Place(self.path, index, self.folders, self.shelf)
        values = _values(value)
        if not self.format.fits(values):
            other = next((known for known in self.among if known.fits(values)), None)
            if other is not None:
                raise place.error(
                    "", f"is {other.name} in a file of {self.format.name}; put the two formats into separate files"
                )
        return self.format.sample(Record(value, place))


class RecordFile(Format):
    """Files of records in one `record_format`; `among`: all formats that such files can have.

    The first of `among` also accepts JSON that fits none, so that the error names what is missing.
    """

    def __init__(self, record_format: RecordFormat, among: Sequence[RecordFormat]) -> None:
        self.name = record_format.name
        self._format = record_format
        self._among = among

    def recognises(self, path: Path) -> bool:
        if not path.is_file():
            return False
        records = peek(path, _LOOKED_AT)
        best = best_fit(records, self._among)
        if best is None:
            return self._format is self._among[0] and may_be_data(path, read=len(records))
        return best is self._format

    def open(self, path: Path, shelf: AudioShelf) -> RecordSource:
        records = open_records(path)
        if self._format is self._among[0]:
            _check_columns(path, peek(path, _LOOKED_AT), self._among)
        return RecordSource(path, records, self._format, self._among, search_folders(path), shelf)

    def read(self, path: Path, shelf: AudioShelf | None = None) -> Reading:
        source = RecordSource(path, (), self._format, self._among, search_folders(path), shelf or AudioShelf())
        for index, value in enumerate(stream_records(path)):
            yield value if isinstance(value, DataError) else _parsed(source, value, index)


def _check_columns(path: Path, records: Sequence[object], formats: Sequence[RecordFormat]) -> None:
    """Raises `DataError` for records of columns that no format knows, unless they are meant to be conversations."""
    names = dict.fromkeys(str(name) for record in records if isinstance(record, Mapping) for name in record)
    is_plain = all(isinstance(record, Mapping) and record for record in records)
    if not records or not is_plain or not names.keys().isdisjoint(_OF_CHATS) or best_fit(records, formats) is not None:
        return
    missing = " and ".join(role for role, known in (("audio", AUDIO), ("text", TEXT)) if names.keys().isdisjoint(known))
    listed = ", ".join(map(printable, list(names)[:_NAMED]))
    raise DataError(
        f"{shown(path)}: the columns {listed} have none known as {missing or 'audio and text'}. Name them with "
        "--columns audio=…,text=…,speaker=…."
    )


def _values(record: object) -> Values:
    if isinstance(record, list):
        return {"messages": record}
    return record if isinstance(record, Mapping) else {}


def _parsed(source: RecordSource, value: object, index: int) -> VoiceSample | DataError:
    try:
        return source.parse(value, index)
    except DataError as error:
        return error
    except Exception as error:  # as in `read_sample`
        reason = f"{type(error).__name__}: {error}"
        return DataError(f"{source.path.name}[{index}] cannot be read ({reason}). Correct or drop the sample.")
