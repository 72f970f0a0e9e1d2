"""Samples of a batch with the same target, or the same text with another target."""

from __future__ import annotations

import torch
from small_model import batch, sample, small_model

from tracker_logging.families import adapter_for
from tracker_logging.probes.audit import audit_batch
from tracker_logging.probes.repeats import Repeats


def repeats(*samples: dict[str, torch.Tensor]) -> Repeats:
    adapter = adapter_for(small_model())
    return audit_batch(adapter.view(batch(*samples)), adapter).repeats


def with_text_of(own: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Both have the same lengths, so that the texts are at the same positions."""
    is_text = (own["input_ids"] >= 8) & (own["input_ids"] < 50)
    return own | {"input_ids": other["input_ids"].where(is_text, own["input_ids"])}


def test_different_samples_repeat_nothing() -> None:
    assert repeats(*(sample(4, 5, seed=at) for at in range(4))) == Repeats(target_pct=0.0, text_pct=0.0)


def test_a_sample_that_comes_twice_is_counted_as_a_target_and_not_as_a_text() -> None:
    first, second = sample(4, 5, seed=1), sample(4, 5, seed=2)
    assert repeats(first, second, first, sample(3, 6, seed=3)) == Repeats(target_pct=50.0, text_pct=0.0)


def test_one_text_for_different_targets_is_counted() -> None:
    first, second, third = (sample(4, 5, seed=at) for at in range(3))
    assert repeats(first, with_text_of(second, first)) == Repeats(target_pct=0.0, text_pct=100.0)
    assert repeats(first, with_text_of(second, first), third, third).text_pct == 50.0


def test_a_single_sample_has_nothing_to_compare() -> None:
    assert repeats(sample(4, 5)) == Repeats(None, None)
