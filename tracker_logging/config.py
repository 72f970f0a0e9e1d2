"""Every option of logging once: its name, default, meaning and check.

The keyword arguments of `strategic_callbacks`, `LoggingSession` and `watch` and the flags of the command line are all
derived from `LoggingConfig`, so that they cannot disagree.

>>> LoggingConfig(report_to="both", every=50).report_to
('tensorboard', 'wandb')
>>> LoggingConfig(every=0)
Traceback (most recent call last):
    ...
ValueError: every (--strategic_logging_steps) is 0: it must be 1 or more.
"""

from __future__ import annotations

import difflib
import os
import re
from argparse import BooleanOptionalAction
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from tracker_logging.alert_condition import AlertCondition

LoggerName: TypeAlias = Literal["inputs", "outputs", "attention", "zero_shot"]
FailOn: TypeAlias = Literal["never", "error", "warning"]
Detail: TypeAlias = Literal["standard", "full"]
LOGGERS: tuple[LoggerName, ...] = get_args(LoggerName)
FAIL_ON: tuple[FailOn, ...] = get_args(FailOn)
DETAILS: tuple[Detail, ...] = get_args(Detail)
SHORTHANDS: Mapping[str, tuple[str, ...]] = {"both": ("tensorboard", "wandb"), "none": ()}


def option(default: Any, help: str, *, flag: str | None = None, **parser_settings: Any) -> Any:
    """A field of `LoggingConfig`. `flag` defaults to the field's name; `parser_settings` go to `add_argument`."""
    return field(default=default, metadata={"help": help, "flag": flag, "parser": parser_settings})


