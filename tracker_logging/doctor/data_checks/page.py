"""The report as one HTML page: numbers, hours, histograms, findings with examples and fixes, clips to listen to.

- One file without script; it plays the clips in place, by paths relative to the page, and loads nothing else.
- Texts and names from the data are escaped.

    write_page(check_files(Path("train.json"), decode=True), Path("report.html"))
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.listening_sheet import MOST as MOST_CLIPS
from tracker_logging.doctor.data_checks.listening_sheet import escaped, player, sheet_rows, sheet_table
from tracker_logging.doctor.data_checks.report import Report
from tracker_logging.doctor.data_checks.report_text import quantiles_text, time_text, verdict
from tracker_logging.doctor.data_checks.summary import Histogram, Summary
from tracker_logging.doctor.finding import LEVELS

EXAMPLES = 3  # of each finding
NAMES = 40  # speakers and languages in a table
_WIDTH, _HEIGHT = 360, 120  # of a histogram, pixels
_TITLES = {
    "target_s": "Duration of targets, s",
    "letters_per_s": "Letters per second of targets",
    "level_dbfs": "Level of decoded targets, dBFS",
    "silence_pct": "Frames without sound, %",
}
_CHECKS = {check.name: check for check in checks.ALL}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; media-src 'self' file: http: https:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }}
h2 {{ margin-top: 2.5rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-top: 1px solid #8884; }}
td {{ overflow-wrap: anywhere; }}
td.number, th.number {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
.columns {{ display: flex; flex-wrap: wrap; gap: 1.5rem 3rem; }}
.columns > * {{ flex: 1 1 20rem; min-width: 0; }}
figure {{ margin: 0; max-width: 24rem; }}
svg {{ width: 100%; height: auto; }}
rect {{ fill: #4878a8; }}
text {{ font-size: 11px; fill: currentColor; }}
.error strong {{ color: #c03030; }}
.warning strong {{ color: #b07000; }}
details {{ border-top: 1px solid #8884; padding: .6rem 0; }}
summary {{ cursor: pointer; }}
audio {{ width: 18rem; height: 2.2rem; }}
small {{ opacity: .75; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{verdict}</p>
{summaries}
<h2>Findings</h2>
{findings}
<h2>Clips to listen to</h2>
{clips}
</body>
</html>
"""


def write_page(report: Report, path: Path) -> None:
    """Write the page. Raises OSError."""
    folder = path.resolve().parent
    files = " and ".join(summary.file for summary in report.summaries)
    rows = list(sheet_rows(report))
    clips = sheet_table(rows[:MOST_CLIPS], folder) if rows else "<p>No clip stands out.</p>"
    text = _PAGE.format(
        title=escaped(f"Data check: {files}"),
        verdict=escaped(verdict(report)),
        summaries="\n".join(_summary(summary) for summary in report.summaries),
        findings="\n".join(_findings(report, folder)) or "<p>None.</p>",
        clips=clips,
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _summary(summary: Summary) -> str:
    facts = {
        "samples": f"{summary.read:,}, {summary.usable:,} of them usable",
        "targets": time_text(summary.hours) if summary.hours else "",
        "sample rates of clips": ", ".join(f"{rate:,} Hz ({count:,})" for rate, count in summary.sample_rates.items()),
        "reference, seconds": quantiles_text(summary.reference_s),
        "target, seconds": quantiles_text(summary.target_s),
        "letters per second": quantiles_text(summary.letters_per_s),
    }
    rows = "".join(f"<tr><th>{name}</th><td>{escaped(value)}</td></tr>" for name, value in facts.items() if value)
    drawn = "".join(
        f"<figure><figcaption>{_TITLES[name]}</figcaption>{_drawing(values)}</figure>"
        for name, values in summary.histograms.items()
    )
    tables = _hours("Speaker", summary.speakers, summary.speaker_hours)
    tables += _hours("Language", summary.languages, summary.language_hours)
    return (
        f"<h2>{escaped(summary.file)}</h2>\n<table>{rows}</table>\n"
        f'<div class="columns">{drawn}</div>\n<div class="columns">{tables}</div>'
    )


def _hours(title: str, counts: Mapping[str, int], hours: Mapping[str, float]) -> str:
    if not counts:
        return ""
    named = list(hours.items())
    rows = "".join(
        f'<tr><td>{escaped(name)}</td><td class="number">{counts.get(name, 0):,}</td>'
        f'<td class="number">{time_text(value)}</td></tr>'
        for name, value in named[:NAMES]
    )
    left = f"<p><small>… and {len(named) - NAMES:,} more.</small></p>" if len(named) > NAMES else ""
    return (
        f'<div><table><thead><tr><th>{title} ({len(named):,})</th><th class="number">samples</th>'
        f'<th class="number">targets</th></tr></thead><tbody>{rows}</tbody></table>{left}</div>'
    )


def _drawing(values: Histogram) -> str:
    """The histogram as SVG, with its ends and its highest count."""
    top, bottom, most = 14, 18, max(values.counts)
    width = _WIDTH / len(values.counts)
    bars = "".join(
        f'<rect x="{number * width:.1f}" y="{top + (1 - count / most) * _HEIGHT:.1f}" width="{width - 1:.1f}" '
        f'height="{count / most * _HEIGHT:.1f}"><title>{values.edges[number]:.4g} to {values.edges[number + 1]:.4g}: '
        f"{count:,}</title></rect>"
        for number, count in enumerate(values.counts)
    )
    low, high, line = values.edges[0], values.edges[-1], top + _HEIGHT + bottom - 4
    return (
        f'<svg viewBox="0 0 {_WIDTH} {top + _HEIGHT + bottom}" role="img">{bars}'
        f'<text x="0" y="{line}">{low:.4g}</text><text x="{_WIDTH}" y="{line}" text-anchor="end">{high:.4g}</text>'
        f'<text x="{_WIDTH}" y="10" text-anchor="end">{most:,}</text></svg>'
    )


def _findings(report: Report, folder: Path) -> Iterator[str]:
    """One block for each kind, the worst first."""
    groups = [list(group) for _, group in groupby(report.findings, key=lambda finding: finding.name)]
    for level in reversed(LEVELS):
        for group in groups:
            if group[0].level == level:
                yield _group(group, report.counts[group[0].name], folder)


def _group(group: Sequence[DataFinding], count: int, folder: Path) -> str:
    check = _CHECKS[group[0].name]
    examples = "".join(
        f"<tr><td>{escaped(finding.sample or finding.file)}<br><small>{escaped(finding.field)}</small></td>"
        f"<td>{escaped(finding.seen)}</td><td>{player(Path(finding.clip), folder) if finding.clip else ''}</td></tr>"
        for finding in group[:EXAMPLES]
    )
    left = f"<p><small>… and {count - EXAMPLES:,} more.</small></p>" if count > EXAMPLES else ""
    fixes = "".join(f"<p>Fix: {escaped(fix)}</p>" for fix in dict.fromkeys(finding.fix for finding in group[:EXAMPLES]))
    is_open = " open" if check.level == "error" else ""
    return (
        f'<details class="{check.level}"{is_open}><summary><strong>{check.level} {html.escape(check.name)}</strong> '
        f"× {count:,}: {escaped(check.means)}</summary>\n<table>{examples}</table>{left}{fixes}</details>"
    )
