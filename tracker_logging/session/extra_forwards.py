"""The forwards that observers need beside those of training: the conditioning gap and the voices.

    extra = ExtraForwards(training, emitter=emitter, cost=cost)
    extra.run(0, conditioning_due=True, voices_due=True, part="voices_at_start")

Guarantees
- All ranks call `run` at the same steps, on the training thread; each observer runs inside `isolated(model)`.
- What an observer promises for the step is entered in the ledger before it runs. What it raises is contained.
"""

from __future__ import annotations

from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.reduce import from_rank_0
from tracker_logging.session.cost import CostMeter
from tracker_logging.session.emitter import Emitter
from tracker_logging.session.observer import StepContext, Training

AT_EVALUATION = "voices_at_eval"  # thinning would not save it


class ExtraForwards:
    """Serves one training. Voices and gap are measured at most once after each step."""

    def __init__(self, training: Training, *, emitter: Emitter, cost: CostMeter) -> None:
        self._voice_steps: set[int] = set()
        self._gap_steps: set[int] = set()
        self._numbers: tuple[int, dict[str, float]] | None = None
        self._training = training
        self._emitter = emitter
        self._cost = cost

    def run(self, step: int, *, conditioning_due: bool, voices_due: bool, part: str | None = None) -> bool:
        """Measure what is due after `step` steps, unless it was; True if voices were generated.

        Where the voices are due, the conditioning gap is measured too. `part`: the name of the cost.
        """
        voices_due = voices_due and step not in self._voice_steps
        conditioning_due = (conditioning_due or voices_due) and step not in self._gap_steps
        if not (conditioning_due or voices_due):
            return False
        if conditioning_due:
            self._gap_steps.add(step)
        if voices_due:
            self._voice_steps.add(step)
        training, guard = self._training, self._training.guard
        context = StepContext(step=step, model=training.model, conditioning_due=conditioning_due, voices_due=voices_due)
        component = "evaluation" if part == AT_EVALUATION else "voices" if voices_due else "zero_shot"
        for observer in self._emitter.observers:
            with guard.contain(observer.name):
                self._emitter.ledger.promise(step, observer.promises(context))
            forwards = f"{observer.name} forwards"  # apart from `observe`, which fails on rank 0 only
            if guard.is_on(forwards):
                with (
                    self._cost.part(part or component, component=component),
                    guard.contain(forwards),
                    isolated(training.model),
                ):
                    for event in observer.after_step(context):
                        self._emitter.emit(event)
        return voices_due

    def evaluation_numbers(self, step: int, *, voices_due: bool) -> dict[str, float]:
        """What an evaluation after `step` steps adds to the metrics of the loop: the same on every rank.

        The conditioning gap is measured, and with `voices_due` the voices are generated and scored, unless they were.
        Training waits for them, at most `--voice_timeout_s`.
        """
        if self._numbers is not None and self._numbers[0] == step:
            return self._numbers[1]
        self.run(step, conditioning_due=True, voices_due=voices_due, part=AT_EVALUATION)
        self._numbers = step, self._collect(step, voices_due=voices_due)
        return self._numbers[1]

    def measured_numbers(self, step: int) -> dict[str, float]:
        """The same without a forward: what was measured at `step`, which may be nothing."""
        return self._collect(step, voices_due=step in self._voice_steps) if step in self._gap_steps else {}

    def _collect(self, step: int, *, voices_due: bool) -> dict[str, float]:
        training, guard = self._training, self._training.guard
        context = StepContext(step=step, model=training.model, conditioning_due=True, voices_due=voices_due)
        values: dict[str, float] = {}
        for observer in self._emitter.observers:
            with self._cost.part("waiting_for_scores", component="evaluation"), guard.contain(observer.name):
                values |= observer.evaluation_numbers(context)
        return from_rank_0(values, device=next(training.model.parameters()).device)
