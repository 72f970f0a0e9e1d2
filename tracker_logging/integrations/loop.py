"""Any training loop: hand-written, or with accelerate.

    with watch(model, optimizer, processor=processor, report_to=["tensorboard"], every=100) as session:
        for batch in loader:
            with session.step():                       # one optimizer step, with all its micro-batches
                loss = model(**batch).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            session.log({"loss": loss})
        with session.evaluation():                     # forwards in evaluation mode, with labels
            evaluate(model)

Guarantees
- A wrong setting is refused by `watch` or before the first step. After that nothing of ours stops the loop, and an
  exception of the loop passes through and closes the run.
- Between logged steps nothing is attached to the model or the optimizer.
- Under `torch.distributed` there is one run, written by rank 0, with numbers of all ranks.
- `state_dict` and `load_state_dict` continue a run without holes and doubles; accelerate's `register_for_checkpointing`
  takes the session as it is.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import distributed, nn

from tracker_logging.config import LoggingConfig
from tracker_logging.data.sample import VoiceSample
from tracker_logging.families import ModelAdapter, adapter_for
from tracker_logging.families.processors import processor_parts
from tracker_logging.integrations.checkpoint_state import CheckpointState, checkpoint_content
from tracker_logging.integrations.factory import LoggingSetup, with_options
from tracker_logging.integrations.logged_numbers import as_number, loop_scalars
from tracker_logging.session.session import Loop, Session
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")

DEFAULT_RUNS = Path("runs")


@with_options
def watch(
    model: nn.Module,
    optimizer: Any,
    *,
    processor: Any = None,
    voice_samples: Sequence[VoiceSample] = (),
    voice_settings: VoiceSettings | None = None,
    adapter: ModelAdapter | None = None,
    config: Mapping[str, object] | None = None,
    **options: Any,
) -> LoopSession:
    """Watch a training of `model` by `optimizer`; use the result as a context manager around the whole loop.

    `model` and `optimizer` may be wrapped by DDP, FSDP2, `torch.compile` or `accelerator.prepare`. The other arguments
    are those of `strategic_callbacks`; the run is written below `runs` in the working directory unless `logging_dir`
    names another place. Call it on every rank.
    Raises `TypeError` for an unknown option and for what is no optimizer, `ValueError` for a wrong value, a missing
    backend and a model of no known family.
    """
    core = unwrapped(model)
    settings = LoggingConfig.of(options)
    setup = LoggingSetup(
        config=settings,
        processor=processor,
        voice_samples=voice_samples,
        voice_settings=voice_settings,
        adapter=adapter_for(core, given=adapter, parts=processor_parts(processor)) if settings.loggers else adapter,
        run_config=config,
    )
    return LoopSession(core, optimizer, setup, compiled=is_compiled(model))


class LoopSession:
    """What `watch` returns. The run is opened at the first step, evaluation or log, for the training thread only."""

    def __init__(self, model: nn.Module, optimizer: Any, setup: LoggingSetup, *, compiled: bool) -> None:
        self.directory: Path | None = None
        """Of the run, on rank 0, once it is open."""
        self.global_step = 0
        """How many optimizer steps are done."""
        self._model = model
        self._optimizer = optimizer
        self._torch_optimizer = torch_optimizer(optimizer)
        self._setup = setup
        self._compiled = compiled
        self._session: Session | None = None
        self._saved: CheckpointState | None = None
        self._handles: list[Any] = []
        self._step_is_running = self._is_closed = False
        self._reported: set[str] = set()

    def __enter__(self) -> LoopSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif self._session is not None:  # other ranks may not be here: nothing that needs them may run
            self._unhook()
            self._is_closed = True
            self._session.close()

    def close(self) -> None:
        """After the last step, on every rank: generate the last voices, finish background work, close the run."""
        session, is_closed, self._is_closed = self._session, self._is_closed, True
        if session is None or is_closed:
            return
        if session.is_training:
            session.step_ends(self.global_step, last=True)
        session.ends()
        session.close()

    @contextmanager
    def step(self, *, updates: bool | None = None) -> Iterator[int]:
        """Around one optimizer step with all its micro-batches; gives the number of the step.

        A loop whose micro-batches are turns of the same `for` puts it around each of them, and passes as `updates`
        whether the optimizer steps in this turn. By default it does; with accelerate the accelerator decides.
        """
        session = self._open()
        number = self.global_step + 1
        if session is None:
            yield number
            self.global_step = number
            return
        session.is_training = self._step_is_running = True
        session.pace.step_begins()
        if number >= session.idle_until:
            session.step_begins(number)
        if session.is_attached and not self._handles:
            self._hook(session)
        try:
            yield number
        except BaseException:
            self._unhook()
            session.step_fails()
            raise
        finally:
            self._step_is_running = False
        if self._accumulates() if updates is None else not updates:
            session.pace.step_ended()
            return
        self._unhook()
        self.global_step = number
        if number >= session.idle_until:
            session.step_ends(number)
        session.pace.step_ended()

    @contextmanager
    def evaluation(self, name: str = "eval") -> Iterator[None]:
        """Around the forwards of one evaluation set, which `name` tells from other sets. On every rank.

        Forwards in evaluation mode (`model.eval()`) whose batch holds labels are seen.
        """
        session = self._open()
        if session is None:
            yield
            return
        session.evaluation_begins()
        try:
            yield
        except BaseException:
            session.evaluation_is_over()
            raise
        if not session.evaluation_ends(self.global_step, name=name):
            self._report(
                "evaluation",
                "No forward in evaluation mode with labels was seen in `evaluation()`, so its predictions are not "
                "shown. Call model.eval(), and pass the labels to the model.",
            )
        session.pace.step_ended()

    def log(self, values: Mapping[str, Any]) -> None:
        """Numbers of the loop, such as its loss: floats or tensors of one element. Rank 0's are written.

        A name with a slash is the tag. Another one gets the Trainer's: `loss` is `train/loss`, `eval_loss` is
        `eval/loss`. Within `step()` they belong to the step that runs, else to the last one.
        """
        session = self._open()
        if session is None:
            return
        with session.guard.contain("loop"):
            session.log(self.global_step + self._step_is_running, loop_scalars(values))
            for name, value in values.items():
                if as_number(value) is None:
                    self._report(name, f"log(): {name!r} is no number ({type(value).__name__}) and is not logged.")

    @property
    def stop_reason(self) -> str | None:
        """With `doctor_fail_on`: the finding for which the loop should stop, the same on all ranks; else None."""
        return None if self._session is None else self._session.stop_reason

    @property
    def errors(self) -> int:
        """Errors of logging so far."""
        return 0 if self._session is None else self._session.guard.errors

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint that the loop saves after a step: plain JSON. Rank 0's holds everything."""
        session = self._session
        if session is None:
            return {"step": 0} if self._saved is None else dict(self._saved.trackers)
        states = session.state(self.global_step)  # before the flush: what is finished by then is flushed
        session.flush()
        with session.guard.contain("checkpoint"):
            return checkpoint_content(
                step=self.global_step, run=self.directory, tracker=session.tracker, observers=states
            )
        return {"step": self.global_step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Before the first step, on every rank: continue the run of a checkpoint.

        `{"step": 500}` alone names no run: the steps after 500 are logged to `run`, or the next free name.

        Raises `ValueError` for anything else than a state, `RuntimeError` where the run has begun.
        """
        if self._session is not None:
            raise RuntimeError("load_state_dict() comes too late: call it before the first step, evaluation and log.")
        try:
            saved = CheckpointState.of(state)
        except ValueError as error:
            raise ValueError(f"load_state_dict(): {error}. Pass what state_dict() returned.") from error
        self.global_step = saved.step
        self._saved = saved if saved.step or saved.run else None

    def _open(self) -> Session | None:
        """The session, which is made by the first call; None after `close`. Raises what refuses the training."""
        if self._is_closed:
            self._report("closed", "The run is closed: what the loop does after `with watch(...)` is not logged.")
            return None
        if self._session is not None:
            return self._session
        grouped = distributed.is_available() and distributed.is_initialized()
        rank, world_size = (distributed.get_rank(), distributed.get_world_size()) if grouped else (0, 1)
        loop = Loop(rank=rank, world_size=world_size, step=self.global_step, compiled=self._compiled)
        self._session, self.directory = self._setup.begin(self._model, loop=loop, runs=DEFAULT_RUNS, saved=self._saved)
        return self._session

    def _accumulates(self) -> bool:
        """Whether accelerate holds the optimizer back at this micro-batch."""
        state = getattr(self._optimizer, "gradient_state", None)
        return state is not None and not state.sync_gradients

    def _hook(self, session: Session) -> None:
        """Find the moments before and after the update of the step that is observed."""

        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            # With a closure the forward comes after this moment.
            if session.is_attached and not any(callable(each) for each in (*args, *kwargs.values())):
                session.before_optimizer(self._optimizer, scaler=calling_scaler())

        def after(*_: Any) -> None:
            session.after_optimizer(self._optimizer)

        with session.guard.contain("optimizer"):
            self._handles = [
                self._torch_optimizer.register_step_pre_hook(before),  # type: ignore[no-untyped-call]
                self._torch_optimizer.register_step_post_hook(after),
            ]

    def _unhook(self) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _report(self, cause: str, message: str) -> None:
        """Log a message once per cause."""
        if cause not in self._reported:
            self._reported.add(cause)
            logger.warning("%s", message)


def calling_scaler() -> torch.amp.GradScaler | None:
    """The gradient scaler that calls `optimizer.step()` now. The optimizer does not know it, but the stack does."""
    frame = sys._getframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, torch.amp.GradScaler):
            return owner if owner.is_enabled() else None
        frame = frame.f_back  # type: ignore[assignment]
    return None


def torch_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer itself, out of accelerate's wrapper. Raises `TypeError` for anything else."""
    inner = optimizer
    while not isinstance(inner, torch.optim.Optimizer) or hasattr(inner, "gradient_state"):
        inner = getattr(inner, "optimizer", None)
        if inner is None:
            raise TypeError(
                f"optimizer is {type(optimizer).__name__}; pass the torch.optim.Optimizer whose step() ends a training "
                "step, or what accelerator.prepare() made of it."
            )
    return inner


def unwrapped(model: nn.Module) -> nn.Module:
    """The module of which DDP, `torch.compile` or accelerate made `model`; parameters and hooks are the same.

    Raises `ValueError` for `nn.DataParallel`, whose replicas run on threads.
    """
    from accelerate.utils import extract_model_from_parallel

    if isinstance(model, nn.DataParallel):
        raise ValueError(
            "model is wrapped in nn.DataParallel, whose replicas cannot be observed. Use DistributedDataParallel "
            "(torchrun), or train on one device."
        )
    inner: nn.Module = extract_model_from_parallel(model, keep_torch_compile=False)
    return inner


def is_compiled(model: nn.Module) -> bool:
    """Whether forwards run through `torch.compile`, also inside DDP."""
    inner: Any = model
    while isinstance(inner, nn.Module):
        if hasattr(inner, "_orig_mod") or getattr(inner, "_compiled_call_impl", None) is not None:
            return True
        inner = getattr(inner, "module", None)
    return False
