"""What the callbacks of one Trainer share: how to log, and the session of the training that runs.

Each training of the Trainer, and each evaluation before one, is a `Session` of its own; the callback that is called
first makes it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from transformers import TrainerState, TrainingArguments

from tracker_logging.config import LoggingConfig
from tracker_logging.families import ModelAdapter
from tracker_logging.integrations.checkpoint_state import CheckpointState, read_state
from tracker_logging.integrations.factory import open_run
from tracker_logging.session.gate import EvaluationGate
from tracker_logging.session.observer import Observer
from tracker_logging.session.session import Loop, Session
from tracker_logging.trackers.base import Tracker

logger = logging.getLogger("tracker_logging")

OpenTracker = Callable[[TrainingArguments, TrainerState], Tracker]


class Member(Protocol):
    """A callback that takes part."""

    def make_observer(self) -> Observer | None:
        """A new observer, for a training that begins."""


class LoggingSession:
    """What the callbacks of one Trainer share: how to log, and the `Session` of the training that runs.

    `tracker`: a tracker, or a function that opens one for each training (rank 0 only). `processor` gives `.tokenizer`
    and `.codec`; without it nothing is decoded. Further keyword arguments are those of `LoggingConfig`.
    Raises `ValueError` for a wrong option.
    """

    def __init__(
        self,
        *,
        tracker: Tracker | OpenTracker | None,
        processor: Any = None,
        adapter: ModelAdapter | None = None,
        **options: Any,
    ) -> None:
        self.config = LoggingConfig.of(options)
        self.processor = processor
        self.adapter = adapter
        self.directory: Path | None = None  # of the run, on rank 0, where `open_tracker` chooses one
        self.where: Mapping[str, str] = {}  # and what to tell about it when a training ends
        self.saved: CheckpointState | None = None  # of the checkpoint from which the training resumes (rank 0)
        self.current: Session | None = None
        self.last_member: Member | None = None
        self._tracker = tracker
        self._trainer_state: TrainerState | None = None
        self._members: dict[int, Observer | None] = {}
        self._done: dict[str, object] = {}
        self._logged: object = None  # the newest entry of the Trainer's log, and how many there were
        self._log_number = 0
        self._gate: EvaluationGate | None = None

    @property
    def tracker(self) -> Tracker:
        """The tracker of the training that runs, or of the last one. Raises `RuntimeError` before the first."""
        return self._session().tracker

    @property
    def errors(self) -> int:
        """Errors of logging in the training that runs, or in the last one."""
        return self._session().guard.errors

    def flush(self) -> None:
        """Make what was emitted readable, within a deadline."""
        self._session().flush()

    def open_tracker(self, args: TrainingArguments, state: TrainerState) -> Tracker | None:
        """The tracker of a training that begins (rank 0). Raises `ValueError`, which refuses the training."""
        return (
            self._tracker if self._tracker is None or isinstance(self._tracker, Tracker) else self._tracker(args, state)
        )

    def join(self, callback: Member, args: TrainingArguments, state: TrainerState, model: Any) -> Session:
        """The session of the training or evaluation that `state` describes, with the observer of `callback`.

        The callback that calls first makes it. Raises what refuses the training.
        """
        session = self.current
        if session is None or not self._is_of(session, state, model):
            session = self._begin(args, state, model)
        if id(callback) not in self._members:
            observer = callback.make_observer()
            self._members[id(callback)] = observer
            self.last_member = callback
            if observer is not None:
                session.add(observer)
                if self.saved is not None:
                    session.restore(observer, self.saved.observers)
        return session

    def observer_of(self, callback: Member) -> Observer | None:
        """The observer of `callback` in the training that runs, or in the last one."""
        return self._members.get(id(callback))

    def is_first(self, event: str, key: object) -> bool:
        """Whether this is the first call for an event, of which every callback is told."""
        if self._done.get(event) == key:
            return False
        self._done[event] = key
        return True

    def log_number(self, state: TrainerState, logs: Mapping[str, Any] | None = None) -> int:
        """How many entries the Trainer's log had so far, whatever a callback has removed from it.

        `logs`: in the event of an entry, what is logged. It stands for an entry that another callback has removed.
        """
        entry = state.log_history[-1] if state.log_history else logs
        if entry is not None and entry is not self._logged:
            self._logged = entry
            self._log_number += 1
        return self._log_number

    def await_evaluation(self, args: TrainingArguments, model: Any) -> None:
        """Observe the next evaluation outside training, for which the Trainer has no event before its first batch."""
        if self._gate is None and isinstance(model, nn.Module):
            self._gate = EvaluationGate(
                model, adapter=self.adapter, processor=self.processor, compiled=bool(args.torch_compile)
            )

    def take_evaluation(self) -> EvaluationGate | None:
        """The gate of `await_evaluation`, which is closed by this."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.close()
        return gate

    def _begin(self, args: TrainingArguments, state: TrainerState, model: Any) -> Session:
        is_after_evaluation = self.current is not None and not self.current.is_training
        evaluated = self.directory if is_after_evaluation and state.global_step > 0 else None
        if self.current is not None:
            # A tracker that the user made serves the next training too.
            self.current.ends() if isinstance(self._tracker, Tracker) else self.current.close()
        self.current, self._trainer_state = None, state
        self._members.clear()
        self._done.clear()
        self.saved = saved_state(args, state) if state.global_step > 0 and args.process_index == 0 else None
        tracker = self.open_tracker(args, state) if args.process_index == 0 else None
        if evaluated is not None and self.directory is not None and evaluated != self.directory:
            logger.warning(
                "Training resumes at step %d. The evaluation before it is in %s, and the training in %s.",
                state.global_step, evaluated.name, self.directory.name,
            )  # fmt: skip
        self.current = Session(
            model,
            tracker=tracker,
            config=self.config,
            loop=Loop(
                rank=args.process_index,
                world_size=args.world_size,
                step=state.global_step,
                planned_steps=state.max_steps if state.max_steps > 0 else None,
                compiled=bool(args.torch_compile),
                counts_labels_of_all_ranks=args.average_tokens_across_devices,
                replicas=max(1, args.n_gpu),
            ),
            processor=self.processor,
            adapter=self.adapter,
            where=self.where,
        )
        if self.saved is not None:
            self.current.emitter.restore(self.saved.observers, checkpoints=self.saved.directory)
        return self.current

    def _is_of(self, session: Session, state: TrainerState, model: Any) -> bool:
        """The Trainer makes a new state for each training. One that follows an evaluation continues its session,
        unless it resumes from a checkpoint."""
        is_next = not session.is_training and session.model is model and session.loop.step == state.global_step
        if is_next and state is not self._trainer_state:
            self._trainer_state = state
        return state is self._trainer_state

    def _session(self) -> Session:
        if self.current is None:
            raise RuntimeError("No training has begun with these callbacks.")
        return self.current


