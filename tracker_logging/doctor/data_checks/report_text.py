"""A report as plain text for people and as JSON for programs.

- The text lists each check once with its meaning and fix, and below it the places: sample, field, evidence.
- The JSON has the findings that were kept, and finite numbers only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from tracker_logging.data import sample
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.report import Report
from tracker_logging.doctor.data_checks.schema import VERSION
from tracker_logging.doctor.data_checks.summary import Quantiles, Summary
from tracker_logging.doctor.finding import LEVELS

ROWS = 10  # shown per check
NAMES = 8  # speakers and languages shown
_WIDEST = 40  # characters that a column is padded to

_CHECKS = {check.name: check for check in checks.ALL}


def as_text(report: Report) -> str:
    """The whole report. Errors come last, where a terminal shows them first."""
    blocks = [_summary(summary) for summary in report.summaries]
    groups = [list(group) for _, group in groupby(report.findings, key=lambda finding: finding.name)]
    for level in LEVELS:
        blocks += [_group(group, report.counts[group[0].name]) for group in groups if group[0].level == level]
    return printable("\n\n".join([*blocks, verdict(report)]))


def as_json(report: Report) -> dict[str, Any]:
    """Summaries, counts by name, and the findings, as `schema.report_schema` describes it."""
    return {
        "schema": VERSION,
        "exit_code": report.exit_code,
        "counts": {check.name: report.counts[check.name] for check in checks.ALL if check.name in report.counts},
        "left_out": sum(report.counts.values()) - len(report.findings),
        "summaries": [asdict(summary) for summary in report.summaries],
        "findings": [finding_json(finding) for finding in report.findings],
    }


def finding_json(finding: DataFinding) -> dict[str, Any]:
    """One finding as a JSON object."""
    return {name: value for name, value in asdict(finding).items() if name != "row"}


def printable(text: str) -> str:
    """Text without terminal control sequences: unprintable characters except line ends are escaped."""
    return "\n".join(map(sample.printable, text.split("\n")))


def _summary(summary: Summary) -> str:
    hours = f", {time_text(summary.hours)} of targets" if summary.hours or not summary.usable else ""
    lines = [f"{summary.file}: {summary.read:,} samples, {summary.usable:,} usable{hours}"]
    rates = {f"{rate} Hz": count for rate, count in summary.sample_rates.items()}
    rows = [
        ("speakers", _names(summary.speakers)),
        ("languages", _names(summary.languages)),
        ("sample rates of clips", _names(rates)),
        ("reference, seconds", quantiles_text(summary.reference_s)),
        ("target, seconds", quantiles_text(summary.target_s)),
        ("letters per second", quantiles_text(summary.letters_per_s)),
    ]
    return "\n".join([*lines, *(f"  {label:<22} {value}" for label, value in rows if value)])


def time_text(hours: float) -> str:
    """Hours, or minutes below one."""
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


def quantiles_text(values: Quantiles | None) -> str:
    """The five values; "" for None."""
    if values is None:
        return ""
    return (
        f"{values.smallest:.2f} least, {values.low:.2f} (5 %), {values.median:.2f} median, "
        f"{values.high:.2f} (95 %), {values.largest:.2f} most"
    )


def _group(group: Sequence[DataFinding], count: int) -> str:
    check = _CHECKS[group[0].name]
    rows = [(finding.sample or finding.file, finding.field, finding.seen) for finding in group[:ROWS]]
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in (0, 1)]
    lines = [f"{check.level.upper()} {check.name} × {count:,}", f"  {check.means}"]
    lines += [
        f"    {sample:<{widths[0]}}  {field + '  ' if widths[1] else '':<{widths[1]}}{seen}"
        for sample, field, seen in rows
    ]
    if count > ROWS:
        lines.append(f"    … and {count - ROWS:,} more (--json, --findings)")
    return "\n".join([*lines, *(f"  Fix: {fix}" for fix in _fixes(group))])


def _fixes(group: Sequence[DataFinding]) -> Iterator[str]:
    """The fixes of the shown places, each once."""
    yield from dict.fromkeys(finding.fix for finding in group[:ROWS])


def verdict(report: Report) -> str:
    """One sentence: how many findings of each level."""
    counts: Counter[str] = Counter()
    for name, count in report.counts.items():
        counts[_CHECKS[name].level] += count
    total = ", ".join(_count(counts[level], level) for level in reversed(LEVELS) if counts[level])
    if report.is_unusable:
        return f"Unusable: {total}."
    if report.exit_code:
        return f"Findings: {total}."
    return f"No problem found{f' ({total})' if total else ''}."
