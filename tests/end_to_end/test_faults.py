"""Whatever of ours fails, training ends normally with the same weights, and the failure is said."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from scored_here import scored_here
from short_demo import lay_out
from test_invisible import differences

from train_v2_ddp import main

FLAGS = ["--demo=composed", "--max_steps", "5", "--save_steps", "5", "--eval_steps", "5", "--logging_steps", "1",
         "--per_device_train_batch_size", "1", "--report_to", "tensorboard,jsonl"]  # fmt: skip
WATCHED = ["--enable_strategic_logging", "--strategic_logging_steps", "1", "--strategic_loggers",
           "inputs,outputs,attention"]  # fmt: skip
SPEAKING = ["--enable_strategic_logging", "--strategic_logging_steps", "1", "--voice_steps", "5", "--voice_max_clips",
            "2", "--voice_quality", "off"]  # fmt: skip


def broken(*args: object, **kwargs: object) -> None:
    raise OSError("broken on purpose")


def remove_the_run(patch: pytest.MonkeyPatch, output: Path) -> None:
    """The directory is removed when the third step is observed."""
    from tracker_logging.observers.inputs import InputObserver

    observe = InputObserver.observe

    def remove_first(self: InputObserver, snapshot: object) -> object:
        if snapshot.step == 3:
            shutil.rmtree(output / "runs")
        return observe(self, snapshot)

    patch.setattr(InputObserver, "observe", remove_first)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch, Path], None]] = {
    "a backend cannot be opened": lambda patch, _: patch.setattr(
        "tracker_logging.trackers.tensorboard.TensorBoardTracker.__init__", broken
    ),
    "a backend cannot write": lambda patch, _: patch.setattr(
        "tracker_logging.trackers.tensorboard.TensorBoardTracker.emit", broken
    ),
    "a probe raises": lambda patch, _: patch.setattr("tracker_logging.probes.tokens.TokenProbe.audio", broken),
    "a callback raises": lambda patch, _: patch.setattr("tracker_logging.observers.inputs.audit_batch", broken),
    "generation raises": lambda patch, _: patch.setattr(
        "tracker_logging.families.higgs_v2.adapter.HiggsV2Adapter.generate", broken
    ),
    "the run directory is removed": remove_the_run,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Path:
    """The checkpoint of a training without logging."""
    output = tmp_path_factory.mktemp("undisturbed")
    lay_out(demo, output)
    assert main([*FLAGS, "--output_dir", str(output)]) == 0
    return output / "checkpoint-5"


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_ours_changes_nothing_in_the_training(
    fault: str,
    undisturbed: Path,
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lay_out(demo, tmp_path)
    FAULTS[fault](monkeypatch, tmp_path)
    with caplog.at_level(logging.WARNING), scored_here():
        flags = SPEAKING if fault == "generation raises" else WATCHED
        assert main([*FLAGS, *flags, "--output_dir", str(tmp_path)]) == 0
    saved = [load_file(folder / "model.safetensors") for folder in (undisturbed, tmp_path / "checkpoint-5")]
    assert differences(*saved) == []
    if fault == "generation raises":
        rows = [json.loads(path.read_text()) for path in tmp_path.rglob("voices/*/step-*.json")]
        assert rows
        assert all("broken on purpose" in row["error"] for row in rows)
    elif fault == "the run directory is removed":
        assert list(tmp_path.rglob("runs/run/events.out.tfevents.*")), "it is made again"
    else:
        assert any("broken on purpose" in record.getMessage() for record in caplog.records)
