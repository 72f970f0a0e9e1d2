"""Print the command and the links that show a run in TensorBoard.

tracker-logging open outputs/runs/a
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tracker_logging.commands.base import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of the run")
    parser.add_argument("--port", type=int, default=6006, help="default: 6006")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.dashboards.open_run import how_to_open

    directory = args.run.resolve()
    if not any(directory.glob("*.tfevents.*")) and not (directory / "voices").is_dir():
        raise CommandError(f"{args.run}: no event files and no voices in it. Name the directory of a run.")
    print(how_to_open(directory, port=args.port))
    return 0
