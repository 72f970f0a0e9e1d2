"""What a checkpoint holds so that a resumed training continues in the same runs.

- `run`: the directory name of the run, and `run_key`: what tells it from others of this name (`run_directory`).
- `run_ids`: ids of runs that live elsewhere (W&B).
- `step`: what the backends hold of later steps is purged or not sent again.
- `waiting`: by observer, its own state, such as voice rounds that were generated and not yet scored; these are
  scored again, and what the backends hold of exactly these rounds is purged or not sent again. Beside the observers,
  what the last word and the summary tell of the steps so far.

The content is plain JSON. The Trainer's integration keeps it in `tracker_logging.json` in each checkpoint; other loops
keep it in their own checkpoints.

>>> sorted(CheckpointState.of({"step": 500}).trackers.items())
[('run_ids', {}), ('step', 500)]
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker_logging.data.content_digest import content_of
from tracker_logging.events import Checkpoint
from tracker_logging.integrations.run_directory import run_key
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.state import state_of
from tracker_logging.whole_file import write_whole_text

logger = logging.getLogger("tracker_logging")

FILE_NAME = "tracker_logging.json"
NOT_THE_MODEL = (
    "optimizer*", "*optim_states*", "scheduler*", "scaler*", "rng_state*", "trainer_state.json", "training_args.bin"
)  # fmt: skip
"""Files that only continue a training. Other ranks may still be writing some of them."""


@dataclass(frozen=True)
class CheckpointState:
    """`trackers` as `trackers.state.resumed` takes it; `observers` by name, and of the emitter; `run`: a directory
    name, or None.

    `directory`: where the checkpoint lies, if that is known. `is_elsewhere`: it is another one than the output
    directory of the training.
    """

    trackers: Mapping[str, Any]
    observers: Mapping[str, Any] = field(default_factory=dict)
    run: str | None = None
    run_key: str | None = None
    directory: Path | None = None
    is_elsewhere: bool = False

    @classmethod
    def of(cls, content: Any) -> CheckpointState:
        """From the content of a checkpoint; only `step` is required. Raises `ValueError` for anything else."""
        if not isinstance(content, Mapping) or not isinstance(content.get("step"), int):
            raise ValueError("step is missing")
        content = {"run_ids": {}} | dict(content)
        waiting = content.get("waiting", {})
        if not isinstance(content["run_ids"], dict):
            raise ValueError("run_ids is not a dictionary")
        if not isinstance(waiting, dict) or not all(isinstance(each, dict) for each in waiting.values()):
            raise ValueError("waiting holds something else than states of observers")
        return cls(trackers=content, observers=waiting, run=content.get("run"), run_key=content.get("run_key"))

    @property
    def step(self) -> int:
        """Optimizer steps that were done at the checkpoint."""
        return int(self.trackers["step"])


def checkpoint_content(
    *, step: int, run: Path | None, tracker: Tracker, observers: Mapping[str, Any]
) -> dict[str, Any]:
    """The content for the checkpoint of `step`, on rank 0. Flush the tracker first.

    `run`: the directory of the run, of which name and key are kept. `observers`: their states by name.
    """
    content = state_of(tracker, step=step) | {"waiting": dict(observers)}
    return content if run is None else content | {"run": run.name, "run_key": run_key(run)}


def write_state(checkpoint: Path, content: Mapping[str, Any]) -> None:
    """Write the file into the directory of a checkpoint, if there is one."""
    if checkpoint.is_dir():
        write_whole_text(checkpoint / FILE_NAME, json.dumps(content))


def saved_checkpoint(directory: Path, *, step: int) -> Checkpoint:
    """The event of a checkpoint of the Trainer. Reads at most 4 MiB of each file. Raises `OSError`."""
    content = content_of(directory, skip=(*NOT_THE_MODEL, FILE_NAME))
    return Checkpoint(
        step=step, name=directory.name, digest=content.digest, files=content.files, size_bytes=content.size_bytes
    )


def read_state(checkpoint: Path, *, step: int) -> CheckpointState:
    """The state of the checkpoint from which a training resumes at `step`.

    A missing file (logging was off) or one that cannot be read leaves the step.
    """
    path = checkpoint / FILE_NAME
    if path.is_file():
        try:
            return CheckpointState.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            logger.warning(
                "%s/%s cannot be read (%s: %s). Voices that were not yet scored at the checkpoint have no scores.",
                checkpoint.name, FILE_NAME, type(error).__name__, error,
            )  # fmt: skip
    return CheckpointState.of({"step": step})
