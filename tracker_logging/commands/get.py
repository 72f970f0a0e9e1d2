"""Print the values of tags of a run: scalars, tables and texts.

TAG is a name or a pattern with * and ?. Scalars of several tags are printed as one table, a row per step.

    tracker-logging get outputs/runs/a voices/sim_o/mean
    tracker-logging get outputs/runs/a "voices/*/mean" --since 500 --json
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from tracker_logging.commands.base import CommandError, add_run_argument, open_run_or_fail, print_json, print_table
from tracker_logging.runs import Run
from tracker_logging.runs.as_json import document, tag_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_argument(parser)
    parser.add_argument("tags", nargs="+", metavar="TAG", help="a tag, or a pattern with * and ?")
    parser.add_argument("--since", type=int, default=0, metavar="N", help="only values of step N and later")
    parser.add_argument("--json", action="store_true", help="print the values as JSON")


def run(args: argparse.Namespace) -> int:
    opened = open_run_or_fail(args.run)
    tags = matching_tags(opened, args.tags)
    if args.json:
        values = {tag: tag_values(opened, tag, since=args.since) for tag in tags}
        print_json(document("get", run=opened.name, tags=values))
        return 0
    _print_scalars(opened, [tag for tag in tags if tag in opened.scalars], since=args.since)
    for tag in tags:
        if tag not in opened.scalars:
            _print_texts(opened, tag, since=args.since)
    return 0


def matching_tags(run: Run, patterns: Sequence[str]) -> list[str]:
    """The tags of scalars, tables and texts that match, in the order of the patterns. Raises `CommandError`."""
    known = [*run.scalars, *(tag for tag in (*run.tables, *run.texts) if tag not in run.scalars)]
    tags: dict[str, None] = {}
    for pattern in patterns:
        matches = [tag for tag in known if fnmatchcase(tag, pattern)]
        if not matches:
            close = difflib.get_close_matches(pattern, known, n=3, cutoff=0.4)
            hint = f" Similar tags: {', '.join(close)}." if close else ""
            raise CommandError(f"{run.name} has no tag {pattern!r}.{hint} `tracker-logging show RUN --json` lists all.")
        tags |= dict.fromkeys(matches)
    return list(tags)


def _print_scalars(run: Run, tags: Sequence[str], *, since: int) -> None:
    if not tags:
        return
    values = {tag: dict(run.scalars[tag].since(since)) for tag in tags}
    steps = sorted({step for points in values.values() for step in points})
    rows = [(str(step), *(f"{values[tag][step]:.6g}" if step in values[tag] else "" for tag in tags)) for step in steps]
    print_table(("step", *tags), rows, width=None)


def _print_texts(run: Run, tag: str, *, since: int) -> None:
    for step, table in run.tables.get(tag, {}).items():
        if step >= since:
            print(f"\n{tag}, step {step}")
            print_table(table.columns, [["" if cell is None else str(cell) for cell in row] for row in table.rows])
    for step, text in run.texts.get(tag, {}).items():
        if step >= since:
            print(f"\n{tag}, step {step}\n{text}")
