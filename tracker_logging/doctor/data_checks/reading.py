"""A data file as rows and findings: every item is read by the format's own reader, and its JSON is checked too.

- One pass: a sample is checked when it is read, and only its numbers are kept.
- Whatever a reader raises becomes a finding: a check never ends with a traceback.
- Where the JSON shows why an item is refused, that finding replaces the reader's message.

>>> log = FindingLog()
>>> file = read_rows(Path("missing.json"), shared=Shared(), log=log, check=lambda record: (), options=ReadingOptions())
>>> len(file.rows), file.is_broken, log.counts
(0, True, Counter({'file_missing': 1}))
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats import Source, recognised, what_is
from tracker_logging.data.formats.json_files import JsonLines, JsonList
from tracker_logging.data.formats.lazy import outcomes
from tracker_logging.data.formats.paired_files import PairedSource
from tracker_logging.data.formats.record_file import RecordSource
from tracker_logging.data.references import PairedReferences, Pairing, with_references
from tracker_logging.data.sample import DataError, VoiceSample, cannot_read, shown
from tracker_logging.data.samples import read_sample
from tracker_logging.doctor.data_checks import checks, structure, texts
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.finding_log import FindingLog
from tracker_logging.doctor.data_checks.headers import read_header
from tracker_logging.doctor.data_checks.record import Clip, Record, record_of
from tracker_logging.doctor.data_checks.rows import NONE, Rows, Shared, counted

Progress = Callable[[int, int], None]
"""Called with the number of items done and the number of all."""
Checks = Callable[[Record], Iterable[DataFinding]]
"""The findings of one sample."""

CACHED = 20_000  # headers: references are used again and again, mostly by samples close to each other
_NOT_THERE = re.compile(r"does not exist|no such (?:audio )?file|is a directory|circular link")


@dataclass(frozen=True, slots=True)
class DataFile:
    """What a file contains. `read`: items, refused ones included. `is_broken`: it cannot be read as a whole."""

    rows: Rows
    read: int = 0
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How a file is read; as in `open_samples`. `prompts`: it is a list of voice prompts, of which a round generates so
    many."""

    shelf: AudioShelf = field(default_factory=AudioShelf)
    columns: Mapping[str, str] | None = None
    pairing: Pairing | None = None
    prompts: int | None = None


class Headers:
    """Headers by path, each read once while it is among the last ones."""

    def __init__(self) -> None:
        self._clips: dict[str, Clip] = {}

    def __call__(self, path: Path) -> Clip:
        name = str(path)
        clip = self._clips.get(name)
        if clip is None:
            if len(self._clips) >= CACHED:
                self._clips.clear()
            clip = self._clips[name] = read_header(path)
        return clip


def no_progress(done: int, total: int) -> None:
    """Does nothing."""


def read_rows(
    path: Path,
    *,
    shared: Shared,
    log: FindingLog,
    check: Checks,
    options: ReadingOptions,
    progress: Progress = no_progress,
) -> DataFile:
    """Read all of `path` once, and log the findings of reading and of `check`. Raises nothing for bad data."""
    place = Place(shown(path))
    source = _source(path, place, options)
    header = Headers()
    if isinstance(source, DataFinding):
        log.add_all([source])
        return DataFile(Rows(place, shared, lambda row: _no_record(place)), is_broken=True)
    log.add_all(_left_out(source, place))
    indices = array("q")

    is_prompt = options.prompts is not None

    def read(row: int) -> Record:
        sample = read_sample(source, indices[row])
        return record_of(sample, file=place.file, header=header, row=row, is_prompt=is_prompt)

    rows = Rows(place, shared, read, are_prompts=is_prompt)
    total = len(source)
    for index, (item, outcome) in enumerate(_outcomes(source)):
        if isinstance(outcome, Exception):
            log.add_all(_refused(outcome, item, path=path, index=index, is_prompt=is_prompt))
        else:
            record = record_of(outcome, file=place.file, header=header, row=len(rows), is_prompt=is_prompt)
            rows.add(record)
            indices.append(index)
            log.add_all(structure.structure_findings(record.place, item, is_prompt=is_prompt))
            log.add_all(texts.doubled_texts(record.place, item, record.sample))
            log.add_all(check(record))
        progress(index + 1, total)
    if options.pairing is not None:
        log.add_all(_alone(rows, options.pairing))
    return DataFile(rows, total)


