"""A data file as records and findings: every item is read by the format's own reader, and its JSON is checked too.

- Whatever a reader raises becomes a finding: a check never ends with a traceback.
- Where the JSON shows why an item is refused, that finding replaces the reader's message.

>>> file = read_records(Path("missing.json"), clips=ClipReader())
>>> file.records, file.is_broken, [finding.name for finding in file.findings]
([], True, ['file_missing'])
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats import FORMATS, Format, Source, find_format
from tracker_logging.data.formats.json_files import JsonLines, JsonList
from tracker_logging.data.formats.record_file import RecordSource
from tracker_logging.data.references import Pairing, pair_references
from tracker_logging.data.sample import DataError, shown
from tracker_logging.doctor.data_checks import checks, structure, texts
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.record import ClipReader, Record, record_of

Progress = Callable[[int, int], None]
"""Called with the number of items done and the number of all."""

_NOT_THERE = re.compile(r"does not exist|no such (?:audio )?file|is a directory|circular link")


@dataclass(frozen=True, slots=True)
class DataFile:
    """The content of a file. `read`: items, refused ones included. `is_broken`: the file as a whole cannot be read."""

    place: Place
    records: list[Record] = field(default_factory=list)
    findings: list[DataFinding] = field(default_factory=list)
    read: int = 0
    is_broken: bool = False


def no_progress(done: int, total: int) -> None:
    """Does nothing."""


def read_records(
    path: Path,
    *,
    clips: ClipReader,
    shelf: AudioShelf | None = None,
    columns: Mapping[str, str] | None = None,
    pairing: Pairing | None = None,
    progress: Progress = no_progress,
) -> DataFile:
    """Read all of `path`. Raises nothing for bad data. `shelf`: resolves audio that is not a plain file. `columns`,
    `pairing`: as in `open_samples`."""
    place = Place(shown(path))
    source = _source(path, place, shelf or AudioShelf(), columns)
    if isinstance(source, DataFinding):
        return DataFile(place, findings=[source], is_broken=True)
    read: list[Record | None] = []
    findings: list[DataFinding] = []
    for index in range(len(source)):
        try:
            record = record_of(source[index], file=place.file, clips=clips)
        except Exception as error:  # a reader that fails on malformed data must not end the report
            read.append(None)
            findings += _refused(error, _item(source, index), path=path, index=index)
        else:
            read.append(record)
            item = _item(source, index)
            findings += structure.structure_findings(record.place, item)
            findings += texts.doubled_texts(record.place, item, record.sample)
        progress(index + 1, len(source))
    if pairing is not None:
        findings += _pair(read, place, pairing, clips)
    return DataFile(place, [record for record in read if record is not None], findings, len(source))


def _pair(read: list[Record | None], place: Place, pairing: Pairing, clips: ClipReader) -> Iterator[DataFinding]:
    """Give the records the references that training gives them, in place. `read`: None for each refused sample."""
    speakers = [None if record is None else record.sample.speaker for record in read]
    targets = [None if record is None else record.target for record in read]
    seconds = [None if clip is None or clip.problem is not None else clip.seconds for clip in targets]
    partners = pair_references(speakers, seconds, pairing)
    samples = [None if record is None else record.sample for record in read]
    for index, (sample, partner) in enumerate(zip(samples, partners, strict=True)):
        reference = None if partner is None else samples[partner]
        if sample is not None and sample.reference_audio is None and reference is not None:
            read[index] = record_of(sample.with_reference_from(reference), file=place.file, clips=clips)
    alone = Counter(
        sample.speaker
        for sample, partner in zip(samples, partners, strict=True)
        if sample is not None and sample.speaker and sample.reference_audio is None and partner is None
    )
    for speaker, count in alone.items():
        seen = f"{speaker!r}: {count} samples, no other clip of {pairing.min_s:g} to {pairing.max_s:g} s"
        yield checks.SPEAKER_WITHOUT_REFERENCE.at(place, seen=seen, field="speaker")


def _source(path: Path, place: Place, shelf: AudioShelf, columns: Mapping[str, str] | None) -> Source | DataFinding:
    """The samples of `path`, or the finding that explains why there are none."""
    try:
        if not path.exists():
            dangling = path.is_symlink()
            seen = "a broken or circular link" if dangling else "no such file or directory"
            return checks.FILE_MISSING.at(place, seen=seen)
        known = find_format(path, columns) if columns else _recognised(path)
        return known.open(path, shelf) if known is not None else _unknown(path, place, FORMATS)
    except Exception as error:  # as in read_records
        seen, fix = _problem_and_fix(_message(error))
        return checks.FILE_UNREADABLE.at(place, seen=seen, fix=fix)


def _recognised(path: Path) -> Format | None:
    return next((known for known in FORMATS if known.recognises(path)), None)


def _unknown(path: Path, place: Place, formats: Sequence[Format]) -> DataFinding:
    what = "a directory" if path.is_dir() else f"a file with the ending {path.suffix!r}"
    known = ", ".join(format_.name for format_ in formats)
    return checks.FILE_UNKNOWN.at(place, seen=f"{what} in none of the formats that can be read ({known})")


def _item(source: Source, index: int) -> object:
    """The raw item of a JSON file; None for other sources, and where it is not JSON."""
    if not isinstance(source, RecordSource) or not isinstance(source.records, list | JsonLines | JsonList):
        return None
    try:
        return source.records[index]
    except DataError:
        return None


def _refused(error: Exception, item: object, *, path: Path, index: int) -> list[DataFinding]:
    """The findings of the JSON, else the parsed message of the reader: place, problem, fix."""
    message = _message(error)
    named = re.match(rf".*?({re.escape(path.name)}(?:\[\d+\]|:\d+))[.,:]?\s*", message)
    place = Place(shown(path), named[1] if named else f"{path.name}[{index}]")
    shaped = list(structure.structure_findings(place, item))
    if any(finding.level == "error" for finding in shaped):
        return shaped
    problem, fix = _problem_and_fix(message[named.end() :] if named else message)
    check = checks.AUDIO_MISSING if _NOT_THERE.search(problem) else checks.SAMPLE_REFUSED
    return [*shaped, check.at(place, seen=problem, fix=fix)]


def _problem_and_fix(message: str) -> tuple[str, str | None]:
    """The fix follows a semicolon, or is the last sentence of the message."""
    for mark in ("; ", ". "):
        problem, separator, fix = message.rpartition(mark)
        if separator:
            return problem.strip(), f"{fix[:1].upper()}{fix[1:]}."
    return message.strip(), None


def _message(error: Exception) -> str:
    """The error's message, with the type of an error that is not a `DataError`."""
    if isinstance(error, DataError):
        return str(error).rstrip(".")
    return "nested too deeply" if isinstance(error, RecursionError) else f"{type(error).__name__}: {error}"
