"""Writes the doctor's report as two files in the run's directory: one to read, one for programs.

    runs/a/findings.md       what was seen, the likely cause, what to do; open findings first
    runs/a/findings.json     {"format": 1, "step": 500, "findings": [{"name": …, "level": …, "since": …}, …]}

Guarantees
- Each `Findings` event replaces both files atomically. Without a finding the files state that there is none.
- With `purge_step` a report of that step or later is removed first; the doctor reports again when training goes on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tracker_logging.events import Event, Findings
from tracker_logging.trackers.parts import finding_row
from tracker_logging.trackers.purge import remove_report
from tracker_logging.whole_file import write_whole_text

FORMAT = 1
JSON_NAME = "findings.json"
PAGE_NAME = "findings.md"


class FindingsFileTracker:
    """Writes `Findings` events into `directory` and ignores all other events. Raises `OSError`."""

    def __init__(self, directory: Path, *, purge_step: int | None = None) -> None:
        self.directory = directory
        if purge_step is not None:
            remove_report(directory, (JSON_NAME, PAGE_NAME), step=purge_step)

    def emit(self, event: Event) -> None:
        """Replace both files."""
        if isinstance(event, Findings):
            report = _open_first(event)
            findings = [finding_row(finding) for finding in report.findings]
            content = {"format": FORMAT, "step": report.step, "findings": findings}
            self.directory.mkdir(parents=True, exist_ok=True)
            write_whole_text(self.directory / JSON_NAME, json.dumps(content, indent=1, ensure_ascii=False))
            write_whole_text(self.directory / PAGE_NAME, findings_page(report))

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: nothing is buffered."""

    def close(self) -> None:
        """Return at once: no file stays open."""


def findings_page(report: Findings) -> str:
    """The report in Markdown, up to its step."""
    open_count = sum(finding.is_open for finding in report.findings)
    lines = ["# Findings of the doctor", ""]
    if not report.findings:
        lines += [f"No finding up to step {report.step}.", ""]
    else:
        count = len(report.findings)
        lines += [f"{count} finding{'s' if count > 1 else ''} up to step {report.step}, {open_count} still open.", ""]
    for finding in report.findings:
        until = "still open" if finding.is_open else f"resolved at step {finding.until}"
        since = "before training" if finding.since is None else f"since step {finding.since}"
        lines += [
            f"## {finding.title}",
            "",
            f"*{finding.level}, {since}, {until}*",
            "",
            f"- **Measured:** {finding.seen}.",
            f"- **Likely cause ({finding.certainty}):** {finding.cause}",
            f"- **What to do:** {finding.fix}",
            "",
        ]
    return "\n".join(lines)


def _open_first(report: Findings) -> Findings:
    return replace(report, findings=tuple(sorted(report.findings, key=lambda finding: not finding.is_open)))