def _no_record(place: Place) -> Record:
    raise DataError(f"{place.file}: has no samples. Correct the file.")


def _outcomes(source: Source) -> Iterator[tuple[object, VoiceSample | Exception]]:
    """For each item the JSON, None where it is not read from JSON, and the sample or why there is none."""
    pairs = source if isinstance(source, PairedReferences) else None
    unpaired = source if pairs is None else pairs.source
    if not isinstance(unpaired, RecordSource):
        for index in range(len(source)):
            try:
                yield None, source[index]
            except Exception as error:  # a reader that fails on malformed data must not end the report
                yield None, error
        return
    is_json = isinstance(unpaired.records, list | JsonLines | JsonList)
    for index, value in enumerate(outcomes(unpaired.records)):
        if isinstance(value, Exception):
            yield None, value
            continue
        item = value if is_json else None
        try:
            sample = unpaired.parse(value, index)
            yield item, sample if pairs is None else pairs.paired(sample, index)
        except Exception as error:  # as above
            yield item, error


def _left_out(source: Source, place: Place) -> Iterator[DataFinding]:
    """What of a directory of recordings is not read."""
    directory = source.source if isinstance(source, PairedReferences) else source
    for message in directory.left_out if isinstance(directory, PairedSource) else ():
        seen, fix = _problem_and_fix(message.rstrip("."))
        yield checks.FILES_LEFT_OUT.at(place, seen=seen, fix=fix)


def _alone(rows: Rows, pairing: Pairing) -> Iterator[DataFinding]:
    """Speakers for whom no reference was found."""
    speakers = rows.column("speaker")[rows.column("reference") == NONE]
    for speaker, count in counted(speakers):
        name = rows.shared.names.name(speaker)
        seen = f"{name!r}: {count} samples, no other clip of {pairing.min_s:g} to {pairing.max_s:g} s"
        yield checks.SPEAKER_WITHOUT_REFERENCE.at(rows.place, seen=seen, field="speaker")


def _source(path: Path, place: Place, options: ReadingOptions) -> Source | DataFinding:
    """The samples of `path`, or the finding that explains why there are none."""
    try:
        if not path.exists():
            dangling = path.is_symlink()
            seen = "a broken or circular link" if dangling else "no such file or directory"
            return checks.FILE_MISSING.at(place, seen=seen)
        known = recognised(path, options.columns)
        if known is None:
            return checks.FILE_UNKNOWN.at(place, seen=what_is(path))
        source = known.open(path, options.shelf)
        return source if options.pairing is None else with_references(source, options.pairing, report=False)
    except Exception as error:  # a reader that fails on malformed data must not end the report
        problem = cannot_read(path, error) if isinstance(error, OSError) else error
        seen, fix = _problem_and_fix(_message(problem).removeprefix(f"{place.file}: "))
        return checks.FILE_UNREADABLE.at(place, seen=seen, fix=fix)


def _refused(error: Exception, item: object, *, path: Path, index: int, is_prompt: bool = False) -> list[DataFinding]:
    """The findings of the JSON, else the parsed message of the reader: place, problem, fix."""
    message = _message(error)
    named = re.match(rf".*?({re.escape(path.name)}(?:\[\d+\]|:\d+))[.,:]?\s*", message)
    place = Place(shown(path), named[1] if named else f"{path.name}[{index}]")
    shaped = list(structure.structure_findings(place, item, is_prompt=is_prompt))
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
