"""Serve runs to coding agents over the Model Context Protocol, so that an agent can watch a training.

It runs until its client ends it. Nothing is written, and only runs below PLACE can be read. Needs the package mcp.

    tracker-logging mcp outputs
    claude mcp add runs -- tracker-logging mcp outputs
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tracker_logging.commands.base import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", type=Path, metavar="PLACE", help="a directory; runs at any depth can be read")


def run(args: argparse.Namespace) -> int:
    if not args.place.is_dir():
        raise CommandError(f"{args.place} is no directory. Name the one that holds the runs.")
    try:
        from tracker_logging.runs.mcp_server import make_server
    except ModuleNotFoundError as error:
        raise CommandError(f"{error}. Fix: pip install 'tracker-logging[mcp]'") from error
    make_server(args.place).run()
    return 0
