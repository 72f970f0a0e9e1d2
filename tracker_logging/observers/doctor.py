"""Reports what is wrong with a training, in words, while it runs.

Reads every number that the other observers and the loop emit, and applies the rules of `doctor` to them.

- A finding that opens or is resolved becomes an alert, a row of `doctor/findings` and one line on the console. A
  resumed training logs the table of its checkpoint's findings again.
- With `fail_on` it stops the training when a finding of that level or worse opens: nothing else in this library may.
  Rank 0 decides; all ranks stop at the same step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch

from tracker_logging import tags
from tracker_logging.config import FAIL_ON, FailOn
from tracker_logging.doctor.doctor import Doctor
from tracker_logging.doctor.finding import Finding, Level, at_least, title
from tracker_logging.doctor.history import PLANNED_STEPS
from tracker_logging.doctor.own_rules import PREFIX
from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import RULES
from tracker_logging.events import Alert, Event, Findings, Scalars
from tracker_logging.families import BatchView
from tracker_logging.probes.reduce import sum_over_ranks
from tracker_logging.session.observer import Observer, Training

logger = logging.getLogger("tracker_logging")

_LOG_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class DoctorObserver(Observer):
    """It must come after the observers whose numbers it judges. `stop_reason` names the finding that stops training."""

    name = "doctor"

    def __init__(self, *, fail_on: FailOn = "never", rules: Sequence[Rule] = RULES) -> None:
        if fail_on not in FAIL_ON:
            raise ValueError(f"doctor_fail_on: {fail_on!r} unknown. Choose of {', '.join(FAIL_ON)}.")
        self._doctor = Doctor(rules)
        self._rules = tuple(rules)
        self._fail_on = fail_on
        self._step = 0
        self._was_logged = False
        self._restored: set[tuple[str, int | None]] = set()  # a resumed training is not stopped for an old finding
        self._table_step = self._numbers_step = -1
        self._is_unreported = False  # findings of the checkpoint, whose file a resumed run may have had to remove

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings so far (rank 0; empty on other ranks)."""
        return self._doctor.findings

    def begin(self, training: Training) -> None:
        super().begin(training)
        self._note_plan()

    def observe_batch(self, step: int, view: BatchView) -> Iterable[Event]:
        """A batch that the model may refuse is judged before the forward; every other one after the step."""
        if view.mismatched:
            self._step, self._was_logged = step, False
            self._examine()
        return ()

    def hear(self, event: Event) -> None:
        if isinstance(event, Scalars):
            self._doctor.add(event.step, event.values)
            if self._doctor.has_new_values:
                self.training.wake()

    def step_ended(self, step: int, *, logged: bool, last: bool) -> None:
        self._step = step
        if last:
            return  # the voices of the last step are still being scored: `finish` examines everything
        self._was_logged = logged
        if logged or self._doctor.has_new_values:
            self._examine()
        if logged:
            self._decide()

    def state(self) -> Mapping[str, Any]:
        return self._doctor.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        if state:
            self._doctor.restore(state)
            self._note_plan()
            self._is_unreported = bool(self.findings)
            self._restored = {(finding.name, finding.since) for finding in self.findings}

    def finish(self) -> None:
        """The voices have been scored: examine once more, and emit the table of all findings."""
        self._examine(is_last=True)
        self._decide()
        if self.training.rank == 0:
            self._warn_of_conditions_without_values()

    def _warn_of_conditions_without_values(self) -> None:
        for rule in self._doctor.never_judged():
            if rule.name.startswith(PREFIX):
                logger.warning(
                    'alert_if: "%s" was never judged: no value of %s came. `tracker-logging show RUN --json` lists the '
                    "tags of a run.",
                    rule.opens_when,
                    rule.triggers[0],
                )

    def _note_plan(self) -> None:
        if self.training.planned_steps is not None:
            self._doctor.add(0, {PLANNED_STEPS: float(self.training.planned_steps)})

    def _examine(self, *, is_last: bool = False) -> None:
        """Apply the rules and report what changed. Only rank 0 has numbers."""
        training, step = self.training, self._step
        if training.rank != 0:
            return
        changed = self._doctor.examine()
        for rule, error in self._doctor.take_errors():
            training.guard.failed(f"doctor's rule {rule}", error)
        for finding in changed:
            _log(finding, step)
            if finding.is_open:
                training.emit(Alert(step=step, level=finding.level, title=finding.title, text=finding.text))
        if changed or self._is_unreported or (is_last and self._table_step != step):
            self._table_step, self._is_unreported = step, False
            training.emit(Findings(step=step, findings=self.findings))
        if changed or ((is_last or self._was_logged) and self._numbers_step != step):
            self._numbers_step = step
            training.emit(Scalars(step=step, values=self._scalars()))

    def _scalars(self) -> dict[str, float]:
        values = {tags.OPEN_FINDINGS(level=level): float(count) for level, count in self._doctor.counts().items()}
        for finding in self.findings:  # of two with one name the later counts
            values[tags.FINDING(name=finding.name)] = float(finding.is_open)
        return values

    def _decide(self) -> None:
        """Stop all ranks where rank 0 has a finding that is bad enough. Every rank calls it at the same steps."""
        if self._fail_on == "never":
            return
        limit = cast(Level, self._fail_on)
        new = [finding for finding in self.findings if (finding.name, finding.since) not in self._restored]
        failing = next((finding for finding in new if at_least(finding.level, limit)), None)
        names = [rule.name for rule in self._rules]
        number = 0 if failing is None else 1 + names.index(failing.name)
        if self.training.world_size > 1:
            decision = {"decision": torch.tensor([float(number)])}
            device = next(self.training.model.parameters()).device
            number = int(sum_over_ranks(decision, device=device)["decision"][0])
        if number and self.stop_reason is None:
            self.stop_reason = names[number - 1]
            logger.error(
                "Doctor, step %d: training is stopped: %s (doctor_fail_on %s).",
                self._step, title(self.stop_reason), limit,
            )  # fmt: skip


def _log(finding: Finding, step: int) -> None:
    """One line on the console."""
    if finding.is_open:
        text = f"{finding.seen}. {finding.fix[0].upper()}{finding.fix[1:]}"
        logger.log(_LOG_LEVELS[finding.level], "Doctor, step %d, %s: %s: %s", step, finding.level, finding.title, text)
    else:
        logger.info("Doctor, step %d: %s is resolved (open since step %s).", step, finding.title, finding.since)
