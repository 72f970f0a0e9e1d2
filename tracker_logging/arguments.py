"""Strategic logging on a command line: one group of arguments for any training script.

add_logging_arguments(parser)
args = parser.parse_args()
callbacks = callbacks_from(args, processor=processor, evaluation=samples)
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker_logging.data.sample import VoiceSample
from tracker_logging.voices.arguments import add_voice_arguments, voice_samples, voice_settings

if TYPE_CHECKING:
    from transformers import TrainerCallback

LOGGERS = ("inputs", "outputs", "attention", "zero_shot")
DOCTOR_FAIL_ON = ("never", "error", "warning")
_SECRET = "alert_webhook"  # the address of a chat channel is a password to it: it is in no log
_SHORT = {"both": ["tensorboard", "wandb"], "none": []}


def add_logging_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to log, what, how often and at what cost; and the voices' own group."""
    add = parser.add_argument_group("logging").add_argument
    add("--report_to", default="tensorboard", help="tensorboard, wandb, jsonl, trackio (with commas), both or none")
    add("--logging_dir", type=Path, help="holds the runs; default: OUTPUT_DIR/runs")
    add("--run_name", default="run")
    add("--enable_strategic_logging", action="store_true")
    add("--strategic_logging_steps", type=int, default=100, metavar="N", help="log step 1 and every N steps")
    add("--strategic_loggers", default=",".join(LOGGERS), help="comma-separated; default: all")
    add("--voice_steps", type=int, help="default: five times --strategic_logging_steps")
    add("--logging_budget_pct", type=float, default=2.0, help="share of the time above which logging is thinned")
    add("--logging_queue_mb", type=float, default=256.0, help="what may wait to be written; media go first when full")
    add("--log_grad_conflict", action="store_true", help="compare gradients of text and audio loss (needs a text head)")
    add("--alert_webhook", metavar="URL", help="post each finding of the doctor there as JSON (http or https)")
    add("--doctor_fail_on", choices=DOCTOR_FAIL_ON, default=DOCTOR_FAIL_ON[0], help="stop when a finding opens")
    add("--log_paths", action="store_true", help="let absolute paths, host and user names into the logs")
    add_voice_arguments(parser)


def backends(args: argparse.Namespace) -> list[str]:
    """The backends of `--report_to`."""
    names: list[str] = _SHORT.get(args.report_to, args.report_to.split(","))
    return names


def check_logging_arguments(args: argparse.Namespace) -> None:
    """Refuse before anything is loaded what cannot work. Raises `ValueError` with the cure."""
    from tracker_logging.trackers.open import check_backends
    from tracker_logging.trackers.webhook import check_address

    check_backends(backends(args))
    if args.alert_webhook is not None:
        check_address(args.alert_webhook)
        if not backends(args):
            raise ValueError(
                "--alert_webhook needs a backend: findings are posted beside it. Choose one in --report_to."
            )
    if args.doctor_fail_on != DOCTOR_FAIL_ON[0] and not args.enable_strategic_logging:
        raise ValueError("--doctor_fail_on needs --enable_strategic_logging.")
    unknown = set(args.strategic_loggers.split(",")) - set(LOGGERS)
    if unknown:
        raise ValueError(f"--strategic_loggers {', '.join(sorted(unknown))}: unknown. Choose of {', '.join(LOGGERS)}.")
    for flag in ("voice_steps", "voice_prompts", "voice_transcriber", "alert_webhook"):
        if getattr(args, flag) is not None and not args.enable_strategic_logging:
            raise ValueError(f"--{flag} needs --enable_strategic_logging.")
    for flag in ("strategic_logging_steps", "voice_steps"):
        if (steps := getattr(args, flag)) is not None and steps < 1:
            raise ValueError(f"--{flag} {steps}: must be 1 or more.")
    for flag in ("logging_budget_pct", "logging_queue_mb"):
        if getattr(args, flag) <= 0:
            raise ValueError(f"--{flag} {getattr(args, flag):g}: must be above 0.")
    voice_settings(args)


def callbacks_from(
    args: argparse.Namespace,
    *,
    processor: Any,
    evaluation: Sequence[VoiceSample],
    facts: Mapping[str, object] | None = None,
) -> list[TrainerCallback]:
    """What `strategic_callbacks` makes of the arguments; only the Trainer's own numbers unless logging is enabled.

    `evaluation`: samples for the voices where `--voice_prompts` names no file. `facts`: more to show beside the run.
    Raises `ValueError`, `DataError`.
    """
    from tracker_logging.factory import strategic_callbacks

    return strategic_callbacks(
        processor=processor,
        report_to=backends(args),
        every=args.strategic_logging_steps,
        loggers=args.strategic_loggers.split(",") if args.enable_strategic_logging else (),
        voice_steps=args.voice_steps,
        voice_samples=voice_samples(args, evaluation),
        voice_settings=voice_settings(args),
        budget_pct=args.logging_budget_pct,
        queue_mb=args.logging_queue_mb,
        log_paths=args.log_paths,
        log_grad_conflict=args.log_grad_conflict,
        alert_webhook=args.alert_webhook,
        doctor_fail_on=args.doctor_fail_on,
        logging_dir=args.logging_dir,
        run_name=args.run_name,
        config={
            **{name: str(own) if isinstance(own, Path) else own for name, own in vars(args).items() if name != _SECRET},
            **(facts or {}),
        },
    )
