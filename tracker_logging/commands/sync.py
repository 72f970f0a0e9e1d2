"""Upload offline W&B runs, also runs that were moved to another place or machine.

tracker-logging sync outputs/runs/a
tracker-logging sync outputs/runs/a outputs/runs/b --project voice-cloning

W&B's record names the files of tables where they were written. It is corrected in a copy; the run is not changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tracker_logging.commands.base import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directory of a run, with its folder wandb")
    parser.add_argument("--project", help="upload to this W&B project; default: the one of the run")
    parser.add_argument("--entity", help="upload to this W&B user or team; default: your own")


def run(args: argparse.Namespace) -> int:
    folders = [folder for run in args.runs for folder in _offline_runs(run)]
    return max(_sync(folder, project=args.project, entity=args.entity) for folder in folders)


def _offline_runs(run: Path) -> list[Path]:
    from tracker_logging.trackers.wandb_record import run_directories

    folders = run_directories(run)
    if not folders:
        raise CommandError(f"{run}: no W&B run in it. Name the directory of a run that was logged with W&B.")
    return folders


def _sync(folder: Path, *, project: str | None, entity: str | None) -> int:
    from tracker_logging.trackers.wandb_moved import mended_copy

    target = [part for name, value in (("-p", project), ("-e", entity)) if value for part in (name, value)]
    try:
        with mended_copy(folder) as (copy, staged):
            options = ["--include-online", "--include-synced", *target]
            command = [sys.executable, "-m", "wandb", "sync", *options, str(copy.absolute())]
            # W&B's service of a process that has begun a run works in the directory of that process.
            environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
            done = subprocess.run(command, cwd=staged, env=environment, check=False)
            for marker in copy.glob("*.synced"):
                shutil.copy2(marker, folder / marker.name)
    except (OSError, ValueError) as error:
        raise CommandError(f"{folder.name}: {error}") from error
    if done.returncode != 0:
        print(
            f"{folder.name} was not uploaded completely; W&B says why above. Nothing is lost: run the command again. "
            "Without an account or key: wandb login",
            file=sys.stderr,
        )
    return done.returncode
