"""A report for people (plain text) and for programs (JSON).

- The text names each check once, with what it means and what to do, and below it the places: file, sample, field, what.
- The JSON has every finding, and no number that is not finite.

    print(as_text(report)); json.dumps(as_json(report), allow_nan=False)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.check import Report
from tracker_logging.doctor.data_checks.finding import DataFinding
from tracker_logging.doctor.data_checks.summary import Quantiles, Summary
from tracker_logging.doctor.finding import LEVELS

ROWS = 10  # places that are shown of one check
NAMES = 8  # speakers and languages that are shown
_WIDEST = 40  # characters of a column that are padded for

_CHECKS = {check.name: check for check in checks.ALL}


def as_text(report: Report) -> str:
    """The whole report. Errors come last, where a terminal shows them first."""
    blocks = [_summary(summary) for summary in report.summaries]
    groups = [list(group) for _, group in groupby(report.findings, key=lambda finding: finding.name)]
    for level in LEVELS:
        blocks += [_group(group) for group in groups if group[0].level == level]
    return printable("\n\n".join([*blocks, _verdict(report)]))


def as_json(report: Report) -> dict[str, Any]:
    """Summaries, counts by name, and every finding."""
    return {
        "exit_code": report.exit_code,
        "counts": dict(Counter(finding.name for finding in report.findings)),
        "summaries": [asdict(summary) for summary in report.summaries],
        "findings": [asdict(finding) for finding in report.findings],
    }


def printable(text: str) -> str:
    """Text that no terminal takes for commands: everything unprintable but line ends is written as an escape."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        letter if letter == "\n" or letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def _summary(summary: Summary) -> str:
    lines = [f"{summary.file}: {summary.read:,} samples, {summary.usable:,} usable, {_time(summary.hours)} of targets"]
    rates = {f"{rate} Hz": count for rate, count in summary.sample_rates.items()}
    rows = [
        ("speakers", _names(summary.speakers)),
        ("languages", _names(summary.languages)),
        ("sample rates of clips", _names(rates)),
        ("reference, seconds", _quantiles(summary.reference_s)),
        ("target, seconds", _quantiles(summary.target_s)),
        ("letters per second", _quantiles(summary.letters_per_s)),
    ]
    return "\n".join([*lines, *(f"  {label:<22} {value}" for label, value in rows if value)])


def _time(hours: float) -> str:
    return f"{hours:.2f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _count(count: int, level: str) -> str:
    return f"{count:,} {level}{'s' if count > 1 and level != 'info' else ''}"


def _names(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    shown = ", ".join(f"{_cut(name)} ({count:,})" for name, count in list(counts.items())[:NAMES])
    return f"{len(counts):,}: {shown}{', …' if len(counts) > NAMES else ''}"


def _cut(name: str) -> str:
    return name if len(name) <= _WIDEST else name[: _WIDEST - 1] + "…"


def _quantiles(found: Quantiles | None) -> str:
    if found is None:
        return ""
    return (
        f"{found.smallest:.2f} least, {found.low:.2f} (5 %), {found.median:.2f} median, "
        f"{found.high:.2f} (95 %), {found.largest:.2f} most"
    )


def _group(group: Sequence[DataFinding]) -> str:
    check = _CHECKS[group[0].name]
    rows = [(one.sample or one.file, one.field, one.seen) for one in group[:ROWS]]
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in (0, 1)]
    lines = [f"{check.level.upper()} {check.name} × {len(group):,}", f"  {check.means}"]
    lines += [
        f"    {sample:<{widths[0]}}  {field + '  ' if widths[1] else '':<{widths[1]}}{seen}"
        for sample, field, seen in rows
    ]
    if len(group) > ROWS:
        lines.append(f"    … and {len(group) - ROWS:,} more (all of them: --json)")
    return "\n".join([*lines, *(f"  What to do: {cure}" for cure in _cures(group))])


def _cures(group: Sequence[DataFinding]) -> Iterator[str]:
    """The cures of the places that are shown, each once."""
    yield from dict.fromkeys(finding.cure for finding in group[:ROWS])


def _verdict(report: Report) -> str:
    counts = Counter(finding.level for finding in report.findings)
    said = ", ".join(_count(counts[level], level) for level in reversed(LEVELS) if counts[level])
    if report.is_unusable:
        return f"Unusable as it is: {said}."
    if report.exit_code:
        return f"Findings: {said}."
    return f"Nothing wrong was found{f' ({said})' if said else ''}."
