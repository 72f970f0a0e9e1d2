"""A resumed training goes on in the same runs, without holes or doubles.

With every checkpoint the trackers' state is saved as `tracker_logging.json` beside the Trainer's own files. When
training begins at a later step than 0, that file tells which W&B run to go on with; what the backends hold of later
steps is purged or not sent again. Voices that were spoken and not wholly scored then are in the file too: they are
scored again, and what the backends hold of exactly these rounds is purged or not sent again as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from tracker_logging.callbacks.base import StrategicCallback
from tracker_logging.trackers.open import RunInfo
from tracker_logging.trackers.state import resumed, state_of
from tracker_logging.trackers.whole_file import write_whole_text

FILE_NAME = "tracker_logging.json"


class ResumeCallback(StrategicCallback):
    """Saves the trackers' state into each checkpoint. It must come after the callbacks that emit.

    What was logged up to a checkpoint is written before the checkpoint is: a kill in between costs no step.
    """

    name = "resume"
    _is_begun = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        super().on_train_begin(args, state, control, model=model, **kwargs)
        if self.session.rank == 0 and not self._is_begun:
            waiting = _saved(args, state).get("waiting", {})
            for callback in self.session.callbacks:
                with self.session.fence.guard(callback.name):
                    callback.take_up(waiting.get(callback.name, {}))
        self._is_begun = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if self._leads:
            super().on_step_end(args, state, control, model=model)
        if control.should_save and not control.should_log:
            self.session.flush()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if control.should_save:
            self.session.flush()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # Taken before the flush: what is no longer waiting is flushed.
        waiting = {callback.name: work for callback in self.session.callbacks if (work := callback.waiting())}
        super().on_save(args, state, control, **kwargs)
        checkpoint = _checkpoint(args, state)
        if self.session.rank == 0 and checkpoint.is_dir():
            with self.session.fence.guard(self.name):
                saved = state_of(self.session.tracker, step=state.global_step) | {"waiting": waiting}
                write_whole_text(checkpoint / FILE_NAME, json.dumps(saved))


def continued(run: RunInfo, args: TrainingArguments, state: TrainerState) -> RunInfo:
    """`run` as it is to be opened: gone on with where training begins after a checkpoint.

    Without a saved state (a checkpoint made before logging was on) the step alone is known.
    """
    return run if state.global_step == 0 else resumed(run, _saved(args, state))


def _saved(args: TrainingArguments, state: TrainerState) -> dict[str, Any]:
    """What `on_save` wrote into the checkpoint from which training begins."""
    path = _checkpoint(args, state) / FILE_NAME
    none: dict[str, Any] = {"step": state.global_step, "run_ids": {}}
    return none | (json.loads(path.read_text()) if path.is_file() else {})


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
