"""A training that dies in the middle of a logged step leaves nothing that affects the next one."""

from pathlib import Path
from typing import Any

import pytest
from small_model import small_model
from torch import nn
from training import hook_count, train, values_of, watched_callbacks
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tracker_logging import tags
from tracker_logging.trackers.memory import MemoryTracker


class OutOfMemoryError(RuntimeError):
    """Raised where a GPU would be full."""


def dies_in_the_second_step(model: nn.Module) -> Any:
    """A handle to remove: the second forward of training raises in the last layer."""
    calls = iter(range(100))

    def die(layer: nn.Module, _: Any) -> None:
        if layer.training and next(calls) == 1:
            raise OutOfMemoryError

    return model.model.layers[-1].register_forward_pre_hook(die)


def test_the_attention_kernel_is_restored_when_a_forward_raises(tmp_path: Path) -> None:
    model = small_model(text_head=True)
    dies_in_the_second_step(model)
    with pytest.raises(OutOfMemoryError):
        train(tmp_path, model=model, callbacks=watched_callbacks(MemoryTracker()))
    assert not ALL_ATTENTION_FUNCTIONS._local_mapping


@pytest.mark.parametrize("same_callbacks", [True, False])
def test_the_next_training_of_the_same_model_is_logged_as_if_it_were_the_first(
    same_callbacks: bool, tmp_path: Path
) -> None:
    """As after running out of memory with `auto_find_batch_size`, or in a notebook."""
    tracker = MemoryTracker()
    callbacks = watched_callbacks(tracker)
    model = small_model(text_head=True)
    death = dies_in_the_second_step(model)
    with pytest.raises(OutOfMemoryError):
        train(tmp_path, model=model, callbacks=callbacks)
    death.remove()
    left = hook_count(model)
    train(tmp_path, model=model, callbacks=callbacks if same_callbacks else watched_callbacks(tracker))
    assert [step for step, _ in values_of(tracker)[tags.NLL_MEAN()]] == [1, *(1, 2, 4, 6)]
    assert hook_count(model) == 0 < left
