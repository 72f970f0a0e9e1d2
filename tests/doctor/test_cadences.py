"""Numbers that are logged at different steps: a rule compares only those of the same time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from tracker_logging.doctor.doctor import Doctor

Curve = Callable[[int], float]


def found(steps: int, logged: Iterable[tuple[str, int, Curve]], *, first: bool = True) -> set[str]:
    """Findings of a run of `steps`; `logged`: (tag, every so many steps and, if `first`, at step 1, value by step)."""
    doctor, numbers = Doctor(), list(logged)
    for step in range(1, steps + 1):
        for tag, every, value in numbers:
            if step % every == 0 or (first and step == 1):
                doctor.add(step, {tag: value(step)})
        doctor.examine()
    assert doctor.take_errors() == []
    return {finding.name for finding in doctor.findings}


def falling(step: int) -> float:
    """Nats at a step of a training that learns fast, as the demo does."""
    return 0.1 + 5.0 * math.exp(-step / 30)


def test_a_loss_is_compared_with_the_nll_of_its_own_steps() -> None:
    """The demo: loss every 10 steps, outputs every 70. At step 120 the newest nll is 50 steps old."""
    losses = ("train/loss", 10, falling)
    assert falling(120) < falling(70) / 3 * 1.6, "they are apart enough to look like another scale"
    assert found(300, [losses, ("outputs/nll/mean", 70, falling)]) == set()
    assert found(300, [losses, ("outputs/nll/mean", 75, falling)], first=False) == set()


def test_a_loss_that_is_logged_rarely_is_compared_with_the_mean_of_its_window() -> None:
    def mean_of_window(step: int) -> float:
        return sum(map(falling, range(step - 99, step + 1))) / 100

    nlls = ("outputs/nll/mean", 10, falling)
    assert found(400, [("train/loss", 100, mean_of_window), nlls], first=False) == set()


def test_a_loss_of_another_scale_is_found_at_any_cadence() -> None:
    for loss_every, outputs_every in ((10, 70), (10, 75), (100, 10), (7, 11)):
        losses = ("train/loss", loss_every, lambda step: 100 * falling(step))
        nlls = ("outputs/nll/mean", outputs_every, falling)
        assert found(300, [losses, nlls]) == {"loss_out_of_scale"}, (loss_every, outputs_every)


def test_one_nll_is_no_evidence_however_often_the_loss_is_logged() -> None:
    losses = ("train/loss", 10, lambda step: 100.0)
    assert found(300, [losses, ("outputs/nll/mean", 1000, lambda step: 3.0)]) == set()


def test_a_training_loss_from_before_the_best_evaluation_has_not_fallen_since() -> None:
    """The loss is logged every 500 steps, evaluation every 50. Its newest values are all from before the best one."""
    losses = {500: 6.0, 1000: 3.0, 1500: 2.6, 2000: 3.3}
    evaluations = {step: 5.0 - step / 1000 for step in range(50, 2050, 50)} | {2050: 3.6, 2100: 3.7, 2150: 3.8}
    doctor = Doctor()
    for step in range(50, 2200, 50):
        doctor.add(step, {"eval/loss": evaluations[step]} | ({"train/loss": losses[step]} if step in losses else {}))
        doctor.examine()
    assert doctor.findings == ()


def test_values_of_a_bad_batch_are_no_evidence_about_a_later_one() -> None:
    """The batch is logged every 100 steps, the logits every 10: the finding is resolved without a new batch."""
    doctor = Doctor()
    doctor.add(100, {"inputs/non_finite": 7.0, "outputs/non_finite_logits": 2.0})
    doctor.examine()
    for step in (110, 120, 130):
        doctor.add(step, {"outputs/non_finite_logits": 0.0})
        doctor.examine()
    (finding,) = doctor.findings
    assert finding.name == "non_finite_values" and not finding.is_open


def test_an_interval_of_an_earlier_round_says_nothing_about_this_one() -> None:
    """Five speakers were scored in the first round only: later rounds have no interval of the text gap."""
    doctor = Doctor()
    doctor.add(1, {"outputs/nll/mean": 6.0, "conditioning/text_gap/low": 0.1, "conditioning/text_gap/high": 0.2})
    for step in range(100, 500, 100):
        round_of_step = {"text_win_rate": 0.5, "text_gap/mean": 0.0, "text_gap/n": 8.0}
        doctor.add(step, {f"conditioning/{name}": value for name, value in round_of_step.items()})
        doctor.add(step, {"outputs/nll/mean": 2.0})
        doctor.examine()
    (finding,) = doctor.findings
    assert finding.name == "text_ignored" and "interval" not in finding.seen
