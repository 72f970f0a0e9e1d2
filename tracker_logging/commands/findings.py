"""Print the findings of the doctor for a run, and its other alerts.

Exit status: 0 no open finding above info, 1 there is one, 2 the run cannot be read.

    tracker-logging findings outputs/runs/a
    tracker-logging findings outputs/runs/a --json
"""

from __future__ import annotations

import argparse

from tracker_logging.commands.base import add_run_argument, open_run_or_fail, print_json, print_paragraph
from tracker_logging.runs.as_json import alerts_list, document, findings_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_argument(parser)
    parser.add_argument("--json", action="store_true", help="print findings and alerts as JSON")


def run(args: argparse.Namespace) -> int:
    opened = open_run_or_fail(args.run)
    findings = sorted(opened.findings, key=lambda finding: not finding.is_open)
    titles = {finding.title for finding in findings}
    alerts = [alert for alert in opened.alerts if alert.title not in titles]
    is_serious = any(finding.is_open and finding.level != "info" for finding in findings)
    if args.json:
        print_json(
            document("findings", run=opened.name, findings=findings_list(findings), alerts=alerts_list(opened.alerts))
        )
        return int(is_serious)
    for finding in findings:
        until = "open" if finding.is_open else f"resolved at step {finding.until}"
        since = "before training" if finding.since is None else f"since step {finding.since}"
        print(f"{finding.title} ({finding.level}, {since}, {until})")
        print_paragraph(f"Measured: {finding.seen}.", indent="  ")
        print_paragraph(f"Likely cause ({finding.certainty}): {finding.cause}", indent="  ")
        print_paragraph(f"What to do: {finding.fix}", indent="  ")
        print()
    for alert in alerts:
        print(f"{alert.title} ({alert.level or 'alert'}, step {alert.step})\n  {alert.text}\n")
    if not findings and not alerts:
        print(f"{opened.name}: no findings.")
    return int(is_serious)
