"""All data checks over one or two files, or over samples that are already read.

- Reads files and does nothing else: it writes, prints and logs nothing, and uses no random state. With `sink`, each
  finding is handed over as soon as it is found.
- Findings are in the order of the table of checks, and within a check in the order of the samples.
- One pass over each file; memory per sample is a few hundred bytes.

>>> report = check_files(Path("missing.json"))
>>> report.exit_code, [finding.name for finding in report.findings]
(2, ['file_missing'])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tracker_logging.doctor.data_checks import audio, checks, copies, pace, speakers, structure, texts
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.finding_log import FindingLog
from tracker_logging.doctor.data_checks.listened import Embed, listen
from tracker_logging.doctor.data_checks.listening import listening_findings
from tracker_logging.doctor.data_checks.losses import Losses, loss_findings
from tracker_logging.doctor.data_checks.pace import Positions
from tracker_logging.doctor.data_checks.prompts import PromptChecks, prompts_findings
from tracker_logging.doctor.data_checks.reading import Checks, Progress, ReadingOptions, no_progress, read_rows
from tracker_logging.doctor.data_checks.record import Record, Sound
from tracker_logging.doctor.data_checks.rows import Clips, Numbers, Records, Rows, Shared
from tracker_logging.doctor.data_checks.sounds import decode as decoded_clips
from tracker_logging.doctor.data_checks.summary import Levels, Summary, summarise
from tracker_logging.doctor.data_checks.text_order import order_findings, targets_of

CLEAN, FINDINGS, UNUSABLE = 0, 1, 2
MOST_LISTENED = 500  # samples of a file whose clips are measured and compared

_LEVEL = {check.name: check.level for check in checks.ALL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`findings`: at most `finding_log.MOST` of each check; `counts`: all of them by name. `summaries` and `records`:
    of the training file, then of the evaluation file if there is one; a record is read again on access."""

    findings: tuple[DataFinding, ...]
    counts: Mapping[str, int]
    summaries: tuple[Summary, ...]
    records: Records
    files: tuple[Rows, ...]
    is_unusable: bool

    @property
    def exit_code(self) -> int:
        """0: nothing above info; 1: warnings or errors; 2: a file cannot be read, or has no usable sample."""
        if self.is_unusable:
            return UNUSABLE
        return FINDINGS if any(_LEVEL[name] != "info" for name in self.counts) else CLEAN


def check_files(
    path: Path,
    *,
    evaluation: Path | None = None,
    positions: Positions | None = None,
    losses: Losses | None = None,
    decode: bool = False,
    embed: Embed | None = None,
    options: ReadingOptions | None = None,
    progress: Progress = no_progress,
    sink: Callable[[DataFinding], None] | None = None,
) -> Report:
    """Read and check a data file, and with `evaluation` a second one and the leaks between them.

    `losses`: of a training on the data. `embed`: a speaker encoder; the clips of at most `MOST_LISTENED` samples of
    each file are compared with it. `options`: how both files are read. `progress`: called for the samples of each file,
    then with `decode` for the clips. `sink`: called with each finding when it is found.
    """
    shared, log = Shared(), FindingLog(sink)
    paths = [path] if evaluation is None else [path, evaluation]
    options = options or ReadingOptions()
    files = []
    for name in paths:
        more: Checks = PromptChecks() if options.prompts is not None else partial(loss_findings, losses=losses or {})
        check = partial(_each_record, positions=positions, more=more)
        files.append(read_rows(name, shared=shared, log=log, check=check, options=options, progress=progress))
    unusable = False
    sounds = copies.equal_sounds(shared.clips)
    for file in files:
        log.add_all(dataset_findings(file.rows, sounds))
        if options.prompts is not None:
            log.add_all(prompts_findings(file.rows, most=options.prompts))
        if not file.rows.column("is_usable").any():
            unusable = True
            if not file.is_broken:
                seen = f"{file.read} samples read" if file.read else "it has no samples"
                log.add_all([checks.NO_USABLE_SAMPLE.at(file.rows.place, seen=seen)])
    if len(files) == 2:
        log.add_all(copies.leak_findings(files[0].rows, files[1].rows, sounds))
    levels = None
    if decode:
        levels, suspects = _decoded(shared.clips, progress)
        for file in files:
            log.add_all(audio.sound_findings(file.rows, suspects))
    for file in files if embed is not None else ():
        assert embed is not None
        listened = listen(file.rows.records(), embed, most=MOST_LISTENED, progress=progress)
        log.add_all(listening_findings(listened, file.rows.place, with_levels=not decode))
    return Report(
        findings=log.in_order(),
        counts=dict(log.counts),
        summaries=tuple(summarise(file, levels) for file in files),
        records=Records([file.rows for file in files]),
        files=tuple(file.rows for file in files),
        is_unusable=unusable or any(file.is_broken for file in files),
    )


def _each_record(record: Record, *, positions: Positions | None, more: Checks) -> Iterator[DataFinding]:
    yield from record_findings(record, positions)
    yield from more(record)


def record_findings(record: Record, positions: Positions | None) -> Iterator[DataFinding]:
    """The checks of one sample that need no decoding."""
    yield from structure.record_findings(record)
    yield from texts.text_findings(record)
    yield from audio.audio_findings(record)
    if positions is not None:
        yield from pace.position_findings(record, positions)


def dataset_findings(rows: Rows, sounds: Numbers) -> Iterator[DataFinding]:
    """The checks that look at all samples of a file together. `sounds`: as `copies.equal_sounds`."""
    if len(rows):
        yield from structure.dataset_findings(rows)
        yield from texts.dataset_findings(rows)
        yield from audio.dataset_findings(rows)
        yield from pace.pace_findings(rows)
        yield from order_findings(*targets_of(rows), rows.place)
        yield from speakers.speaker_findings(rows)
        yield from copies.copy_findings(rows, sounds)


def _decoded(clips: Clips, progress: Progress) -> tuple[Levels, dict[int, Sound]]:
    """Decode every clip with a valid header: levels of all, and the sounds of those that may have a finding."""
    frames = clips.frames
    good = np.flatnonzero(frames)
    level, silence = np.full(len(clips), np.nan), np.full(len(clips), np.nan)
    suspects: dict[int, Sound] = {}
    jobs = ((int(number), clips.paths[number], int(frames[number])) for number in good)
    for done, (number, sound) in enumerate(decoded_clips(jobs), start=1):
        if sound.levels is not None:
            level[number], silence[number] = sound.levels.level_dbfs, sound.levels.silence_pct
        if audio.is_suspect(sound):
            suspects[number] = sound
        progress(done, len(good))
    return Levels(level, silence), suspects
