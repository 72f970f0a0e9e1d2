"""Read training data: detect the format of a path, and open it as samples.

Guarantees
- A format is detected by content. Formats are tried in the order of `FORMATS`; see docs/data.md.
- Samples are checked before a model is loaded: up to `CHECKED` samples, each is parsed and the headers of its clips are
  read; of more samples, that many, evenly spread. The others are checked when they are asked for.
- Without `skip_bad` the first bad sample raises. With it, bad samples are left out, counted and reported.

    samples = open_samples(Path("train.jsonl"), skip_bad=True)      # parsed on demand
    samples = read_samples(Path("prompts.json"))                    # a list, every clip checked
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from tracker_logging.data.audio import check_audio
from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats.arrow_folder import ArrowFolder
from tracker_logging.data.formats.base import Format, Reading
from tracker_logging.data.formats.chat_formats import BOSON, CHATML, MS_SWIFT, TEXT_ONLY, TRANSFORMERS
from tracker_logging.data.formats.columns import check_columns
from tracker_logging.data.formats.folders import DataFolder
from tracker_logging.data.formats.kaldi import KaldiFolder
from tracker_logging.data.formats.lhotse import LHOTSE, CompressedLines
from tracker_logging.data.formats.manifests import AUDIO_TABLE, PAIR_MANIFEST
from tracker_logging.data.formats.metadata_folder import MetadataFolder
from tracker_logging.data.formats.paired_files import PairedFiles
from tracker_logging.data.formats.record_file import RecordFile
from tracker_logging.data.formats.renamed import ColumnsFormat, HeaderlessTable, UnknownTable
from tracker_logging.data.formats.shards import Shards
from tracker_logging.data.references import Pairing, with_references
from tracker_logging.data.sample import DataError, VoiceSample, cannot_read, printable, shown
from tracker_logging.data.samples import Samples, Source, read_sample, spread
from tracker_logging.data.walk import walk

__all__ = ["FORMATS", "Format", "Reading", "Source", "check_sample", "find_format", "open_samples", "read_samples"]

logger = logging.getLogger(__name__)

CHECKED = 2_000
_REPORTED_IN_FULL = 5
_MOST_FOLDERS = 2_000  # whose files are counted for a message
_RECORDS = (CHATML, BOSON, TRANSFORMERS, MS_SWIFT, LHOTSE, PAIR_MANIFEST, AUDIO_TABLE, TEXT_ONLY)

_FOLDER = DataFolder(lambda path: find_format(path))

FORMATS: tuple[Format, ...] = (
    MetadataFolder(),
    KaldiFolder(),
    ArrowFolder(_RECORDS),
    Shards(_FOLDER),
    _FOLDER,
    PairedFiles(),
    CompressedLines(_RECORDS),
    HeaderlessTable(),
    *(RecordFile(record, among=_RECORDS) for record in _RECORDS),
    UnknownTable(),
)


def find_format(path: Path, columns: Mapping[str, str] | None = None) -> Format:
    """The format of `path`; with `columns` (role to column name, see `columns.ROLES`) that of a table. Raises
    `DataError` if `path` does not exist, may not be read or is in no known format."""
    try:
        if not path.exists():
            raise DataError(f"{shown(path)}: no such data file. Check --train_data_file / --eval_data_file.")
        chosen = recognised(path, columns)
    except OSError as error:
        raise cannot_read(path, error) from error
    if chosen is None:
        raise DataError(f"{shown(path)}: {what_is(path)}. Convert it to one of the formats of docs/data.md.")
    return chosen


def recognised(path: Path, columns: Mapping[str, str] | None = None) -> Format | None:
    """As `find_format`; None for an unknown format. Raises `OSError` for a path that may not be read."""
    if columns:
        check_columns(columns)
        named = ColumnsFormat(columns)
        folder = DataFolder(lambda _: named)
        return folder if path.is_dir() and folder.recognises(path) else named
    return next((known for known in FORMATS if known.recognises(path)), None)


def what_is(path: Path) -> str:
    """What a path in no known format is: the endings in a directory, or the beginning of a file. Does not raise."""
    try:
        if path.is_dir():
            unlisted: list[Path] = []
            files = (Path(name) for _, names in islice(walk(path, unlisted), _MOST_FOLDERS) for name in names)
            endings = Counter(file.suffix.lower() or "no ending" for file in files)
            holds = ", ".join(f"{count} × {ending}" for ending, count in endings.most_common(5)) or "no files"
            names = ", ".join(printable(folder.name) for folder in unlisted[:3])
            hidden = f" and {len(unlisted)} folders that may not be listed ({names})" if unlisted else ""
            return f"no data are known in this directory, which holds {holds}{hidden}"
        if not path.is_file():  # opening a pipe would wait forever
            return "not a regular file"
        with path.open("rb") as file:
            begin = file.read(40)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    beginning = f"it begins with {printable(begin.decode(errors='replace'))!r}" if begin else "it is empty"
    return f"not in a format that can be read; {beginning}"


def read_samples(
    path: Path,
    *,
    skip_bad: bool = False,
    shelf: AudioShelf | None = None,
    columns: Mapping[str, str] | None = None,
    pairing: Pairing | None = None,
) -> list[VoiceSample]:
    """All samples of `path`, in order, each checked. `columns`, `pairing`: as in `open_samples`.

    Raises `DataError` for a missing path, an unknown format or no usable sample, and without `skip_bad` for the first
    bad sample.
    """
    source = _source(path, shelf, columns, pairing)
    good, _, errors = _checked(source, range(len(source)), skip_bad=skip_bad, training=False)
    _report(path, good, errors, of=len(source))
    return good


def open_samples(
    path: Path,
    *,
    skip_bad: bool = False,
    shelf: AudioShelf | None = None,
    training: bool = False,
    columns: Mapping[str, str] | None = None,
    pairing: Pairing | None = None,
) -> Samples:
    """The samples of `path`, parsed on access.

    `columns`: the columns of a table by role, such as `{"audio": "wav", "text": "sentence", "speaker": "who"}`.
    `pairing`: give each sample without a reference another utterance of its speaker. Raises `DataError` like
    `read_samples`, and with `training` for a sample that has no target audio.
    """
    source = _source(path, shelf, columns, pairing)
    checked_indices = spread(len(source), CHECKED)
    good, bad, errors = _checked(source, checked_indices, skip_bad=skip_bad, training=training)
    _report(path, good, errors, of=len(checked_indices))
    indices = np.setdiff1d(np.arange(len(source)), np.array(bad, dtype=np.int64))
    return Samples(source, indices, skip_bad=skip_bad)


def _source(path: Path, shelf: AudioShelf | None, columns: Mapping[str, str] | None, pairing: Pairing | None) -> Source:
    source = find_format(path, columns).open(path, shelf or AudioShelf())
    return source if pairing is None else with_references(source, pairing)


def check_sample(sample: VoiceSample, *, training: bool = False) -> None:
    """Raises `DataError` for a clip that is missing, unreadable or empty by its header, and with `training` for a
    missing target."""
    if training and sample.target_audio is None:
        raise DataError(
            f"{sample.origin}, target audio: missing, so there is nothing to train on. Add the recording, or leave "
            "such samples out with --skip_bad_samples."
        )
    for field, clip in (("reference audio", sample.reference_audio), ("target audio", sample.target_audio)):
        if clip is not None:
            try:
                check_audio(clip)
            except DataError as error:
                raise DataError(f"{sample.origin}, {field}: {error}") from error


def _checked(
    source: Source, indices: Iterable[int], *, skip_bad: bool, training: bool
) -> tuple[list[VoiceSample], list[int], list[DataError]]:
    """(good samples, indices of the bad ones, errors of these)."""
    good: list[VoiceSample] = []
    bad: list[int] = []
    errors: list[DataError] = []
    for index in indices:
        try:
            sample = read_sample(source, index)
            check_sample(sample, training=training)
        except DataError as error:
            if not skip_bad:
                raise
            bad.append(index)
            errors.append(error)
        else:
            good.append(sample)
    return good, bad, errors


def _report(path: Path, good: list[VoiceSample], errors: list[DataError], *, of: int) -> None:
    """Log what was skipped, and what the rest cannot teach. Raises `DataError` if nothing is left."""
    if errors:
        logger.warning("%s: skipped %d of %d samples, training on the rest.", shown(path), len(errors), of)
        for error in errors[:_REPORTED_IN_FULL]:
            logger.warning("  skipped: %s", error)
        if len(errors) > _REPORTED_IN_FULL:
            logger.warning("  … and %d more.", len(errors) - _REPORTED_IN_FULL)
    if not good:
        raise DataError(f"{shown(path)}: no usable sample. Correct the data, or name another file.")
    if all(sample.target_audio is None and sample.reference_audio is None for sample in good):
        logger.warning("%s: text only, without audio to train on or to listen to.", shown(path))
    elif all(sample.reference_audio is None for sample in good):
        logger.warning(
            "%s: no sample has a reference recording. The model is trained on text to speech without voice cloning. "
            "Add references, or set --pair_references where speakers are named.",
            shown(path),
        )
