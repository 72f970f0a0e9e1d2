"""Says what is wrong with a training, in words, while it runs.

Listens to every number that the other callbacks and the Trainer log, and lets the rules of `diagnosis` look at them.

- A finding that opens is an alert, a row of `doctor/findings` and one line on the console; likewise when it heals.
- With `fail_on` it stops training when a finding of that level or worse opens: the only part of this library that may.
  Rank 0 decides, and all ranks stop at the same step.

    trainer = Trainer(..., callbacks=[OutputLoggerCallback(session), DoctorCallback(session, fail_on="error")])
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast, get_args

import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from tracker_logging import tags
from tracker_logging.callbacks.base import StrategicCallback
from tracker_logging.callbacks.session import LoggingSession
from tracker_logging.doctor.doctor import Doctor
from tracker_logging.doctor.finding import Finding, Level, at_least, title
from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import RULES
from tracker_logging.events import Alert, Event, Findings, Scalars
from tracker_logging.events import Finding as FindingValue
from tracker_logging.families import BatchView
from tracker_logging.probes.reduce import sum_over_ranks

logger = logging.getLogger("tracker_logging")

FailOn: TypeAlias = Literal["never", "error", "warning"]
FAIL_ON: tuple[FailOn, ...] = get_args(FailOn)
_LOG_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class DoctorCallback(StrategicCallback):
    """It must come after the callbacks whose numbers it judges. `verdict` names the finding that stopped training."""

    name = "doctor"

    def __init__(self, session: LoggingSession, *, fail_on: FailOn = "never", rules: Sequence[Rule] = RULES) -> None:
        if fail_on not in FAIL_ON:
            raise ValueError(f"doctor_fail_on: {fail_on!r} unknown. Choose of {', '.join(FAIL_ON)}.")
        super().__init__(session)
        self.verdict: str | None = None
        self._doctor = Doctor(rules)
        self._rules = tuple(rules)
        self._fail_on = fail_on
        self._is_logged = False
        self._step = 0
        self._table_at = self._numbers_at = -1
        session.listeners.append(self._hear)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings so far (rank 0; elsewhere there are none)."""
        return self._doctor.findings

    def observe_batch(self, step: int, view: BatchView) -> Iterable[Event]:
        """A batch that the model may refuse is judged before the model sees it; every other one after the step."""
        if view.mismatched:
            self._step, self._is_logged = step, False
            self._examine()
        return ()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """The Trainer's numbers, whoever writes them."""
        from transformers.integrations import rewrite_logs

        if self.session.rank == 0:
            with self.session.fence.guard(self.name):
                numbers = {key: float(value) for key, value in (logs or {}).items() if isinstance(value, int | float)}
                self._doctor.hear(state.global_step, rewrite_logs(numbers))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if self._leads:
            super().on_step_end(args, state, control, model=model)
        self._step = step = state.global_step
        if control.should_training_stop:
            return  # the voices of the last step are still to be scored: `finish` looks at everything
        self._is_logged = self.session.last_logged == step
        if self._is_logged or self._doctor.has_news:
            self._examine()
        if self._is_logged and self._fail_on != "never":
            self._judge(model, control)

    def finish(self) -> None:
        """The voices have been scored: look once more, and leave the table of all findings."""
        self._examine(is_last=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        super().on_train_end(args, state, control, model=model, **kwargs)
        if self._fail_on != "never":
            self._judge(model, control)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Scalars):
            self._doctor.hear(event.step, event.values)

    def _examine(self, *, is_last: bool = False) -> None:
        """Let the rules look, and say what has changed. Rank 0 alone has heard something."""
        session, step = self.session, self._step
        if session.rank != 0:
            return
        with session.cost.part("doctor", strand="capture"), session.fence.guard(self.name):
            changed = self._doctor.examine()
            for rule, error in self._doctor.take_errors():
                session.fence.failed(f"doctor's rule {rule}", error)
            for finding in changed:
                _say(finding, step)
                if finding.is_open:
                    session.emit(Alert(step=step, level=finding.level, title=finding.title, text=finding.text))
            if changed or (is_last and self._table_at != step):
                self._table_at = step
                session.emit(findings_event(step, self.findings))
            if changed or ((is_last or self._is_logged) and self._numbers_at != step):
                self._numbers_at = step
                session.emit(Scalars(step=step, values=self._scalars()))

    def _scalars(self) -> dict[str, float]:
        values = {tags.OPEN_FINDINGS(level=level): float(count) for level, count in self._doctor.counts().items()}
        for finding in self.findings:  # of two with one name the later counts
            values[tags.FINDING(name=finding.name)] = float(finding.is_open)
        return values

    def _judge(self, model: Any, control: TrainerControl) -> None:
        """Stop all ranks where rank 0 has a finding that is bad enough. Every rank calls it at the same steps."""
        limit = cast(Level, self._fail_on)
        failing = next((finding for finding in self.findings if at_least(finding.level, limit)), None)
        names = [rule.name for rule in self._rules]
        number = 0 if failing is None else 1 + names.index(failing.name)
        if self.session.world_size > 1:
            mine = {"verdict": torch.tensor([float(number)])}
            number = int(sum_over_ranks(mine, device=next(model.parameters()).device)["verdict"][0])
        if number and self.verdict is None:
            self.verdict = names[number - 1]
            control.should_training_stop = True
            logger.error(
                "Doctor, step %d: training is stopped: %s (fail_on %s).", self._step, title(self.verdict), limit
            )


def findings_event(step: int, findings: Iterable[Finding]) -> Findings:
    """The complete report at `step`, in the order in which the findings opened."""
    values = (
        FindingValue(
            name=finding.name,
            level=finding.level,
            seen=finding.seen,
            cause=finding.cause,
            certainty=finding.certainty,
            fix=finding.cure,
            since=finding.since,
            until=finding.until,
        )
        for finding in findings
    )
    return Findings(step=step, findings=tuple(values))


def failed_by(callbacks: Iterable[object]) -> str | None:
    """The finding for which a doctor among `callbacks` stopped training or was told to fail it; None without one."""
    verdicts = (callback.verdict for callback in callbacks if isinstance(callback, DoctorCallback))
    return next((verdict for verdict in verdicts if verdict is not None), None)


def _say(finding: Finding, step: int) -> None:
    """One line on the console."""
    if finding.is_open:
        said = f"{finding.seen}. {finding.cure[0].upper()}{finding.cure[1:]}"
        logger.log(_LOG_LEVELS[finding.level], "Doctor, step %d, %s: %s: %s", step, finding.level, finding.title, said)
    else:
        logger.info("Doctor, step %d: %s has healed (open since step %s).", step, finding.title, finding.since)
