"""The quick data check at the start of training: headers, the sound of a few samples, a few log lines, nothing refused.

- At most 2,000 evenly spaced samples of each file are checked, and the log says so; leaks are searched among 10,000.
- With a speaker encoder the clips of at most 16 training samples are decoded and compared, for about 5 s at most.
- It never stops training: an exception of a check is one warning.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tracker_logging.data.sample import VoiceSample, shown
from tracker_logging.data.samples import evenly
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.copies import leak_findings, unread_sounds
from tracker_logging.doctor.data_checks.finding_log import FindingLog
from tracker_logging.doctor.data_checks.listened import Embed, listen
from tracker_logging.doctor.data_checks.listening import listening_findings
from tracker_logging.doctor.data_checks.pace import Positions, read_positions
from tracker_logging.doctor.data_checks.reading import Headers
from tracker_logging.doctor.data_checks.record import Clip, record_of
from tracker_logging.doctor.data_checks.report import dataset_findings, record_findings
from tracker_logging.doctor.data_checks.report_text import printable
from tracker_logging.doctor.data_checks.rows import Rows, Shared
from tracker_logging.doctor.finding import LEVELS

logger = logging.getLogger(__name__)

MOST_SAMPLES = 2_000
MOST_FOR_LEAKS = 10_000
MOST_LISTENED, LISTEN_S = 16, 5.0


def look_at_data(
    train: Sequence[VoiceSample],
    evaluation: Sequence[VoiceSample],
    *,
    file: Path,
    eval_file: Path | None = None,
    model_path: str | None = None,
    options: Sequence[str] = (),
    encoder: Callable[[], Embed] | None = None,
) -> None:
    """Log the findings as counts, and the command that shows them. Only on the first process of a group. `options`:
    how the data is read, as arguments of that command. `encoder` makes the speaker encoder to listen with."""
    if os.environ.get("RANK", "0") != "0":
        return
    try:
        findings = quick_findings(train, evaluation, file=file, eval_file=eval_file or file, model_path=model_path)
        listened, of_sound = listened_findings(train, file=file, encoder=encoder)
    except Exception as error:  # a failing check must not stop training
        logger.warning("The data could not be checked (%s: %s). Training goes on.", type(error).__name__, error)
        return
    checked = " and ".join(
        f"{_share(samples)} {name} samples"
        for name, samples in (("training", train), ("evaluation", evaluation))
        if samples
    )
    checked += f" (headers, and the sound of {listened} of them)" if listened else " (headers only)"
    serious = [finding for finding in (*findings, *of_sound) if finding.level != "info"]
    if not serious:
        logger.info("Data: no problem found in %s.", checked)
        return
    counts = Counter((finding.level, finding.name) for finding in serious)
    worst_first = sorted(counts.items(), key=lambda item: -LEVELS.index(item[0][0]))
    logger.warning("Data: findings in %s. Training goes on.", checked)
    for (level, name), count in worst_first:
        example = next(finding for finding in serious if finding.name == name)
        place = printable(f"{example.sample or example.file}: {example.seen}")
        logger.warning("  %s × %d %s, such as %s", level, count, name, place)
    options = [*options, "--listen"] if listened else options
    shown_by = command(file, eval_file=eval_file, model_path=model_path, options=options)
    logger.warning("  All of them, with their fixes: %s", shown_by)


def quick_findings(
    train: Sequence[VoiceSample],
    evaluation: Sequence[VoiceSample],
    *,
    file: Path,
    eval_file: Path,
    model_path: str | None = None,
) -> tuple[DataFinding, ...]:
    """Findings of the checks that need no decoding and no hashing, in evenly spaced samples."""
    header, log, shared = Headers(), FindingLog(), Shared()
    positions = _positions(model_path)
    for samples, path in ((train, file), (evaluation, eval_file)):
        name = shown(path)
        checked = enumerate(evenly(samples, MOST_SAMPLES))
        records = [record_of(sample, file=name, header=header, row=row) for row, sample in checked]
        rows = Rows.of(records, Place(name), shared)
        log.add_all(dataset_findings(rows, unread_sounds(shared.clips)))
        log.add_all(finding for record in records for finding in record_findings(record, positions))
    trained, evaluated = (
        _by_path(samples, shown(path), shared) for samples, path in ((train, file), (evaluation, eval_file))
    )
    log.add_all(leak_findings(trained, evaluated, unread_sounds(shared.clips)))
    return log.in_order()


def listened_findings(
    samples: Sequence[VoiceSample], *, file: Path, encoder: Callable[[], Embed] | None
) -> tuple[int, tuple[DataFinding, ...]]:
    """How many samples were decoded and compared, and the findings. None without an encoder."""
    if encoder is None or not samples:
        return 0, ()
    name, header, log = shown(file), Headers(), FindingLog()
    records = [record_of(sample, file=name, header=header) for sample in evenly(samples, MOST_LISTENED)]
    listened = listen(records, encoder(), most=MOST_LISTENED, seconds=LISTEN_S)
    log.add_all(listening_findings(listened, Place(name), with_levels=True))
    return len(listened.records), log.in_order()


def command(file: Path, *, eval_file: Path | None, model_path: str | None, options: Sequence[str] = ()) -> str:
    """The command line that shows every finding."""
    parts = ["tracker-logging", "check-data", str(file)]
    parts += ["--eval", str(eval_file)] if eval_file else []
    parts += ["--model_path", model_path] if model_path else []
    return shlex.join([*parts, *options])


def _by_path(samples: Sequence[VoiceSample], file: str, shared: Shared) -> Rows:
    """Evenly spaced samples whose targets are known by path only."""

    def unread(path: Path) -> Clip:
        return Clip(path=path, identity=os.path.realpath(path))

    chosen = enumerate(evenly(samples, MOST_FOR_LEAKS))
    unpaired = ((row, sample.with_reference_of(None)) for row, sample in chosen)
    records = [record_of(sample, file=file, header=unread, row=row) for row, sample in unpaired]
    return Rows.of(records, Place(file), shared)


def _positions(model_path: str | None) -> Positions | None:
    try:
        return read_positions(Path(model_path)) if model_path else None
    except (OSError, ValueError):  # a hub name, or a directory that loading the model will refuse
        return None


def _share(samples: Sequence[VoiceSample]) -> str:
    total = len(samples)
    return f"{MOST_SAMPLES:,} of {total:,}" if total > MOST_SAMPLES else f"{total:,}"
