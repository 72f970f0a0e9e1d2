"""Lightning: one callback, which translates the Trainer's events into the verbs of a session.

    from lightning.pytorch import Trainer
    from tracker_logging.integrations.lightning import LightningCallback

    trainer = Trainer(..., callbacks=[LightningCallback(processor=processor, report_to=["tensorboard"], every=100)])

Guarantees
- Every `fit` is a session of its own; one that continues an earlier `fit` or a checkpoint continues its run.
- Steps are the Trainer's `global_step`: optimizer steps, whatever `accumulate_grad_batches` is. Where several
  optimizers step in a batch, what is due between two batches is measured in the later one.
- Validation and test sets are observed, each under its own name; the sanity check is not.
- What the module logs with `self.log` is written to the same run: numbers of steps every `log_every_n_steps` steps,
  numbers of an epoch at its last step.
- `fast_dev_run` runs everything and writes nothing, as it does with Lightning's own loggers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from tracker_logging.config import LoggingConfig
from tracker_logging.data.sample import VoiceSample
from tracker_logging.families import ModelAdapter, UnknownModelError
from tracker_logging.families.detect import is_known, outermost
from tracker_logging.integrations.checkpoint_state import CheckpointState, checkpoint_content
from tracker_logging.integrations.factory import LoggingSetup, with_options
from tracker_logging.integrations.logged_numbers import loop_scalars
from tracker_logging.integrations.loop import is_compiled, unwrapped
from tracker_logging.session.session import Loop, Session
from tracker_logging.voices.settings import VoiceSettings

try:
    from lightning.pytorch import Callback
except ImportError:
    from pytorch_lightning import Callback  # the same classes under their earlier name

logger = logging.getLogger("tracker_logging")


class LightningCallback(Callback):  # type: ignore[misc]  # untyped where lightning is not installed
    """For `Trainer(callbacks=[…])`. `model`: the module to observe; by default it is found in the LightningModule.

    The other arguments are those of `watch`; the run is written below `runs` in the Trainer's `default_root_dir`
    unless `logging_dir` names another place.
    Raises `TypeError` for an unknown option, `ValueError` for a wrong value and a missing backend.
    """

    @with_options
    def __init__(
        self,
        *,
        model: nn.Module | None = None,
        processor: Any = None,
        voice_samples: Sequence[VoiceSample] = (),
        voice_settings: VoiceSettings | None = None,
        adapter: ModelAdapter | None = None,
        config: Mapping[str, object] | None = None,
        **options: Any,
    ) -> None:
        self.directory: Path | None = None
        """Of the run, on rank 0, once it is open."""
        self._model = model
        self._setup = LoggingSetup(
            config=LoggingConfig.of(options),
            processor=processor,
            voice_samples=voice_samples,
            voice_settings=voice_settings,
            adapter=adapter,
            run_config=config,
        )
        self._session: Session | None = None
        self._saved: CheckpointState | None = None
        self._step = 0  # optimizer steps that are done
        self._measured = 0  # of these the session has heard: more where fewer optimizers stepped than expected
        self._steps_of_batch = 1  # at most
        self._numbers: dict[str, Any] = {}  # as Lightning held them at the last call
        self._numbers_step = -1
        self._written: set[str] = set()  # names of numbers of that step
        self._dataloader = 0
        self._reported_unseen = False

    @property
    def errors(self) -> int:
        """Errors of logging in the training that runs, or in the last one."""
        return 0 if self._session is None else self._session.guard.errors

    # --- the training ------------------------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._observed(pl_module)  # a model of no known family is refused before the sanity check

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        session = self._session
        # One that began with an evaluation goes on, unless a checkpoint has moved the training to another step.
        goes_on = session is not None and not session.is_training and session.loop.step == trainer.global_step
        if session is None or not goes_on or session.model is not self._observed(pl_module):
            session = self._begin(trainer, pl_module)
        session.is_training = True
        self._step = self._measured = trainer.global_step
        self._steps_of_batch = 1 if pl_module.automatic_optimization else max(1, len(trainer.optimizers))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if self._session is not None:  # Lightning has the numbers of an epoch only after `on_train_epoch_end`
            self._log_numbers(self._session, trainer, epoch_ended=True)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        session = self._session
        if session is None:
            return
        session.pace.step_begins()
        step = trainer.global_step + self._steps_of_batch
        if step >= session.idle_until:
            session.cadence.steps_at_once = step - self._measured
            session.step_begins(step)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        session = self._session
        if session is not None and session.is_attached:
            session.before_optimizer(optimizer, scaler=getattr(trainer.precision_plugin, "scaler", None))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        session, step = self._session, trainer.global_step
        if session is None:
            return
        if step > self._step:  # else the batch was accumulated
            is_first, steps = session.loop.step == self._step, step - self._step
            measured = max(step, self._step + self._steps_of_batch if session.is_observing else self._measured)
            self._steps_of_batch = max(self._steps_of_batch, steps)
            session.cadence.steps_at_once = measured - self._measured
            self._step, self._measured = step, measured
            if session.is_observing:
                session.after_optimizer(None)
            if is_first or step % trainer.log_every_n_steps < steps:
                self._log_numbers(session, trainer)
            if measured >= session.idle_until:
                session.step_ends(measured)
            if session.stop_reason is not None:
                trainer.should_stop = True
        session.pace.step_ended()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        session = self._session
        if session is None:
            return
        self._log_numbers(session, trainer, epoch_ended=True)
        session.step_ends(max(trainer.global_step, self._measured), last=True)
        session.ends()
        self._saved = CheckpointState.of(self.state_dict())  # another `fit` may continue this one

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    # --- evaluation --------------------------------------------------------------------------------------------------

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._evaluation_begins(trainer, pl_module)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not trainer.sanity_checking:
            self._next_dataloader(trainer, dataloader_idx, of=trainer.num_val_batches, name="eval")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._evaluation_ends(trainer, of=trainer.num_val_batches, name="eval")

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._evaluation_begins(trainer, pl_module)

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._next_dataloader(trainer, dataloader_idx, of=trainer.num_test_batches, name="test")

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        self._evaluation_ends(trainer, of=trainer.num_test_batches, name="test")

    def _evaluation_begins(self, trainer: Any, pl_module: Any) -> None:
        session = self._session or self._begin(trainer, pl_module)
        self._dataloader = 0
        session.evaluation_begins()

    def _next_dataloader(self, trainer: Any, dataloader: int, *, of: Sequence[Any], name: str) -> None:
        """The batches of one dataloader follow those of another."""
        if dataloader != self._dataloader and self._session is not None:
            self._dataset_ends(self._session, trainer, of=of, name=name)
            self._dataloader = dataloader
            self._session.evaluation_begins()

    def _evaluation_ends(self, trainer: Any, *, of: Sequence[Any], name: str) -> None:
        if self._session is not None:
            self._dataset_ends(self._session, trainer, of=of, name=name)
            self._log_numbers(self._session, trainer)
            self._session.pace.step_ended()

    def _dataset_ends(self, session: Session, trainer: Any, *, of: Sequence[Any], name: str) -> None:
        dataset = name if len(of) < 2 else f"{name}_{self._dataloader}"
        if not session.evaluation_ends(trainer.global_step, name=dataset) and not self._reported_unseen:
            self._reported_unseen = True
            logger.warning(
                "No labels were seen in the forwards of the %s set, so its predictions are not shown. Pass the labels "
                "to the model in the validation step too.",
                dataset,
            )

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Lightning saves it in every checkpoint. Plain JSON."""
        session = self._session
        if session is None:
            return {} if self._saved is None else dict(self._saved.trackers)
        states = session.state(self._step)
        session.flush()
        with session.guard.contain("checkpoint"):
            return checkpoint_content(step=self._step, run=self.directory, tracker=session.tracker, observers=states)
        return {"step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning calls it before the training resumes."""
        try:
            self._saved = CheckpointState.of(state_dict)
        except ValueError as error:
            logger.warning("The state of logging in the checkpoint cannot be used (%s).", error)

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _begin(self, trainer: Any, pl_module: Any) -> Session:
        if self._session is not None:
            self._session.close()
        saved, step = None, trainer.global_step
        if step > 0:
            saved = self._saved or CheckpointState.of({"step": step})
        setup = self._setup
        if trainer.fast_dev_run:
            logger.info("fast_dev_run: everything is measured and nothing is written.")
            setup = replace(setup, config=replace(setup.config, report_to=(), alert_webhook=None))
        loop = Loop(
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            step=step,
            planned_steps=trainer.max_steps if trainer.max_steps > 0 else None,
            compiled=is_compiled(trainer.model),
        )
        self._session, self.directory = setup.begin(
            self._observed(pl_module), loop=loop, runs=Path(trainer.default_root_dir) / "runs", saved=saved
        )
        self._step, self._numbers, self._numbers_step = step, {}, -1
        return self._session

    def _observed(self, pl_module: nn.Module) -> nn.Module:
        if self._model is not None:
            return unwrapped(self._model)
        if not self._setup.config.loggers or self._setup.adapter is not None:
            return pl_module
        return unwrapped(find_model(pl_module))

    def _log_numbers(self, session: Session, trainer: Any, *, epoch_ended: bool = False) -> None:
        """What the module has logged since the last call, once per step.

        `epoch_ended`: of what is logged with `on_step` and `on_epoch`, the name alone is now the mean of the epoch. It
        is left to `NAME_epoch`.
        """
        with session.guard.contain("loop"):
            step, current = trainer.global_step, dict(trainer.callback_metrics)
            if step != self._numbers_step:
                self._numbers_step, self._written = step, set()
            # Lightning keeps the numbers of earlier steps: the same objects as before.
            new = {
                name: value
                for name, value in current.items()
                if name not in self._written
                and value is not self._numbers.get(name)
                and not (epoch_ended and f"{name}_epoch" in current)
            }
            self._numbers = current
            self._written |= new.keys()
            if new:
                session.log(step, loop_scalars(new))


def find_model(pl_module: nn.Module) -> nn.Module:
    """The outermost module of a known family in a LightningModule; of several the only one that is trained.

    Raises `UnknownModelError` without one, `ValueError` for several.
    """
    known = outermost(pl_module, is_known)
    trained = {
        name: module for name, module in known.items() if any(each.requires_grad for each in module.parameters())
    }
    candidates = trained or known
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    if candidates:
        raise ValueError(
            f"{type(pl_module).__name__} holds several models that can be observed: {', '.join(candidates)}. Choose "
            "one: LightningCallback(model=module.NAME)."
        )
    raise UnknownModelError(
        f"{type(pl_module).__name__} holds no model of a family that tracker_logging knows. docs/adapters.md says how "
        "to write an adapter; pass it with the model: LightningCallback(model=…, adapter=…)."
    )
