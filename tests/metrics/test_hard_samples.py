"""Hard samples are told from the losses of a training, and easy ones are not."""

from __future__ import annotations

import random

from tracker_logging.metrics import hard_samples
from tracker_logging.metrics.hard_samples import HIGHEST, NOT_FALLING, SUSPECT, HardSample, LossHistory


def trained(extra: dict[str, list[float]], *, epochs: int = 5, samples: int = 40) -> list[HardSample]:
    """A training whose losses fall from 6 to 2 nats, with noise; `extra`: losses of more samples, epoch by epoch."""
    losses, noise, step = LossHistory(), random.Random(0), 0
    for epoch in range(epochs):
        for number in range(samples):
            step += 1
            losses.add(step=step, text=f"easy {number}", nll=6.0 - epoch + noise.gauss(0.0, 0.1))
        for text, values in extra.items():
            step += 1
            losses.add(step=step, text=text, nll=values[epoch])
    return losses.hardest()


def test_a_healthy_training_has_no_suspect() -> None:
    hardest = trained({})
    assert {hard.why for hard in hardest} == {HIGHEST}
    assert len(hardest) == hard_samples.SHOWN


def test_a_sample_far_above_the_others_each_time_is_a_suspect_and_stands_first() -> None:
    first = trained({"another clip": [9.0, 8.0, 7.0, 6.5, 6.0]})[0]
    assert (first.why, first.text, first.nll, first.first_nll, first.seen) == (SUSPECT, "another clip", 6.0, 9.0, 5)
    assert 1.5 < first.usual < 2.5


def test_a_sample_that_was_far_once_is_no_suspect() -> None:
    kinds = {hard.text: hard.why for hard in trained({"once": [9.0, 5.0, 4.0, 3.0, 2.0]})}
    assert kinds.get("once") != SUSPECT


def test_a_loss_that_stays_while_the_others_fall_is_named() -> None:
    kinds = {hard.text: hard.why for hard in trained({"stays": [6.0, 6.0, 6.0, 6.0, 5.95]})}
    assert kinds["stays"] == NOT_FALLING
    flat = {hard.why for hard in trained({"stays": [6.0] * 2}, epochs=2)}
    assert NOT_FALLING not in flat  # measured twice only


def test_only_so_many_samples_are_remembered_the_latest_ones() -> None:
    losses = LossHistory()
    for number in range(hard_samples.MOST + 100):
        losses.add(step=number, text=f"sentence {number}", nll=3.0 if number < hard_samples.MOST else 3.5)
    assert len(losses._entries) == hard_samples.MOST
    assert {hard.nll for hard in losses.hardest()} == {3.5}


def test_clips_of_one_sentence_are_told_apart_by_their_length() -> None:
    losses = LossHistory()
    for number in range(40):
        losses.add(step=number, text=f"sentence {number % 4}", nll=2.0)
    for _ in range(2):
        losses.add(step=50, text="sentence 1", nll=6.0, seconds=1.5)
        losses.add(step=50, text="sentence 1", nll=2.0, seconds=2.5)
    suspects = [hard for hard in losses.hardest() if hard.why == SUSPECT]
    assert [(hard.text, hard.seconds, hard.seen) for hard in suspects] == [("sentence 1", 1.5, 2)]


def with_gaps(usual_gap: float, *, gap: float, nll: float = 4.0) -> HardSample | None:
    """The row of a sample that was measured once, after forty others with about `usual_gap`."""
    losses = LossHistory()
    for number in range(40):
        losses.add(step=number, text=f"easy {number}", nll=2.0 + 0.01 * (number % 5), text_gap=usual_gap)
    losses.add(step=50, text="in question", nll=nll, text_gap=gap, reference_gap=0.3)
    return next((hard for hard in losses.hardest() if hard.text == "in question"), None)


def test_a_high_loss_that_another_text_does_not_raise_is_a_suspect_at_once() -> None:
    hard = with_gaps(0.5, gap=-0.02)
    assert hard is not None
    assert (hard.why, hard.seen, hard.text_gap, hard.reference_gap) == (SUSPECT, 1, -0.02, 0.3)


def test_a_gap_makes_no_suspect_of_a_usual_loss_nor_of_a_text_that_helps_nor_before_texts_are_used() -> None:
    for hard in (with_gaps(0.5, gap=0.2), with_gaps(0.01, gap=-0.02)):
        assert hard is not None and hard.why == HIGHEST
    usual = with_gaps(0.5, gap=-0.02, nll=2.02)
    assert usual is None or usual.why == HIGHEST


def test_a_sample_keeps_the_last_gap_that_was_measured() -> None:
    losses = LossHistory()
    for step in range(20):
        losses.add(step=step, text=f"{step % 2}", nll=2.0, text_gap=0.1 * step if step < 18 else None)
    assert {hard.text: hard.text_gap for hard in losses.hardest()} == {"0": 1.6, "1": 1.7000000000000002}
