"""Print the JSON Schema of the --json output of list, show, get, findings, clips and tail.

tracker-logging schema > tracker-logging.schema.json
"""

from __future__ import annotations

import argparse

from tracker_logging.commands.base import print_json
from tracker_logging.runs.as_json import json_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def run(args: argparse.Namespace) -> int:
    print_json(json_schema())
    return 0
