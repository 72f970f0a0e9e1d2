"""Puts callbacks and trackers together for a Hugging Face Trainer.

    trainer = Trainer(..., callbacks=strategic_callbacks(processor=processor, report_to=["tensorboard"], every=100))

Where things go: run `run_name` in `logging_dir` (default: the Trainer's `output_dir/runs`), or in the directory that
`TENSORBOARD_LOGGING_DIR` names, which the Trainer's own reporter uses too.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments

from tracker_logging.config import LOGGERS, LoggingConfig
from tracker_logging.dashboards.open_run import where_to_look
from tracker_logging.data.sample import VoiceSample
from tracker_logging.families import ModelAdapter
from tracker_logging.integrations.checkpoint_state import read_state
from tracker_logging.integrations.hf_trainer import (
    DoctorCallback,
    InputLoggerCallback,
    LoggingSession,
    OutputLoggerCallback,
    SharedAttentionLoggerCallback,
    StrategicCallback,
    ZeroShotVerificationLoggerCallback,
)
from tracker_logging.integrations.run_directory import claim_run_directory, resumed_run_directory
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.open import RunInfo, check_backends, open_tracker
from tracker_logging.trackers.state import resumed
from tracker_logging.trackers.webhook import check_address
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")

DEFAULT_RUN = "run"


def strategic_callbacks(
    *,
    processor: Any = None,
    voice_samples: Sequence[VoiceSample] = (),
    voice_settings: VoiceSettings | None = None,
    adapter: ModelAdapter | None = None,
    config: Mapping[str, object] | None = None,
    **options: Any,
) -> list[TrainerCallback]:
    """Callbacks for `Trainer(callbacks=…)` that share one capture and one tracker.

    `options` are those of `LoggingConfig`: `report_to`, `every`, `loggers`, `logging_dir`, `run_name`, …. With
    `loggers=()` only the Trainer's own numbers are written. `voice_samples`: the evaluation samples from which the
    voice prompts are chosen; without them no voice is generated. `voice_settings`: how voices are generated and
    scored. `config`: plain values to show beside the run. With `doctor_fail_on`, `failed_by(callbacks)` names the
    finding that stopped the training.
    Raises `TypeError` for an unknown option, `ValueError` for a wrong value and for a backend that is not installed.
    """
    settings = LoggingConfig.of(options)
    check_backends(settings.report_to)
    if settings.alert_webhook is not None:
        check_address(settings.alert_webhook)
    session = RunSession(run_config=config or {}, processor=processor, adapter=adapter, **options)
    makers: dict[str, Callable[[], StrategicCallback]] = {
        "inputs": lambda: InputLoggerCallback(session),
        "outputs": lambda: OutputLoggerCallback(session),
        "attention": lambda: SharedAttentionLoggerCallback(session, gradient_conflict=settings.log_grad_conflict),
        "zero_shot": lambda: ZeroShotVerificationLoggerCallback(
            session, samples=voice_samples, settings=voice_settings
        ),
    }
    callbacks = [makers[name]() for name in LOGGERS if name in settings.loggers]
    if not callbacks:
        return [StrategicCallback(session)]
    return [*callbacks, DoctorCallback(session, fail_on=settings.doctor_fail_on)]


def _signature() -> inspect.Signature:
    """The keyword arguments with the options written out, for `help()` and completion."""
    own = inspect.signature(strategic_callbacks)
    given = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
        for each in fields(LoggingConfig)
    ]
    return own.replace(parameters=[*given, *options])


strategic_callbacks.__signature__ = _signature()  # type: ignore[attr-defined]


class RunSession(LoggingSession):
    """A `LoggingSession` that opens the backends of its `LoggingConfig` in a new run directory for each training."""

    def __init__(self, *, run_config: Mapping[str, object], **arguments: Any) -> None:
        super().__init__(tracker=None, **arguments)
        self._run_config = dict(run_config)

    def open_tracker(self, args: TrainingArguments, state: TrainerState) -> Tracker:
        config = self.config
        shared = os.environ.get("TENSORBOARD_LOGGING_DIR") if config.logging_dir is None else None
        runs = config.logging_dir or Path(args.output_dir) / "runs"
        place = Path(shared) if shared else runs / (config.run_name or DEFAULT_RUN)
        saved = read_state(args, state) if state.global_step > 0 else None
        if not config.report_to:
            self.directory = place
        elif saved is not None:
            self.directory = resumed_run_directory(place.parent, place.name, saved_name=saved.run)
        else:
            self.directory = claim_run_directory(place.parent, place.name, is_shared=bool(shared))
        run = RunInfo(
            name=None if config.run_name is None else self.directory.name,
            project=config.project,
            config=self._run_config,
        )
        logger.info("%s", where_to_look(self.directory.parent, run_name=self.directory.name, backends=config.report_to))
        return open_tracker(
            config.report_to,
            directory=self.directory,
            run=run if saved is None else resumed(run, saved.trackers),
            queue_mb=config.queue_mb,
            log_paths=config.log_paths,
            alert_webhook=config.alert_webhook,
            strict=config.strict,
        )
