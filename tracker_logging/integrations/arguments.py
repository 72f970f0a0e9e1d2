"""The options of logging on a command line, for any training script.

add_logging_arguments(parser)
args = parser.parse_args()
check_logging_arguments(args)
callbacks = callbacks_from(args, processor=processor, evaluation=samples)
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tracker_logging.config import LoggingConfig, flag_of
from tracker_logging.data.groups import TrainedSpeakers, group_facts, with_groups
from tracker_logging.data.sample import VoiceSample
from tracker_logging.integrations.hf_trainer import strategic_callbacks
from tracker_logging.trackers.open import check_backends
from tracker_logging.trackers.webhook import check_address
from tracker_logging.voices.arguments import add_voice_arguments, voice_samples, voice_settings

_SECRET = "alert_webhook"  # the address of a chat channel is a password to it: it is in no log
_NEEDS_LOGGING = ("voice_steps", "voice_prompts", "voice_transcriber", "alert_webhook")


def add_logging_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for each option of `LoggingConfig`, `--enable_strategic_logging`, and the group of the voices."""
    add = parser.add_argument_group("logging").add_argument
    add("--enable_strategic_logging", action="store_true", help="log more than the Trainer's own numbers")
    for each in fields(LoggingConfig):
        settings = dict(each.metadata["parser"])
        if settings.get("action") == "append":
            settings["default"] = []
        elif settings.get("action") != "store_true":
            settings["default"] = _as_text(each.default)
        add(flag_of(each.name), dest=_destination(each.name), help=each.metadata["help"], **settings)
    add_voice_arguments(parser)


def logging_config(args: argparse.Namespace) -> LoggingConfig:
    """The options of the command line. Raises `ValueError`, naming the flag and the fix."""
    config = LoggingConfig(**{each.name: getattr(args, _destination(each.name)) for each in fields(LoggingConfig)})
    return config if args.enable_strategic_logging else replace(config, loggers=())


def backends(args: argparse.Namespace) -> tuple[str, ...]:
    """The backends of `--report_to`."""
    return logging_config(args).report_to


def check_logging_arguments(args: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is loaded. Raises `ValueError`, naming the flag and the fix."""
    config = logging_config(args)
    check_backends(config.report_to)
    if config.alert_webhook is not None:
        check_address(config.alert_webhook)
    if not args.enable_strategic_logging:
        if config.doctor_fail_on != "never":
            raise ValueError("--doctor_fail_on needs --enable_strategic_logging.")
        for name in _NEEDS_LOGGING:
            if getattr(args, name) is not None:
                raise ValueError(f"--{name} needs --enable_strategic_logging.")
    voice_settings(args)


def callbacks_from(
    args: argparse.Namespace,
    *,
    processor: Any,
    evaluation: Sequence[VoiceSample],
    training: Sequence[VoiceSample] = (),
    facts: Mapping[str, object] | None = None,
) -> list[TrainerCallback]:
    """What `strategic_callbacks` makes of the arguments; only the Trainer's own numbers unless logging is enabled.

    `evaluation`: samples for the voices where `--voice_prompts` names no file. `training`: from which it is
    known whether a voice is trained or unseen (`data.groups`). `facts`: more to show beside the run.
    Raises `ValueError`, `DataError`.
    """
    config = logging_config(args)
    voices = voice_samples(args, evaluation)
    about_data = dict(facts or {})
    if "zero_shot" in config.loggers:
        trained = TrainedSpeakers.of(training)
        voices = with_groups(voices, trained)
        about_data |= group_facts(voices, trained)
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    return strategic_callbacks(
        processor=processor,
        voice_samples=voices,
        voice_settings=voice_settings(args),
        config={name: value for name, value in shown.items() if name != _SECRET} | about_data,
        **{each.name: getattr(config, each.name) for each in fields(LoggingConfig)},
    )


def _destination(name: str) -> str:
    return flag_of(name).removeprefix("--")


def _as_text(default: Any) -> Any:
    """A default as it would be typed: names with commas."""
    if default is MISSING:
        return None
    return ",".join(default) if isinstance(default, tuple) else default
