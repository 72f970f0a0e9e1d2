"""Which directory a run is written to: a training never appends to another one's run.

- A fresh start takes the next free name: `run`, `run-2`, `run-3`, …. The directory is claimed by creating `run.json` in
  it, so two processes that start at once get two runs.
- A training that resumes from a checkpoint continues in the run that the checkpoint names: by the name of its
  directory, and by a key in `run.json`, since a training elsewhere has a run of the same name. Where that run is not
  there, it begins another one.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

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
            return directory
        number += 1


def resumed_run_directory(
    runs: Path, *, name: str | None, key: str | None, is_shared: bool = False, may_be_gone: bool = True
) -> Path | None:
    """The directory of the run that a checkpoint names; None where another run has its name, or `name` is None.

    `key`: as `run_key` gave it. `may_be_gone`: begin the directory again where there is none. `is_shared`: as above.
    """
    if name is None:
        return None
    directory = runs / name
    if (directory / MARKER).exists() or (not is_shared and _holds_a_run(directory)):
        return directory if run_key(directory) == key else None
    return directory if may_be_gone and _claim(directory, key=key) else None


def run_key(directory: Path) -> str | None:
    """What tells a run from others of its name; None for one of an earlier version."""
    try:
        marker = json.loads((directory / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    key = marker.get("key") if isinstance(marker, dict) else None
    return key if isinstance(key, str) else None


def _claim(directory: Path, *, key: str | None = None) -> bool:
    """Create the marker, by default with a new key; False if it exists."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / MARKER).open("x", encoding="utf-8") as file:
            json.dump({"format": 1, "name": directory.name, "key": key or uuid.uuid4().hex}, file)
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
