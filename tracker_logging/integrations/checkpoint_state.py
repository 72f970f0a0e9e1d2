"""`tracker_logging.json` in each checkpoint: what a resumed training needs in order to continue in the same runs.

- `run`: the directory name of the run. `run_ids`: ids of runs that live elsewhere (W&B).
- `step`: what the backends hold of later steps is purged or not sent again.
- `waiting`: by observer, its own state, such as voice rounds that were generated and not yet scored; these are
  scored again, and what the backends hold of exactly these rounds is purged or not sent again.

A missing file (logging was off) or one that cannot be read leaves the step, which the Trainer knows.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerState, TrainingArguments

from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.state import state_of
from tracker_logging.trackers.whole_file import write_whole_text

logger = logging.getLogger("tracker_logging")

FILE_NAME = "tracker_logging.json"


@dataclass(frozen=True)
class CheckpointState:
    """`trackers` as `trackers.state.resumed` takes it; `observers` by name; `run`: a directory name, or None."""

    trackers: Mapping[str, Any]
    observers: Mapping[str, Any] = field(default_factory=dict)
    run: str | None = None


def write_state(
    args: TrainingArguments, state: TrainerState, *, run: Path | None, tracker: Tracker, observers: Mapping[str, Any]
) -> None:
    """Write the file into the checkpoint of the current step, if the Trainer made one. Flush the tracker first.

    `run`: the directory of the run, of which the name is kept.
    """
    checkpoint = _checkpoint(args, state)
    if not checkpoint.is_dir():
        return
    saved = state_of(tracker, step=state.global_step) | {"waiting": dict(observers)}
    if run is not None:
        saved["run"] = run.name
    write_whole_text(checkpoint / FILE_NAME, json.dumps(saved))


def read_state(args: TrainingArguments, state: TrainerState) -> CheckpointState:
    """The state of the checkpoint from which a training resumes at `state.global_step`."""
    path = _checkpoint(args, state) / FILE_NAME
    saved: dict[str, Any] = {"step": state.global_step, "run_ids": {}}
    if path.is_file():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not (isinstance(content["step"], int) and isinstance(content["run_ids"], dict)):
                raise ValueError("step or run_ids is missing")
            if not all(isinstance(each, dict) for each in content.get("waiting", {}).values()):
                raise ValueError("waiting holds something else than states of observers")
            saved = content
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            logger.warning(
                "%s/%s cannot be read (%s: %s). Logging continues in the same directory as of step %d; voices that "
                "were not yet scored at the checkpoint have no scores, and W&B begins a new run.",
                path.parent.name, FILE_NAME, type(error).__name__, error, state.global_step,
            )  # fmt: skip
    return CheckpointState(trackers=saved, observers=saved.get("waiting", {}), run=saved.get("run"))


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
