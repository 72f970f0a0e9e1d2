"""The one place that puts callbacks and trackers together.

    trainer = Trainer(..., callbacks=strategic_callbacks(processor=processor, report_to=["tensorboard"], every=100))

Where things go: run `run_name` in `logging_dir` (default: the Trainer's `output_dir/runs`), or in the directory that
`TENSORBOARD_LOGGING_DIR` names, which the Trainer's own reporter uses too. The Trainer's numbers (loss, learning rate,
evaluation) are written by us, unless the Trainer itself reports to one of the same backends.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments

from tracker_logging.arguments import LOGGERS
from tracker_logging.callbacks.attention import SharedAttentionLoggerCallback
from tracker_logging.callbacks.doctor import DoctorCallback, FailOn
from tracker_logging.callbacks.inputs import InputLoggerCallback
from tracker_logging.callbacks.outputs import OutputLoggerCallback
from tracker_logging.callbacks.session import LoggingSession
from tracker_logging.callbacks.trainer_logs import TrainerLogsCallback
from tracker_logging.callbacks.zero_shot import ZeroShotVerificationLoggerCallback
from tracker_logging.dashboards.open_run import where_to_look
from tracker_logging.data.sample import VoiceSample
from tracker_logging.families import ModelAdapter
from tracker_logging.resume import ResumeCallback, continued
from tracker_logging.trackers.background import QUEUE_MB
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.open import RunInfo, check_backends, open_tracker
from tracker_logging.trackers.webhook import check_address
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")


def strategic_callbacks(
    *,
    processor: Any = None,
    report_to: Sequence[str] = ("tensorboard",),
    every: int = 100,
    loggers: Sequence[str] = LOGGERS,
    voice_steps: int | None = None,
    voice_samples: Sequence[VoiceSample] = (),
    voice_settings: VoiceSettings | None = None,
    budget_pct: float = 2.0,
    queue_mb: float = QUEUE_MB,
    log_paths: bool = False,
    log_grad_conflict: bool = False,
    alert_webhook: str | None = None,
    doctor_fail_on: FailOn = "never",
    adapter: ModelAdapter | None = None,
    logging_dir: Path | str | None = None,
    run_name: str = "run",
    project: str = "voice-cloning",
    config: Mapping[str, object] | None = None,
) -> list[TrainerCallback]:
    """Callbacks for `Trainer(callbacks=…)` that share one capture and one tracker.

    `report_to`: any of `tensorboard`, `wandb`, `jsonl`, `trackio`. `loggers`: any of `inputs`, `outputs`, `attention`,
    `zero_shot`; with none of them only the Trainer's own numbers are written. `voice_samples`: the evaluation samples
    from which the fixed voice prompts are chosen; without them no voice speaks. `voice_settings`: how they speak and
    what measures them. `budget_pct`: the share of wall time above which looking is thinned, the costliest part first.
    `log_grad_conflict`: also compare the gradients of text and audio loss, for a model that trains text.
    `alert_webhook`: an http(s) address to which findings are posted as JSON. `doctor_fail_on`: "error" or
    "warning" stops training when a finding of that level opens; `failed_by(callbacks)` then names it.
    `queue_mb`: what may wait to be written. `log_paths`: let absolute paths, host and user names into the logs.
    Raises `ValueError` for an unknown name and for a backend that is not installed, with the cure.
    """
    unknown = [name for name in loggers if name not in LOGGERS]
    if unknown:
        raise ValueError(f"loggers: {', '.join(unknown)} unknown. Choose of {', '.join(LOGGERS)}.")
    check_backends(report_to)
    if alert_webhook is not None:
        check_address(alert_webhook)

    def open_run(args: TrainingArguments, state: TrainerState) -> Tracker:
        run = continued(RunInfo(name=run_name, project=project, config=dict(config or {})), args, state)
        directory = _run_directory(args, logging_dir, run_name)
        look = where_to_look(directory.parent, run_name=directory.name, backends=report_to)
        logger.info("%s", look)
        return open_tracker(
            report_to,
            directory=directory,
            run=run,
            queue_mb=queue_mb,
            log_paths=log_paths,
            alert_webhook=alert_webhook,
        )

    session = LoggingSession(
        tracker=open_run,
        processor=processor,
        every=every,
        voice_steps=voice_steps,
        budget_pct=budget_pct,
        adapter=adapter,
    )
    makers: dict[str, Callable[[LoggingSession], TrainerCallback]] = {
        "inputs": InputLoggerCallback,
        "outputs": OutputLoggerCallback,
        "attention": lambda session: SharedAttentionLoggerCallback(session, gradient_conflict=log_grad_conflict),
        "zero_shot": lambda session: ZeroShotVerificationLoggerCallback(
            session, samples=voice_samples, settings=voice_settings
        ),
    }
    callbacks: list[TrainerCallback] = [makers[name](session) for name in LOGGERS if name in loggers]
    if callbacks:
        callbacks.append(DoctorCallback(session, fail_on=doctor_fail_on))
    return [*callbacks, TrainerLogsCallback(session, backends=frozenset(report_to)), ResumeCallback(session)]


def _run_directory(args: TrainingArguments, logging_dir: Path | str | None, run_name: str) -> Path:
    shared = os.environ.get("TENSORBOARD_LOGGING_DIR")
    if shared and logging_dir is None:
        return Path(shared)
    return Path(logging_dir or Path(args.output_dir) / "runs") / run_name
