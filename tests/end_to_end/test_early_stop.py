"""Early stopping with the best model: training ends early and on purpose, and its logs are whole."""

import json
from pathlib import Path

import pytest
from read_back import read_tensorboard
from scored_here import scored_here
from short_demo import lay_out

from train_v2_ddp import main


@pytest.mark.slow
def test_training_stops_when_the_loss_no_longer_falls_and_the_voices_speak_at_its_end(
    tmp_path: Path, demo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lay_out(demo, tmp_path)
    flags = [
        "--demo=composed", "--output_dir", str(tmp_path), "--max_steps", "20", "--per_device_train_batch_size", "1",
        "--eval_steps", "1", "--save_steps", "1", "--logging_steps", "1", "--early_stopping_patience", "2",
        "--best_by", "loss",
        "--learning_rate", "0", "--enable_strategic_logging", "--strategic_logging_steps", "2", "--voice_steps", "100",
        "--voice_max_clips", "2", "--voice_quality", "off",
    ]  # fmt: skip
    with scored_here():
        assert main(flags) == 0

    state = json.loads((tmp_path / "checkpoint-3" / "trainer_state.json").read_text())
    assert state["global_step"] == 3
    assert state["best_global_step"] == 1
    assert not (tmp_path / "checkpoint-4").exists()

    run = read_tensorboard(tmp_path / "runs" / "run")
    assert sorted(step for tag, step in run.scalars if tag == "outputs/nll/mean") == [1, 2]
    # The base model, the last step, and the best one, of which the weights are loaded at the end.
    assert sorted(step for tag, step in run.scalars if tag == "voices/failed") == [0, 1, 3]
    assert "Training ended before its last step" not in caplog.text