class RunSession(LoggingSession):
    """A `LoggingSession` that opens the backends of its `LoggingConfig` in a new run directory for each training.

    The run is written below the Trainer's `output_dir/runs`, or to the directory that `TENSORBOARD_LOGGING_DIR` names,
    which the Trainer's own reporter uses too.
    """

    def __init__(self, *, run_config: Mapping[str, object] | None = None, **arguments: Any) -> None:
        super().__init__(tracker=None, **arguments)
        self._run_config = dict(run_config or {})

    def open_tracker(self, args: TrainingArguments, state: TrainerState) -> Tracker:
        shared = os.environ.get("TENSORBOARD_LOGGING_DIR") if self.config.logging_dir is None else None
        reports_to = set(args.report_to)
        run = open_run(
            self.config,
            runs=Path(args.output_dir) / "runs",
            shared=Path(os.path.expanduser(shared)) if shared else None,  # noqa: PTH111 - as the Trainer does
            run_config=self._run_config,
            saved=self.saved,
            written_by_loop={"wandb"} & reports_to,  # the Trainer's W&B run is joined
            # The Trainer's event file of a trial is in a directory of its own.
            written_in_shared=set() if state.is_hyper_param_search else {"tensorboard"} & reports_to,
        )
        self.directory, self.where = run.directory, run.where
        return run.tracker


def checkpoint_directory(args: TrainingArguments, state: TrainerState) -> Path:
    """Where the Trainer saves the checkpoint of the current step."""
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def saved_state(args: TrainingArguments, state: TrainerState) -> CheckpointState:
    """The state of the checkpoint from which a training resumes at `state.global_step`."""
    checkpoint = resumed_checkpoint() or checkpoint_directory(args, state)
    saved = read_state(checkpoint, step=state.global_step)
    is_elsewhere = checkpoint.resolve().parent != Path(args.output_dir).resolve()
    return replace(saved, directory=checkpoint.parent, is_elsewhere=is_elsewhere)


def resumed_checkpoint() -> Path | None:
    """The checkpoint that a Trainer resumes from which calls now. No event tells it, but the stack does."""
    from transformers import Trainer  # it imports backends

    frame = sys._getframe()
    while frame is not None:
        names = frame.f_locals
        if "resume_from_checkpoint" in names and isinstance(names.get("self"), Trainer):
            checkpoint = names["resume_from_checkpoint"]
            return Path(checkpoint) if isinstance(checkpoint, str | os.PathLike) else None
        frame = frame.f_back  # type: ignore[assignment]
    return None
