"""A data file as records and findings: every item is read by the format's own reader, and looked at in the JSON too.

- Whatever a reader raises becomes a finding: a check never ends in a traceback.
- Where the JSON shows what is wrong with a refused item, that is said in the place of the reader's refusal.

    found = read_records(Path("train.json"), clips=ClipReader())
    found.records, found.findings, found.is_broken
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats import FORMATS, Format, Source
from tracker_logging.data.formats.json_files import JsonLines, JsonList
from tracker_logging.data.formats.record_file import RecordSource
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.doctor.data_checks import checks, structure, texts
from tracker_logging.doctor.data_checks.clips import ClipReader
from tracker_logging.doctor.data_checks.finding import DataFinding, Place
from tracker_logging.doctor.data_checks.record import Record

Progress = Callable[[int, int], None]
"""Called with the number of items done and the number of all."""

_NOT_THERE = re.compile(r"does not exist|no such (?:audio )?file|is a directory|circular link")


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds. `read`: items, refused ones included. `is_broken`: the file as a whole cannot be read."""

    place: Place
    records: list[Record] = field(default_factory=list)
    findings: list[DataFinding] = field(default_factory=list)
    read: int = 0
    is_broken: bool = False


def no_progress(done: int, total: int) -> None:
    """For those who need none."""


def read_records(
    path: Path, *, clips: ClipReader, shelf: AudioShelf | None = None, progress: Progress = no_progress
) -> Found:
    """Read all of `path`. Raises nothing for bad data. `shelf`: how audio that is no file is found."""
    place = Place(shown(path))
    source = _source(path, place, shelf or AudioShelf())
    if isinstance(source, DataFinding):
        return Found(place, findings=[source], is_broken=True)
    records: list[Record] = []
    findings: list[DataFinding] = []
    for index in range(len(source)):
        try:
            record = record_of(source[index], file=place.file, clips=clips)
        except Exception as error:  # a reader that stumbles over hostile data must not end the report
            findings += _refused(error, _item(source, index), path=path, index=index)
        else:
            records.append(record)
            item = _item(source, index)
            findings += structure.structure_findings(record.place, item)
            findings += texts.doubled_texts(record.place, item, record.sample)
        progress(index + 1, len(source))
    return Found(place, records, findings, len(source))


def record_of(sample: VoiceSample, *, file: str, clips: ClipReader) -> Record:
    """The sample with the headers of its clips."""
    return Record(
        file=file,
        sample=sample,
        reference=None if sample.reference_audio is None else clips.header(sample.reference_audio),
        target=None if sample.target_audio is None else clips.header(sample.target_audio),
    )


def _source(path: Path, place: Place, shelf: AudioShelf) -> Source | DataFinding:
    """The samples of `path`, or why there are none."""
    try:
        if not path.exists():
            dangling = path.is_symlink()
            seen = "a link that leads nowhere, or to itself" if dangling else "no such file or directory"
            return checks.FILE_MISSING.at(place, seen=seen)
        chosen = next((one for one in FORMATS if one.recognises(path)), None)
        return chosen.open(path, shelf) if chosen is not None else _unknown(path, place, FORMATS)
    except Exception as error:  # as above
        seen, cure = _apart(_words(error))
        return checks.FILE_UNREADABLE.at(place, seen=seen, cure=cure)


def _unknown(path: Path, place: Place, formats: Sequence[Format]) -> DataFinding:
    what = "a directory" if path.is_dir() else f"a file with the ending {path.suffix!r}"
    known = ", ".join(one.name for one in formats)
    return checks.FILE_UNKNOWN.at(place, seen=f"{what} in none of the formats that can be read ({known})")


def _item(source: Source, index: int) -> object:
    """The item as it stands in a JSON file; None for other sources, and where it is not even JSON."""
    if not isinstance(source, RecordSource) or not isinstance(source.records, list | JsonLines | JsonList):
        return None
    try:
        return source.records[index]
    except DataError:
        return None


def _refused(error: Exception, item: object, *, path: Path, index: int) -> list[DataFinding]:
    """What the JSON shows, else the reader's words taken apart: place, what is wrong, cure."""
    message = _words(error)
    named = re.match(rf".*?({re.escape(path.name)}(?:\[\d+\]|:\d+))[.,:]?\s*", message)
    place = Place(shown(path), named[1] if named else f"{path.name}[{index}]")
    shaped = list(structure.structure_findings(place, item))
    if any(one.level == "error" for one in shaped):
        return shaped
    problem, cure = _apart(message[named.end() :] if named else message)
    check = checks.AUDIO_MISSING if _NOT_THERE.search(problem) else checks.SAMPLE_REFUSED
    return [*shaped, check.at(place, seen=problem, cure=cure)]


def _apart(message: str) -> tuple[str, str | None]:
    """(what is wrong, what to do): the cure stands behind a semicolon, or is the last sentence of the message."""
    for mark in ("; ", ". "):
        problem, found, cure = message.rpartition(mark)
        if found:
            return problem.strip(), f"{cure[:1].upper()}{cure[1:]}."
    return message.strip(), None


def _words(error: Exception) -> str:
    """The error in words; one that is no `DataError` is named, for it may be ours."""
    if isinstance(error, DataError):
        return str(error).rstrip(".")
    return "nested too deeply" if isinstance(error, RecursionError) else f"{type(error).__name__}: {error}"
