"""Copy a run to a remote place, as --mirror_to does during training. Files that are there already are not copied again.

tracker-logging mirror outputs/runs/a s3://bucket/runs/a
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tracker_logging.commands.base import CommandError
from tracker_logging.trackers.mirror import Mirror


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's directory")
    parser.add_argument("url", metavar="URL", help="where to, such as s3://bucket/runs/a (needs s3fs, gcsfs, …)")


def run(args: argparse.Namespace) -> int:
    if not args.run.is_dir():
        raise CommandError(f"{args.run}: no such directory.")
    try:
        missing = Mirror(args.run, args.url).copy()
    except ValueError as error:
        raise CommandError(str(error)) from error
    print(f"{args.run} is complete in {args.url}." if not missing else f"{missing} files are not in {args.url}.")
    return 1 if missing else 0
