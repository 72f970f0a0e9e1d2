"""Merge the files of the raters of a listening test: means with intervals, verdicts and agreement.

The listening test of the Voices tab and of the comparison page saves one file per rater and test. Raters who answered
fewer than three quarters of their catch trials right are left out and named. `compare --ratings` shows the same on its
page; --log-to adds the table to the TensorBoard files and the JSON-lines record of a run, as voices/ratings.

    tracker-logging ratings ratings-*.json
    tracker-logging ratings ratings-*.json --log-to outputs/runs/b
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker_logging import tags
from tracker_logging.commands.base import CommandError, print_json, print_table
from tracker_logging.events import Table

if TYPE_CHECKING:
    from tracker_logging.trackers.base import Tracker

FLUSH_TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="saved by the raters")
    parser.add_argument("--keep-all", action="store_true", help="also count raters who failed their catch trials")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--log-to", type=Path, metavar="RUN", help="add the table to this run, which must have ended")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.dashboards.ratings import result_table

    merged = merged_ratings(args.files, keep_all=args.keep_all)
    if args.json:
        print_json(merged)
    else:
        print_ratings(merged)
    if args.log_to is not None:
        columns, rows = result_table(merged)
        step = _rated_step(merged, args.log_to.name)
        _log(args.log_to, Table(step=step, tag=tags.RATING_TABLE(), columns=columns, rows=tuple(rows)))
    return 0


def merged_ratings(paths: Sequence[Path], *, keep_all: bool) -> dict[str, Any]:
    """The files, merged. Raises `CommandError`."""
    from tracker_logging.dashboards.ratings import RatingsError, merge, read_ratings

    try:
        merged: dict[str, Any] = merge([read_ratings(path) for path in paths], keep_all=keep_all)
        return merged
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read ({error.strerror}).") from error
    except RatingsError as error:
        raise CommandError(str(error)) from error


def print_ratings(merged: dict[str, Any]) -> None:
    """The sentences of the results, agreement and raters."""
    for row in merged["results"]:
        print(row["sentence"])
    for row in merged["agreement"]:
        alpha = "not defined" if row["alpha"] is None else f"{row['alpha']:.2f}"
        print(f"{row['mode']}, {row['raters']} raters, {row['units']} trials: Krippendorff's alpha {alpha}.")
    rows = [
        [row["rater"], ", ".join(row["tests"]), str(row["votes"]), f"{row['catch_right']} of {row['catch_total']}",
         "yes" if row["kept"] else "no: failed the catch trials"]
        for row in merged["raters"]
    ]  # fmt: skip
    print()
    print_table(["rater", "tests", "votes", "catch trials right", "counted"], rows)


def _rated_step(merged: dict[str, Any], run: str) -> int:
    """The last step of the run that was rated. Raises `CommandError`."""
    names = [name for row in merged["results"] for name in row["systems"]]
    steps = [int(step) for name in names if (parts := name.rpartition("@"))[0] == run and (step := parts[2]).isdigit()]
    if not steps:
        raise CommandError(f"no rating is about a run named {run}: {', '.join(sorted(set(names)))}.")
    return max(steps)


def _log(directory: Path, table: Table) -> None:
    from tracker_logging.trackers.ended_run import tracker_of

    if not directory.is_dir():
        raise CommandError(f"{directory}: no directory there.")
    tracker: Tracker = tracker_of(directory)
    tracker.emit(table)
    tracker.flush(timeout_s=FLUSH_TIMEOUT_S)
    tracker.close()
    if errors := getattr(tracker, "errors", 0):
        raise CommandError(f"{errors} errors while writing the table; the messages above name them.")
    print(f"{directory}: table voices/ratings added at step {table.step}.")
