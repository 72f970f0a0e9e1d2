"""Two gloo processes: invisible, one collective, and numbers that are those of both ranks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked_ranks import run_on_two_ranks
from small_model import batch, sample, small_model

from tracker_logging import tags
from tracker_logging.families import adapter_for
from tracker_logging.probes.capture import StepCapture


def run(mode: str, output: Path) -> dict[str, Any]:
    run_on_two_ranks(Path(__file__).parent / "two_ranks.py", mode, str(output), output=output)
    return json.loads((output / "found.json").read_text())


@pytest.mark.slow
def test_a_trainer_on_two_ranks_is_bit_identical_and_rank_0_alone_emits(tmp_path: Path) -> None:
    found = run("ddp", tmp_path)
    assert found["identical"] == [True, True]
    assert found["events"][0] > 0 and found["events"][1] == 0
    values = found["values"]
    assert [step for step, _ in values[tags.NLL_MEAN()]] == [1, 2, 4, 6]
    assert {value for _, value in values[tags.ERRORS()]} == {0.0}
    norms = dict(map(tuple, found["norms"]))
    for at, step in enumerate([1, 2, 4, 6]):
        squares = sum(own[at][1] ** 2 for tag, own in values.items() if tag.startswith("gradients/norm/"))
        assert squares**0.5 == pytest.approx(norms[step], rel=1e-4)
    assert [step for step, _ in values[tags.EVAL_NLL_MEAN()]] == [3, 6]


@pytest.mark.slow
def test_fsdp2_is_bit_identical_and_shows_the_numbers_of_unsharded_training(tmp_path: Path) -> None:
    found = run("fsdp", tmp_path)
    assert found["identical"] == [True, True]
    assert any("sharded" in part for part in found["missing"])
    for shards, copies in zip(found["sharded"], found["replicated"], strict=True):
        for name, own in copies.items():
            assert shards[name] == pytest.approx(own, rel=2e-3, abs=1e-6, nan_ok=True), name


@pytest.mark.slow
def test_fsdp1_shows_the_numbers_of_unsharded_training_or_names_what_is_missing(tmp_path: Path) -> None:
    found = run("fsdp1", tmp_path)
    assert found["identical"] == [True, True]
    for shards, copies in zip(found["sharded"], found["replicated"], strict=True):
        for name, values in copies.items():
            assert shards[name] == pytest.approx(values, rel=2e-3, abs=1e-6, nan_ok=True), name
    assert found["flat"]["flow"] is False
    assert found["flat"]["nll"] == pytest.approx(found["replicated"][0]["nll"], rel=1e-3)
    assert any("use_orig_params" in reason for reason in found["flat"]["missing"])


@pytest.mark.slow
def test_extra_forwards_of_sharded_models_run_on_all_ranks_or_on_none(tmp_path: Path) -> None:
    found = run("unready", tmp_path)
    assert found["leaks"] == [None, None, None]
    assert sum(found["rows"]) > 0


@pytest.mark.slow
def test_a_probe_that_fails_on_one_rank_hangs_no_rank_and_the_other_rank_still_counts(tmp_path: Path) -> None:
    found = run("failing", tmp_path)
    assert found["target_row"] == pytest.approx(1.0, abs=1e-4)
    both = [adapter_for(small_model()).view(batch(sample(4 + rank, 5, seed=rank))) for rank in (0, 1)]
    assert sum(found["rows"]) == sum(int((view.audio_labels != -100).sum()) for view in both)


def test_one_process_needs_no_collective() -> None:
    model = small_model().train()
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens"}))
    capture.attach(model)
    model(**batch(sample(4, 5)))
    assert not torch.distributed.is_initialized()
    assert np.isfinite(capture.snapshot(1).tokens.nll).all()
