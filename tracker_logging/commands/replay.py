"""Write the JSON-lines record of a run to another backend.

tracker-logging replay outputs/runs/a --to tensorboard
tracker-logging replay outputs/runs/a --to wandb --output outputs/runs/a-again
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tracker_logging.commands.base import CommandError
from tracker_logging.trackers.base import Tracker

BACKENDS = ("tensorboard", "wandb", "trackio", "mlflow", "swanlab")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run that was logged with --report_to jsonl")
    parser.add_argument("--to", choices=BACKENDS, required=True)
    parser.add_argument("--output", type=Path, help="directory of the new run; default: RUN-replayed, beside RUN")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.runs.json_lines import recorded_run
    from tracker_logging.trackers.open import RunInfo, open_tracker

    output = args.output or args.run.with_name(f"{args.run.resolve().name}-replayed")
    if output.exists() and any(output.iterdir()):
        raise CommandError(f"{output} is not empty; a replay could write values twice. Name another --output.")
    try:
        recorded = recorded_run(args.run)
        tracker = open_tracker([args.to], directory=output, run=RunInfo(name=output.name, config=recorded["config"]))
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    try:
        count = replay(args.run, tracker)
    finally:
        tracker.close()
    if errors := getattr(tracker, "errors", 0):
        raise CommandError(f"{errors} errors while writing to {args.to}; see the messages above.")
    print(f"Wrote {count} events of {args.run} to {output}.")
    return 0


def replay(record: Path, tracker: Tracker) -> int:
    """Emit every event of the JSON-lines record in `record` to `tracker`, in order, then flush; the number of events.

    The tracker is not closed. Raises what `recorded_events` raises.
    """
    from tracker_logging.runs.json_lines import recorded_events

    count = 0
    for event in recorded_events(record):
        tracker.emit(event)
        count += 1
    tracker.flush()
    return count
