"""List the runs at or below a directory.

tracker-logging list outputs
tracker-logging list outputs --json
"""

from __future__ import annotations

import argparse

from tracker_logging.commands.base import CommandError, print_json, print_table
from tracker_logging.runs import NotARunError, list_runs
from tracker_logging.runs.as_json import document, run_listing, timestamp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", metavar="PLACE", help="a directory, also s3://…; runs at any depth are listed")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(args: argparse.Namespace) -> int:
    try:
        runs = list_runs(args.place)
    except NotARunError as error:
        raise CommandError(str(error)) from error
    if args.json:
        print_json(document("list", runs=run_listing(runs)))
    elif runs:
        rows = [(run.name, timestamp(run.updated), ", ".join(run.sources)) for run in runs]
        print_table(("run", "last written", "readable from"), rows)
    else:
        print(f"{args.place}: no runs.")
    return 0
