"""What the integrations of all loops share: which observers a config asks for, and the run that it writes.

config = LoggingConfig.of(options)
check_config(config)
run = open_run(config, runs=Path("runs"))
for observer in observers(config):
    session.add(observer)
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from tracker_logging.config import LOGGERS, LoggingConfig
from tracker_logging.dashboards.open_run import where_it_is, where_to_look
from tracker_logging.data.sample import VoiceSample
from tracker_logging.doctor.own_rules import own_rules
from tracker_logging.doctor.rules import RULES
from tracker_logging.families import ModelAdapter
from tracker_logging.families.processors import processor_parts
from tracker_logging.integrations.checkpoint_state import CheckpointState
from tracker_logging.integrations.run_directory import claim_run_directory, resumed_run_directory
from tracker_logging.observers.attention import AttentionObserver
from tracker_logging.observers.doctor import DoctorObserver
from tracker_logging.observers.inputs import InputObserver
from tracker_logging.observers.outputs import OutputObserver
from tracker_logging.observers.zero_shot import ZeroShotObserver
from tracker_logging.session.console import on_console
from tracker_logging.session.observer import Observer
from tracker_logging.session.session import Loop, Session
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.mirror import Mirror, MirroredTracker, open_place
from tracker_logging.trackers.open import RunInfo, check_backends, open_tracker
from tracker_logging.trackers.state import resumed
from tracker_logging.trackers.webhook import check_address
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")

Function = TypeVar("Function", bound=Callable[..., Any])

DEFAULT_RUN = "run"
_OBSERVERS: Mapping[str, Callable[..., Observer]] = {
    "inputs": InputObserver,
    "outputs": OutputObserver,
    "attention": AttentionObserver,
    "zero_shot": ZeroShotObserver,
    "doctor": DoctorObserver,
}


@dataclass(frozen=True)
class OpenRun:
    """`directory`: where the run is written. `tracker`: one that does nothing without a backend. `where`: what to tell
    at the end of training."""

    directory: Path
    tracker: Tracker
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LoggingSetup:
    """How to log the trainings of a loop that does not choose observers one by one. Arguments as in `watch`.

    Raises `ValueError` and `TypeError` for what cannot work.
    """

    config: LoggingConfig
    processor: Any = None
    voice_samples: Sequence[VoiceSample] = ()
    voice_settings: VoiceSettings | None = None
    adapter: ModelAdapter | None = None
    run_config: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        check_config(self.config)
        processor_parts(self.processor)

    def begin(
        self, model: nn.Module, *, loop: Loop, runs: Path, saved: CheckpointState | None = None
    ) -> tuple[Session, Path | None]:
        """A session for a training that begins, and on rank 0 the directory of its run. Every rank calls it.

        Raises what refuses the training.
        """
        run = None
        if loop.rank == 0:
            run = open_run(self.config, runs=runs, run_config=self.run_config, saved=saved)
        session = Session(
            model,
            tracker=None if run is None else run.tracker,
            config=self.config,
            loop=loop,
            processor=self.processor,
            adapter=self.adapter,
            where={} if run is None else run.where,
        )
        if saved is not None and loop.rank == 0:
            session.emitter.restore(saved.observers)
        for observer in observers(self.config, voice_samples=self.voice_samples, voice_settings=self.voice_settings):
            session.add(observer)
            if saved is not None and loop.rank == 0:
                session.restore(observer, saved.observers)
        return session, None if run is None else run.directory


def check_config(config: LoggingConfig) -> None:
    """Refuse what cannot work. Raises `ValueError` for a missing backend or package, and for no address."""
    check_backends(config.report_to)
    if config.alert_webhook is not None:
        check_address(config.alert_webhook)
    if config.mirror_to is not None:
        open_place(config.mirror_to)


def observer_arguments(
    config: LoggingConfig, *, voice_samples: Sequence[VoiceSample] = (), voice_settings: VoiceSettings | None = None
) -> dict[str, dict[str, Any]]:
    """The observers that `config.loggers` asks for, by name, with their arguments, in the order in which they work.

    The doctor comes last, since it judges the numbers of the others, and with any of them.

    >>> list(observer_arguments(LoggingConfig(loggers="outputs,inputs")))
    ['inputs', 'outputs', 'doctor']
    """
    arguments: dict[str, dict[str, Any]] = {
        "inputs": {},
        "outputs": {},
        "attention": {"gradient_conflict": config.log_grad_conflict},
        "zero_shot": {"samples": voice_samples, "settings": voice_settings},
    }
    chosen = {name: arguments[name] for name in LOGGERS if name in config.loggers}
    return (
        chosen | {"doctor": {"fail_on": config.doctor_fail_on, "rules": (*RULES, *own_rules(config.alert_if))}}
        if chosen
        else {}
    )


def observers(
    config: LoggingConfig, *, voice_samples: Sequence[VoiceSample] = (), voice_settings: VoiceSettings | None = None
) -> list[Observer]:
    """New observers, for a training that begins."""
    chosen = observer_arguments(config, voice_samples=voice_samples, voice_settings=voice_settings)
    return [_OBSERVERS[name](**arguments) for name, arguments in chosen.items()]


def open_run(
    config: LoggingConfig,
    *,
    runs: Path,
    shared: Path | None = None,
    run_config: Mapping[str, object] | None = None,
    saved: CheckpointState | None = None,
    written_by_loop: Collection[str] = (),
    written_in_shared: Collection[str] = (),
) -> OpenRun:
    """Open the backends of `config` in a directory of their own. For rank 0.

    The run is `config.run_name` in `config.logging_dir`, or in `runs` by default. `shared`: the very directory, to
    which another reporter writes too. `run_config`: plain values to show beside the run. `saved`: of the checkpoint
    from which the training resumes; it continues in the run that the checkpoint names, if that is there.
    `written_by_loop`: backends to whose run the loop writes its own numbers. `written_in_shared`: the same, of a run in
    the directory `shared`, which may be taken.
    Raises `ValueError` where the directory cannot be written.
    """
    place = shared or (config.logging_dir or runs) / (config.run_name or DEFAULT_RUN)
    directory, is_resumed = place, saved is not None
    if config.report_to:
        directory, is_resumed = _run_directory(place, is_shared=shared is not None, saved=saved)
    run = RunInfo(
        name=None if config.run_name is None else directory.name,
        project=config.project,
        config=dict(run_config or {}),
        detail=config.detail,
        tags=config.tags,
        group=config.group,
        notes=config.notes,
    )
    if where := where_to_look(directory.parent, run_name=directory.name, backends=config.report_to):
        on_console(where, if_quiet=False)
    tracker = open_tracker(
        config.report_to,
        directory=directory,
        run=resumed(run, saved.trackers) if saved is not None and is_resumed else run,
        queue_mb=config.queue_mb,
        log_paths=config.log_paths,
        alert_webhook=config.alert_webhook,
        strict=config.strict,
        written_by_loop={*written_by_loop, *(written_in_shared if directory == shared else ())},
    )
    if config.mirror_to is not None:
        tracker = MirroredTracker(tracker, Mirror(directory, f"{config.mirror_to.rstrip('/')}/{directory.name}"))
    return OpenRun(directory=directory, tracker=tracker, where=where_it_is(directory, backends=config.report_to))


def _run_directory(place: Path, *, is_shared: bool, saved: CheckpointState | None) -> tuple[Path, bool]:
    """The directory of the run, by default `place`, and whether it is the one that a checkpoint names."""
    runs = place.parent
    if saved is None:
        directory = claim_run_directory(runs, place.name, is_shared=is_shared)
        if directory.name != place.name:
            logger.warning(
                "%s holds an earlier training. This one is logged to %s. (To continue a training, resume from its "
                "checkpoint.)",
                place.name, directory.name,
            )  # fmt: skip
        return directory, False
    named = resumed_run_directory(
        runs, name=saved.run, key=saved.run_key, is_shared=is_shared, may_be_gone=not saved.is_elsewhere
    )
    if named is not None:
        return named, True
    directory = claim_run_directory(runs, saved.run or place.name, is_shared=is_shared)
    if saved.run is not None or directory.name != place.name:
        logger.warning(
            "The checkpoint %s, so the steps after %d are logged to %s, and backends elsewhere (W&B) begin a new run.",
            "does not name its run" if saved.run is None else f"is of a run ({saved.run}) that is not here",
            saved.step, directory.name,
        )  # fmt: skip
    return directory, False


def with_options(function: Function) -> Function:
    """Decorates a function whose `**options` are those of `LoggingConfig`: its signature names each of them.

    For `help()` and completion in editors.
    """
    signature = inspect.signature(function)
    given = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
        for each in fields(LoggingConfig)
    ]
    function.__signature__ = signature.replace(parameters=[*given, *options])  # type: ignore[attr-defined]
    return function
