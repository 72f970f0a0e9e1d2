"""All data checks, over one or two files or over samples that are already read.

- Pure but for reading the files: nothing is written, printed or logged, and no random state is touched.
- Findings come in the order of the table of checks, and within a check in the order of the samples.

    report = check_files(Path("train.json"), evaluation=Path("eval.json"))
    report.exit_code, [finding.name for finding in report.findings]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.doctor.data_checks import audio, checks, copies, pace, speakers, structure, texts
from tracker_logging.doctor.data_checks.clips import ClipReader
from tracker_logging.doctor.data_checks.finding import DataFinding
from tracker_logging.doctor.data_checks.pace import Positions
from tracker_logging.doctor.data_checks.reading import Found, Progress, no_progress, read_records
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.summary import Summary, summarise

CLEAN, FINDINGS, UNUSABLE = 0, 1, 2

_ORDER = {check.name: position for position, check in enumerate(checks.ALL)}


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
    progress: Progress = no_progress,
) -> Report:
    """Read and check a data file, and with `evaluation` a second one and what the two have in common."""
    clips = ClipReader()
    paths = [path] if evaluation is None else [path, evaluation]
    files = [read_records(one, clips=clips, shelf=shelf, progress=progress) for one in paths]
    findings: list[DataFinding] = []
    unusable = False
    sounds = copies.Sounds([record for found in files for record in found.records])
    for found in files:
        findings += found.findings
        findings += dataset_findings(found, sounds)
        for index, record in enumerate(found.records):
            findings += record_findings(record, positions)
            findings += audio.sound_findings(record, clips) if decode else ()
            if decode:
                progress(index + 1, len(found.records))
        if not any(record.is_usable for record in found.records):
            unusable = True
            if not found.is_broken:
                seen = f"{found.read} samples read" if found.read else "no sample in it"
                findings.append(checks.NO_USABLE_SAMPLE.at(found.place, seen=seen))
    if len(files) == 2:
        findings += copies.leak_findings(files[0].records, files[1].records, sounds)
    return Report(
        findings=in_order(findings),
        summaries=tuple(summarise(found) for found in files),
        records=tuple(record for found in files for record in found.records),
        is_unusable=unusable or any(found.is_broken for found in files),
    )


def record_findings(record: Record, positions: Positions | None) -> Iterator[DataFinding]:
    """The checks of one sample that need no decoding."""
    yield from structure.record_findings(record)
    yield from texts.text_findings(record)
    yield from audio.audio_findings(record)
    if positions is not None:
        yield from pace.position_findings(record, positions)


def dataset_findings(found: Found, sounds: copies.Sounds) -> Iterator[DataFinding]:
    """The checks that look at all samples of a file together."""
    if found.records:
        yield from structure.dataset_findings(found.records, found.place)
        yield from texts.dataset_findings(found.records)
        yield from audio.dataset_findings(found.records, found.place)
        yield from pace.pace_findings(found.records)
        yield from speakers.speaker_findings(found.records, found.place)
        yield from copies.copy_findings(found.records, found.place, sounds)


def in_order(findings: Sequence[DataFinding]) -> tuple[DataFinding, ...]:
    """By check; the order of samples is kept."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.name]))
