"""Reads what a W&B run has written to its own log on this machine, offline or online, also after `kill -9`.

    for row in history(Path("runs/a/wandb/offline-run-…-abc")): row["train/global_step"]

It asks `wandb leet inspect`, the only reader that W&B 0.31 offers; a second or so per run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STEP = "train/global_step"
_TYPE = "._type"
_TIMEOUT_S = 120.0


def run_directories(directory: Path, *, run_id: str = "*") -> list[Path]:
    """The directories of W&B runs (or of the one with that id) in `directory/wandb`, oldest first.

    One whose process was killed before it began its log is left out.
    """
    # W&B adds "-1" to the directory's name when two runs of one id begin within a second; the log's name is exact.
    directories = [path.parent for path in (directory / "wandb").glob(f"*run-*/run-{run_id}.wandb")]
    directories = [path for path in directories if not path.is_symlink()]
    return sorted(directories, key=lambda path: path.name.partition("run-")[2])


def latest_run_id(directory: Path) -> str | None:
    """The id of the run that was begun last in `directory`, or None."""
    runs = run_directories(directory)
    return next(runs[-1].glob("run-*.wandb")).stem.removeprefix("run-") if runs else None


def history(run: Path) -> Iterator[dict[str, Any]]:
    """The rows of a run's directory in order, keys as W&B stores them (`voices/a.audio`, `voices/a._type`, …)."""
    for record in records(run):
        if record["type"] == "history":
            yield record["history"]["item"]


def records(run: Path) -> Iterator[dict[str, Any]]:
    """All records of a run's directory, up to the first torn one. Raises OSError or subprocess.TimeoutExpired."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    read = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    for line in read.stdout.decode("utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def written_steps(directory: Path, *, run_id: str) -> dict[str, int]:
    """For each key that the run already holds, the last `train/global_step` at which it does."""
    last: dict[str, int] = {}
    for run in run_directories(directory, run_id=run_id):
        for row in history(run):
            if STEP in row:
                for key in keys(row):
                    last[key] = max(last.get(key, -1), int(row[STEP]))
    return last


def keys(row: dict[str, Any]) -> set[str]:
    """The keys that were logged in a row: W&B spreads a value with a type over several (`a._type`, `a.path`, …)."""
    typed = {key.removesuffix(_TYPE) for key in row if key.endswith(_TYPE)}
    plain = {key for key in row if not any(key.startswith(f"{name}.") for name in typed)}
    return typed | {key for key in plain if not key.startswith("_") and key != STEP}
