"""A data file as records and findings: every item is read by the format's own reader, and looked at in the JSON too.

- Whatever a reader raises becomes a finding: a check never ends in a traceback.
- Where the JSON shows what is wrong with a refused item, that is said in the place of the reader's refusal.

    found = read_records(Path("train.json"), clips=ClipReader())
    found.records, found.findings, found.is_broken
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tracker_logging.data.formats import FORMATS, Format
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.diagnosis.data import checks, structure, texts
from tracker_logging.diagnosis.data.clips import ClipReader
from tracker_logging.diagnosis.data.finding import DataFinding, Place
from tracker_logging.diagnosis.data.record import Record

Progress = Callable[[int], None]

_NOT_THERE = re.compile(r"does not exist|no such (?:audio )?file|is a folder|circular link")


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds. `read`: items, refused ones included. `is_broken`: the file as a whole cannot be read."""

    place: Place
    records: list[Record] = field(default_factory=list)
    findings: list[DataFinding] = field(default_factory=list)
    read: int = 0
    is_broken: bool = False


def read_records(path: Path, *, clips: ClipReader, progress: Progress = lambda _: None) -> Found:
    """Read all of `path`; `progress` is told the number of items read so far. Raises nothing for bad data."""
    place = Place(shown(path))
    chosen = _format_of(path, place)
    if isinstance(chosen, DataFinding):
        return Found(place, findings=[chosen], is_broken=True)
    items = _second_look(path)
    records: list[Record] = []
    findings: list[DataFinding] = []
    count = 0
    try:
        for outcome in chosen.read(path):
            item = next(items, None)
            record, found = _look_at(outcome, item, path=path, index=count, clips=clips)
            findings += found
            records += [record] if record is not None else []
            count += 1
            progress(count)
    except Exception as error:  # a reader that stumbles over hostile data must not end the report
        findings.append(checks.FILE_UNREADABLE.at(place, seen=_why(error, after=count)))
        return Found(place, records, findings, count, is_broken=True)
    return Found(place, records, findings, count)


def record_of(sample: VoiceSample, *, file: str, clips: ClipReader) -> Record:
    """The sample with the headers of its clips."""
    return Record(
        file=file,
        sample=sample,
        reference=None if sample.reference_audio is None else clips.header(sample.reference_audio),
        target=None if sample.target_audio is None else clips.header(sample.target_audio),
    )


def _format_of(path: Path, place: Place) -> Format | DataFinding:
    """The reader of `path`, or why there is none."""
    try:
        if not path.exists():
            dangling = path.is_symlink()
            seen = "a link that leads nowhere, or to itself" if dangling else "no such file or directory"
            return checks.FILE_MISSING.at(place, seen=seen)
        chosen = next((one for one in FORMATS if one.recognises(path)), None)
    except Exception as error:  # what a reader does on looking at a path is not ours to know
        return checks.FILE_UNREADABLE.at(place, seen=_why(error, after=0))
    if chosen is not None:
        return chosen
    what = "directory" if path.is_dir() else f"file with the ending {path.suffix!r}"
    known = ", ".join(one.name for one in FORMATS)
    return checks.FILE_UNKNOWN.at(place, seen=f"a {what}; readable: {known}")


def _look_at(
    outcome: VoiceSample | DataError, item: object, *, path: Path, index: int, clips: ClipReader
) -> tuple[Record | None, list[DataFinding]]:
    if isinstance(outcome, DataError):
        refusal = _refusal(outcome, path=path, index=index)
        place = Place(refusal.file, refusal.sample)
        shaped = [one for one in structure.structure_findings(place, item) if one.level == "error"]
        return None, shaped or [refusal]
    record = record_of(outcome, file=shown(path), clips=clips)
    return record, [
        *structure.structure_findings(record.place, item),
        *texts.doubled_texts(record.place, item, outcome),
    ]


def _refusal(error: DataError, *, path: Path, index: int) -> DataFinding:
    """The reader's words, taken apart: place, what is wrong, cure."""
    message = str(error)
    named = re.match(rf".*?({re.escape(path.name)}(?:\[\d+\]|:\d+))[.,:]?\s*", message)
    place = Place(shown(path), named[1] if named else f"{path.name}[{index}]")
    problem = message[named.end() :] if named else message
    problem, _, cure = problem.rstrip(".").rpartition("; ") if "; " in problem else (problem, "", "")
    check = checks.AUDIO_MISSING if _NOT_THERE.search(problem) else checks.SAMPLE_REFUSED
    return check.at(place, seen=problem.strip(), cure=f"{cure[:1].upper()}{cure[1:]}." if cure else None)


def _second_look(path: Path) -> Iterator[object]:
    """The items of a JSON list or of JSON lines as they stand, in step with the reader; none for other files."""
    suffix = path.suffix.lower()
    if suffix == ".jsonl" and path.is_file():
        return _lines(path)
    if suffix != ".json" or not path.is_file():
        return iter(())
    try:
        items = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # the reader says what is wrong
        return iter(())
    return iter(items if isinstance(items, list) else ())


def _lines(path: Path) -> Iterator[object]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    yield None


def _why(error: Exception, *, after: int) -> str:
    """The error in words; one that is no `DataError` is named, for it may be ours."""
    if isinstance(error, RecursionError):
        words = "nested too deeply"
    elif isinstance(error, DataError):
        words = str(error).rstrip(".")
    else:
        words = f"{type(error).__name__}: {error}"
    return f"{words}, after {after} samples" if after else words
