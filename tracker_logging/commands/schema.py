"""Print the JSON Schema of the --json output of list, show, get, findings, clips and tail, or of check-data.

tracker-logging schema > tracker-logging.schema.json
tracker-logging schema check-data > check-data.schema.json
"""

from __future__ import annotations

import argparse

from tracker_logging.commands.base import print_json
from tracker_logging.doctor.data_checks.schema import report_schema
from tracker_logging.runs.as_json import json_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("of", nargs="?", choices=("runs", "check-data"), default="runs", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    print_json(json_schema() if args.of == "runs" else report_schema())
    return 0
