"""Print new values of a run as they are written, until Ctrl-C.

Without TAG it prints the scores that judge a run (losses, voice scores, conditioning), and alerts.

    tracker-logging tail outputs/runs/a
    tracker-logging tail outputs/runs/a "voices/*/mean" --since 500 --json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from tracker_logging.commands.base import CommandError, add_run_argument
from tracker_logging.runs import AlertMessage, NotARunError
from tracker_logging.runs.as_json import Json, document
from tracker_logging.runs.entries import Entry, Logged
from tracker_logging.runs.follow import Follower
from tracker_logging.tags import direction
from tracker_logging.trackers.plain_text import number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_argument(parser)
    parser.add_argument("tags", nargs="*", metavar="TAG", help="a scalar, or a pattern with * and ?")
    parser.add_argument("--since", type=int, metavar="N", help="also print what is there from step N on")
    parser.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between looks (default: 1)")
    parser.add_argument("--idle", type=float, metavar="S", help="end after S seconds without anything new")
    parser.add_argument("--json", action="store_true", help="print one JSON document per line")


def run(args: argparse.Namespace) -> int:
    try:
        follower = Follower(args.run)
        entries = list(follower.poll())
        if args.since is not None:
            _print(_rows(entries, args.tags, since=args.since), follower.name, as_json=args.json)
        newest = time.monotonic()
        while args.idle is None or time.monotonic() - newest < args.idle:
            time.sleep(args.interval)
            if _print(_rows(follower.poll(), args.tags, since=0), follower.name, as_json=args.json):
                newest = time.monotonic()
    except (NotARunError, OSError) as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        print()
    return 0


def _rows(entries: Iterable[Entry], patterns: Sequence[str], *, since: int) -> Iterator[Json]:
    for entry in entries:
        match entry:
            case Logged(step=step, tag=tag, value=float() as value) if step >= since and _is_wanted(tag, patterns):
                yield {"step": step, "kind": "scalar", "tag": tag, "value": number(value)}
            case AlertMessage(step=step, title=title, text=text) if step >= since:
                yield {"step": step, "kind": "alert", "tag": title, "value": text}


def _is_wanted(tag: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(tag, pattern) for pattern in patterns) if patterns else bool(direction(tag))


def _print(rows: Iterable[Json], run: str, *, as_json: bool) -> int:
    """Print the rows; returns how many there were."""
    count = 0
    for row in rows:
        count += 1
        if as_json:
            print(json.dumps(document("tail", run=run, **row), allow_nan=False), flush=True)
        else:
            value = f"{row['value']:.6g}" if isinstance(row["value"], float) else row["value"].replace("\n", " ")
            print(f"step {row['step']}  {row['tag']}  {value}", flush=True)
    return count
