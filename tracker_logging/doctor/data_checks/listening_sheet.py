"""The outliers of a report for listening: each clip with a player, its text and the reason why it is listed.

- Clips are played in place, by paths relative to the page. Texts and names from the data are escaped.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.report import Report
from tracker_logging.doctor.data_checks.report_text import printable
from tracker_logging.doctor.data_checks.rows import Utterances, firsts

MOST = 300  # rows
EXTREMES = 5  # of each kind

_NOT_PLAYABLE = {
    check.name
    for check in (checks.AUDIO_MISSING, checks.AUDIO_UNREADABLE, checks.AUDIO_EMPTY, checks.AUDIO_UNDECODABLE)
}


@dataclass(frozen=True, slots=True)
class Row:
    """A clip to listen to: `why` is a check's name or `slowest` / `fastest`, `seen` its numbers."""

    why: str
    seen: str
    sample: str
    text: str
    clip: Path


def sheet_rows(report: Report) -> Iterator[Row]:
    """Clips with a finding above info, worst first as in the table of checks, then the slowest and the fastest."""
    listed: set[tuple[str, str]] = set()
    for finding in report.findings:
        if finding.clip is None or finding.level == "info" or finding.name in _NOT_PLAYABLE:
            continue
        if (finding.name, finding.clip) not in listed:
            listed.add((finding.name, finding.clip))
            record = report.records.of(finding.file, finding.row)
            text = _text(record, finding.field) if record is not None else ""
            yield Row(finding.name, finding.seen, finding.sample, text, Path(finding.clip))
    yield from _extremes(report)


def _extremes(report: Report) -> Iterator[Row]:
    paced = [(rows, rows.utterances()) for rows in report.files]
    every = [
        (letters / seconds, number, row, clip)
        for number, (rows, uttered) in enumerate(paced)
        for letters, seconds, row, clip in _slowest_and_fastest(uttered)
    ]
    every = list({clip: value for value in reversed(every) for clip in [value[3]]}.values())
    every.sort()
    chosen = [("slowest", value) for value in every[:EXTREMES]]
    chosen += [("fastest", value) for value in reversed(every[EXTREMES:][-EXTREMES:])]
    for why, (rate, number, row, _) in chosen:
        record = report.files[number].record(row)
        if record.target is not None:
            yield Row(why, f"{rate:.1f} letters/s", record.place.sample, record.sample.target_text, record.target.path)


def _slowest_and_fastest(uttered: Utterances) -> Iterator[tuple[float, float, int, int]]:
    """Letters, seconds, row and clip of the `EXTREMES` slowest and fastest targets, each clip once."""
    targets = uttered.where(uttered.is_target & (uttered.letters > 0))
    if not len(targets.row):
        return
    targets = targets.where(firsts(targets.clip) == np.arange(len(targets.row)))
    order = np.argsort(targets.letters / targets.seconds, kind="stable")
    chosen = targets.where(np.unique(np.concatenate([order[:EXTREMES], order[EXTREMES:][-EXTREMES:]])))
    columns = (chosen.letters, chosen.seconds, chosen.row, chosen.clip)
    yield from zip(*(column.tolist() for column in columns), strict=True)


def _text(record: Record, field: str) -> str:
    return record.sample.reference_text if field.startswith("reference") else record.sample.target_text


def sheet_table(rows: Sequence[Row], folder: Path) -> str:
    """The rows as an HTML table of a page in `folder`."""
    body = "\n".join(_row(row, folder) for row in rows)
    head = "<thead><tr><th>Why</th><th>Sample</th><th>Listen</th></tr></thead>"
    return f"<table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table>"


def player(clip: Path, folder: Path) -> str:
    """A player for `clip` on a page in `folder`, and the name of the file."""
    source = quote(os.path.relpath(clip.resolve(), folder), errors="surrogateescape")
    return (
        f'<audio controls preload="none" src="{html.escape(source, quote=True)}"></audio>'
        f"<br><small>{escaped(clip.name)}</small>"
    )


def escaped(text: str) -> str:
    """`text` for HTML, unprintable characters as escapes."""
    return html.escape(printable(text), quote=True)


def _row(row: Row, folder: Path) -> str:
    return (
        f"<tr><td><strong>{escaped(row.why)}</strong><br><small>{escaped(row.seen)}</small></td>"
        f"<td>{escaped(row.sample)}<br>{escaped(row.text)}</td>"
        f"<td>{player(row.clip, folder)}</td></tr>"
    )
