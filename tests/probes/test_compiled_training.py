"""`torch_compile=True`: no errors, no change in training, and no recompilation at logged steps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_model import sample, small_model
from torch._dynamo.utils import counters
from trainer_captures import Captures, capture_training
from training import train, values_of, watched_callbacks
from transformers import TrainerCallback

from tracker_logging import tags
from tracker_logging.trackers.memory import MemoryTracker

EQUALLY_LONG = [sample(4, 5, seed=at) for at in range(24)]  # one length: compiled once


class CountGraphs(TrainerCallback):
    """How many graphs were compiled by the end of each step."""

    def __init__(self) -> None:
        self.graphs: list[int] = []

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        self.graphs.append(counters["stats"]["unique_graphs"])


def compiled_run(directory: Path, tracker: MemoryTracker | None) -> tuple[str, list[int]]:
    torch._dynamo.reset()
    counters.clear()
    count = CountGraphs()
    watched = [] if tracker is None else watched_callbacks(tracker)
    _, end = train(
        directory, callbacks=[count, *watched], torch_compile=True, torch_compile_backend="eager",
        model=small_model(text_head=True, dropout=0.1), max_steps=4, samples=EQUALLY_LONG,
    )  # fmt: skip
    return end, count.graphs


@pytest.mark.slow
@pytest.mark.setting("Evaluation", "`torch_compile`", "shown, by an extra eager forward")
def test_evaluation_statistics_of_a_compiled_model_are_those_of_the_eager_one(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2, "max_steps": 2}
    compiled: dict[str, Any] = {"torch_compile": True, "torch_compile_backend": "eager"}
    graphs, snapshots, losses = [], [], []
    for captures, options in (
        (Captures(needs=frozenset({"inputs"}), compiled=True), compiled | {"prediction_loss_only": True}),
        (Captures(compiled=True), compiled | {"prediction_loss_only": True}),
        (Captures(), {"prediction_loss_only": True}),
    ):
        torch._dynamo.reset()
        counters.clear()
        if captures._needs == {"inputs"}:
            captures.on_step_end = lambda *_, **__: None  # type: ignore[method-assign]
        _, trainer = capture_training(
            tmp_path, captures=captures, model=small_model(), samples=EQUALLY_LONG, **arguments, **options
        )
        graphs.append(counters["stats"]["unique_graphs"])
        snapshots.append(captures.evaluations)
        losses.append([entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry])
        assert captures.errors == []
    assert graphs[0] > 0 and graphs[1] == graphs[0], "capturing the evaluation compiles nothing"
    assert losses[0] == losses[1]
    (actual,), (expected,) = snapshots[1:]
    assert actual.name == "held out" and actual.missing == ()
    assert actual.tokens.rows.tolist() == expected.tokens.rows.tolist()
    np.testing.assert_allclose(actual.tokens.nll, expected.tokens.nll, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.setting("Precision and kernels", "`torch_compile`, training", "shown, of one sample per rank")
def test_a_compiled_run_is_identical_and_logged_steps_compile_nothing(tmp_path: Path) -> None:
    plain, plain_graphs = compiled_run(tmp_path, None)
    tracker = MemoryTracker()
    watched, watched_graphs = compiled_run(tmp_path, tracker)
    assert plain_graphs[0] > 0, "the model must have been compiled for the test to mean anything"
    assert watched == plain
    assert watched_graphs == plain_graphs
    found = values_of(tracker)
    assert {value for _, value in found[tags.ERRORS()]} == {0.0}
    for tag in (tags.NLL_MEAN(), tags.MASS_MEAN(query="target", key="target"), tags.FFN_RMS(path="text", layer=0)):
        assert [step for step, _ in found[tag]] == [1, 2, 4]
        assert np.isfinite([value for _, value in found[tag]]).all()
    assert tags.GRADIENT_NORM(component="attention_q") in found
