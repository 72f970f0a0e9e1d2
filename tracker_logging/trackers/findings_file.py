"""The doctor's report as two files in the run's directory: one to read, one for programs.

    runs/a/findings.md       what was seen, the likely cause, what to do; open findings first
    runs/a/findings.json     {"format": 1, "step": 500, "findings": [{"name": …, "level": …, "since": …}, …]}

Guarantees
- Each `doctor/findings` table replaces both files, each completely or not at all; also if there is no finding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker_logging import tags
from tracker_logging.doctor.finding import title
from tracker_logging.events import Event, Table
from tracker_logging.trackers.whole_file import write_whole_text

FORMAT = 1
JSON_NAME = "findings.json"
PAGE_NAME = "findings.md"


class FindingsFileTracker:
    """Writes `doctor/findings` tables into `directory` and ignores other events. Raises `OSError`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def emit(self, event: Event) -> None:
        """Replace both files."""
        if isinstance(event, Table) and event.tag == tags.FINDINGS():
            findings = [dict(zip(event.columns, row, strict=True)) for row in event.rows]
            content = {"format": FORMAT, "step": event.step, "findings": findings}
            self.directory.mkdir(parents=True, exist_ok=True)
            write_whole_text(self.directory / JSON_NAME, json.dumps(content, indent=1, ensure_ascii=False))
            write_whole_text(self.directory / PAGE_NAME, findings_page(event.step, findings))

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: files are complete when `emit` returns."""

    def close(self) -> None:
        """Do nothing: no file is held open."""


def findings_page(step: int, findings: Sequence[Mapping[str, Any]]) -> str:
    """The report in Markdown, up to `step`."""
    still_open = [finding for finding in findings if finding["until"] is None]
    lines = ["# What the doctor found", ""]
    if not findings:
        lines += [f"Nothing, up to step {step}.", ""]
    else:
        count = len(findings)
        lines += [f"{count} finding{'s' if count > 1 else ''} up to step {step}, {len(still_open)} still open.", ""]
    for finding in findings:
        until = "still open" if finding["until"] is None else f"healed at step {finding['until']}"
        lines += [
            f"## {title(finding['name'])}",
            "",
            f"*{finding['level']}, since step {finding['since']}, {until}*",
            "",
            f"- **Seen:** {finding['seen']}.",
            f"- **Likely cause ({finding['certainty']}):** {finding['likely cause']}",
            f"- **What to do:** {finding['what to do']}",
            "",
        ]
    return "\n".join(lines)