_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+:/")  # what a path makes of a URL


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """The options of one training's logging. Raises `ValueError`, naming option, flag and fix, for a wrong value.

    `report_to`, `loggers`: a sequence of names or one string with commas; `report_to` also takes "both" and "none".
    """

    report_to: tuple[str, ...] = option(
        ("tensorboard",), "tensorboard, wandb, jsonl, trackio, mlflow, swanlab (with commas), both or none",
        metavar="NAMES",
    )  # fmt: skip
    logging_dir: Path | None = option(None, "directory of the runs; default: OUTPUT_DIR/runs", type=Path)
    mirror_to: str | None = option(
        None, "copy the run to this place while it is written, such as s3://bucket/runs (any place of fsspec)",
        metavar="URL",
    )  # fmt: skip
    run_name: str | None = option(None, "name of the run (default: run); a name that is taken gets a number: run-2")
    every: int = option(100, "log step 1 and every N steps", flag="strategic_logging_steps", type=int, metavar="N")
    loggers: tuple[LoggerName, ...] = option(
        LOGGERS, f"with commas, of {', '.join(LOGGERS)}; default: all", flag="strategic_loggers", metavar="NAMES"
    )
    voice_steps: int | None = option(
        None, "generate the voices every N steps; default: five times --strategic_logging_steps", type=int, metavar="N"
    )
    voice_at_start: bool = option(
        True, "generate the voices of the model as it is before the first update, as step 0; not when resuming",
        action=BooleanOptionalAction,
    )  # fmt: skip
    voice_at_eval: bool = option(
        False, "generate and score the voices at each evaluation, and put the scores into its metrics; on where the "
        "best checkpoint is chosen by them",
        action="store_true",
    )  # fmt: skip
    detail: Detail = option(
        "standard", "TensorBoard: full makes a card of each scalar, by layer, codebook and component", choices=DETAILS
    )
    budget_pct: float = option(
        2.0, "share of the training time above which logging is thinned", flag="logging_budget_pct", type=float
    )
    queue_mb: float = option(
        256.0, "how much may wait to be written; media are dropped first when it is full", flag="logging_queue_mb",
        type=float,
    )  # fmt: skip
    log_grad_conflict: bool = option(
        False, "compare the gradients of text and audio loss (needs a text head)", action="store_true"
    )
    alert_webhook: str | None = option(
        None,
        "post each finding of the doctor, and the end, to this address: Slack, Discord, Lark, DingTalk, Telegram "
        "or JSON",
        metavar="URL",
    )
    alert_if: tuple[str, ...] = option(
        (), 'open a finding when a number is on the wrong side of a limit: "voices/spk_top1 < 0.5 for 2"; may be given '
        "several times", action="append", metavar="CONDITION",
    )  # fmt: skip
    doctor_fail_on: FailOn = option("never", "stop training when a finding of this level opens", choices=FAIL_ON)
    log_paths: bool = option(False, "allow absolute paths, host names and user names in the logs", action="store_true")
    project: str | None = option(None, "W&B project; default: WANDB_PROJECT, else voice-cloning", flag="wandb_project")
    tags: tuple[str, ...] = option(
        (), "tags of the W&B run, with commas; WANDB_TAGS wins", flag="wandb_tags", metavar="TAGS"
    )
    group: str | None = option(None, "group of the W&B run; WANDB_RUN_GROUP wins", flag="wandb_group")
    notes: str | None = option(None, "notes on the W&B run; WANDB_NOTES wins", flag="wandb_notes")
    strict: bool = option(
        False, "raise errors of logging instead of containing them, to debug adapters, scorers and backends",
        flag="strict_logging", action="store_true",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "report_to", names(self.report_to, shorthands=SHORTHANDS))
        object.__setattr__(self, "loggers", names(self.loggers))
        object.__setattr__(self, "tags", names(self.tags))
        conditions = (self.alert_if,) if isinstance(self.alert_if, str) else tuple(self.alert_if or ())
        object.__setattr__(self, "alert_if", conditions)
        for condition in conditions:
            AlertCondition.parse(condition)
        if self.logging_dir is not None:
            place = os.path.expanduser(self.logging_dir)  # noqa: PTH111  pathlib raises for an unknown user
            object.__setattr__(self, "logging_dir", Path(place))
            if _REMOTE.match(str(self.logging_dir)):
                raise ValueError(
                    f"{_label('logging_dir')} is {self.logging_dir}: a run is written to a local directory. "
                    f"Name one or leave it out, and copy the run with {flag_of('mirror_to')} URL."
                )
        if self.mirror_to is not None and (not self.report_to or "://" not in self.mirror_to):
            raise ValueError(
                f"{_label('mirror_to')} is {self.mirror_to!r}: it must be a URL such as s3://bucket/runs, and needs a "
                f"backend in {flag_of('report_to')}."
            )
        if unknown := sorted(set(self.loggers) - set(LOGGERS)):
            raise ValueError(f"{_label('loggers')}: {', '.join(unknown)} unknown. Choose of {', '.join(LOGGERS)}.")
        if self.doctor_fail_on not in FAIL_ON:
            raise ValueError(
                f"{_label('doctor_fail_on')}: {self.doctor_fail_on!r} unknown. Choose of {', '.join(FAIL_ON)}."
            )
        if self.detail not in DETAILS:
            raise ValueError(f"{_label('detail')}: {self.detail!r} unknown. Choose of {', '.join(DETAILS)}.")
        for name in ("every", "voice_steps"):
            if (steps := getattr(self, name)) is not None and steps < 1:
                raise ValueError(f"{_label(name)} is {steps}: it must be 1 or more.")
        for name in ("budget_pct", "queue_mb"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{_label(name)} is {getattr(self, name):g}: it must be above 0.")
        run = self.run_name
        if run is not None and (not run or Path(run).is_absolute() or ".." in Path(run).parts):
            raise ValueError(
                f"{_label('run_name')} is {self.run_name!r}: it must name a directory inside the logging directory."
            )
        if self.alert_webhook is not None and not self.report_to:
            raise ValueError(
                f"{_label('alert_webhook')} needs a backend: findings are posted beside it. Choose one in --report_to."
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> LoggingConfig:
        """From keyword arguments. Raises `TypeError` for an unknown one, with the nearest known name."""
        known = [each.name for each in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {near[0]}?" if near else f" Options are {', '.join(known)}."
                raise TypeError(f"{name} is not an option of logging.{hint}")
        return cls(**options)


def names(
    value: str | Iterable[str] | None, *, shorthands: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[Any, ...]:
    """Names as a tuple without repetitions, from a sequence or from one string with commas."""
    texts = [value] if isinstance(value, str) else list(value or ())
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    resolved = [name for part in parts for name in (shorthands or {}).get(part, (part,))]
    return tuple(dict.fromkeys(resolved))


def flag_of(name: str) -> str:
    """The command-line flag of an option: `--strategic_logging_steps` for `every`."""
    (match,) = (each for each in fields(LoggingConfig) if each.name == name)
    return f"--{match.metadata['flag'] or name}"


def _label(name: str) -> str:
    """How messages name an option, for those who wrote a keyword argument and for those who wrote a flag."""
    flag = flag_of(name)
    return flag if flag == f"--{name}" else f"{name} ({flag})"
