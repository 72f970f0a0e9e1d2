"""Which directory a run is written to: a training never appends to another one's run.

- A fresh start takes the next free name: `run`, `run-2`, `run-3`, …. The directory is claimed by creating `run.json` in
  it, so two processes that start at once get two runs.
- A training that resumes from a checkpoint continues in the run that the checkpoint names.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

logger = logging.getLogger("tracker_logging")

MARKER = "run.json"
_LEFT_BY_RUNS = ("*.tfevents.*", "events.jsonl", "record", "wandb", "voices", "findings.json")


def claim_run_directory(runs: Path, name: str, *, is_shared: bool = False) -> Path:
    """A directory for a new run below `runs`: `name`, or with the first number that is free.

    `is_shared`: another reporter may have written to the directory already (`TENSORBOARD_LOGGING_DIR`), so only our
    marker tells that it is taken. Raises `ValueError` where the directory cannot be made.
    """
    number = 1
    while True:
        directory = runs / (name if number == 1 else f"{name}-{number}")
        if (is_shared or not _holds_a_run(directory)) and _claim(directory):
            break
        number += 1
    if number > 1:
        logger.warning(
            "%s holds an earlier training. This one is logged to %s. (To continue a training, resume from its "
            "checkpoint.)",
            name, directory.name,
        )  # fmt: skip
    return directory


def resumed_run_directory(runs: Path, name: str, *, saved_name: str | None) -> Path:
    """The directory that a resumed training continues in. `saved_name`: from the checkpoint; None: logging was off."""
    directory = runs / (saved_name or name)
    _claim(directory)
    return directory


def _claim(directory: Path) -> bool:
    """Create the marker; False if it exists."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / MARKER).open("x", encoding="utf-8") as file:
            json.dump({"format": 1, "name": directory.name}, file)
    except FileExistsError:
        if directory.is_dir():
            return False
        raise ValueError(f"--logging_dir: {directory} is a file. Name a directory.") from None
    except OSError as error:
        raise ValueError(
            f"logging directory {directory} cannot be written ({error.strerror}). "
            "Name another one with --logging_dir, or make it writable."
        ) from error
    return True


def _holds_a_run(directory: Path) -> bool:
    """Whether a run without a marker, of an earlier version, lies there."""
    return directory.is_dir() and any(next(directory.glob(pattern), None) for pattern in _LEFT_BY_RUNS)
