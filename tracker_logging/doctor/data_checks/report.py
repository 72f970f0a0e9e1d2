"""All data checks over one or two files, or over samples that are already read, and the numbers of a file.

- Reads files and does nothing else: it writes, prints and logs nothing, and uses no random state.
- Findings are in the order of the table of checks, and within a check in the order of the samples.
- Only accepted samples whose clips have a valid header are counted in a summary.

>>> report = check_files(Path("missing.json"))
>>> report.exit_code, [finding.name for finding in report.findings]
(2, ['file_missing'])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.references import Pairing
from tracker_logging.doctor.data_checks import audio, checks, copies, pace, speakers, structure, texts
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.pace import Positions, letters_per_s
from tracker_logging.doctor.data_checks.reading import DataFile, Progress, no_progress, read_records
from tracker_logging.doctor.data_checks.record import ClipReader, Record

CLEAN, FINDINGS, UNUSABLE = 0, 1, 2

_ORDER = {check.name: position for position, check in enumerate(checks.ALL)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Of a list of numbers: smallest, 5 %, median, 95 % and largest."""

    smallest: float
    low: float
    median: float
    high: float
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`read`: items of the file; `usable`: those that can be trained on. Speakers, languages and rates (Hz) with their
    number of samples (rates: of clips), most frequent first. Durations in seconds, of samples; hours of targets."""

    file: str
    read: int
    usable: int
    speakers: Mapping[str, int]
    languages: Mapping[str, int]
    sample_rates: Mapping[int, int]
    hours: float
    reference_s: Quantiles | None
    target_s: Quantiles | None
    letters_per_s: Quantiles | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`summaries` and `records`: of the training file, then of the evaluation file if there is one."""

    findings: tuple[DataFinding, ...]
    summaries: tuple[Summary, ...]
    records: tuple[Record, ...]
    is_unusable: bool

    @property
    def exit_code(self) -> int:
        """0: nothing above info; 1: warnings or errors; 2: a file cannot be read, or has no usable sample."""
        if self.is_unusable:
            return UNUSABLE
        return FINDINGS if any(finding.level != "info" for finding in self.findings) else CLEAN


def check_files(
    path: Path,
    *,
    evaluation: Path | None = None,
    positions: Positions | None = None,
    decode: bool = False,
    shelf: AudioShelf | None = None,
    columns: Mapping[str, str] | None = None,
    pairing: Pairing | None = None,
    progress: Progress = no_progress,
) -> Report:
    """Read and check a data file, and with `evaluation` a second one and the leaks between them. `columns`, `pairing`:
    as in `open_samples`, for both files."""
    clips = ClipReader()
    paths = [path] if evaluation is None else [path, evaluation]
    files = [
        read_records(name, clips=clips, shelf=shelf, columns=columns, pairing=pairing, progress=progress)
        for name in paths
    ]
    findings: list[DataFinding] = []
    unusable = False
    sounds = copies.Sounds([record for file in files for record in file.records])
    for file in files:
        findings += file.findings
        findings += dataset_findings(file, sounds)
        for index, record in enumerate(file.records):
            findings += record_findings(record, positions)
            findings += audio.sound_findings(record, clips) if decode else ()
            if decode:
                progress(index + 1, len(file.records))
        if not any(record.is_usable for record in file.records):
            unusable = True
            if not file.is_broken:
                seen = f"{file.read} samples read" if file.read else "it has no samples"
                findings.append(checks.NO_USABLE_SAMPLE.at(file.place, seen=seen))
    if len(files) == 2:
        findings += copies.leak_findings(files[0].records, files[1].records, sounds)
    return Report(
        findings=in_order(findings),
        summaries=tuple(summarise(file) for file in files),
        records=tuple(record for file in files for record in file.records),
        is_unusable=unusable or any(file.is_broken for file in files),
    )


def record_findings(record: Record, positions: Positions | None) -> Iterator[DataFinding]:
    """The checks of one sample that need no decoding."""
    yield from structure.record_findings(record)
    yield from texts.text_findings(record)
    yield from audio.audio_findings(record)
    if positions is not None:
        yield from pace.position_findings(record, positions)


def dataset_findings(file: DataFile, sounds: copies.Sounds) -> Iterator[DataFinding]:
    """The checks that look at all samples of a file together."""
    if file.records:
        yield from structure.dataset_findings(file.records, file.place)
        yield from texts.dataset_findings(file.records, file.place)
        yield from audio.dataset_findings(file.records, file.place)
        yield from pace.pace_findings(file.records)
        yield from speakers.speaker_findings(file.records, file.place)
        yield from copies.copy_findings(file.records, file.place, sounds)


def in_order(findings: Sequence[DataFinding]) -> tuple[DataFinding, ...]:
    """By check; the order of samples is kept."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.name]))


def summarise(file: DataFile) -> Summary:
    """The numbers of one file."""
    usable = [record for record in file.records if record.is_usable]
    targets = [record.target.seconds for record in usable if record.target is not None]
    references = [record.reference.seconds for record in usable if record.reference is not None]
    clips = {clip.path: clip.sample_rate for record in usable for _, clip in record.clips()}
    return Summary(
        file=file.place.file,
        read=file.read,
        usable=len(usable),
        speakers=_counts(record.sample.speaker for record in usable),
        languages=_counts(record.sample.language for record in usable),
        sample_rates=dict(Counter(clips.values()).most_common()),
        hours=sum(targets) / 3600,
        reference_s=quantiles(references),
        target_s=quantiles(targets),
        letters_per_s=quantiles(target_rates(usable)),
    )


def target_rates(records: Iterable[Record]) -> list[float]:
    """Letters per second of the targets that have letters and a length."""
    targets = [clip for record in records for clip in record.utterances() if clip.role == "target"]
    return [rate for rate in map(letters_per_s, targets) if rate is not None]


def quantiles(values: list[float]) -> Quantiles | None:
    """The nearest value in order for each quantile; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    low, middle, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.5, 0.95))
    return Quantiles(smallest=ordered[0], low=low, median=middle, high=high, largest=ordered[-1])


def _counts(names: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(name for name in names if name is not None).most_common())
