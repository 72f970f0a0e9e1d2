"""A training that is killed after a checkpoint goes on in the same runs: no step is missing, none is there twice."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dying import dies_at
from read_back import read_tensorboard, read_wandb

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_killed_training_is_resumed_without_holes_or_doubles(tmp_path: Path, demo: Path) -> None:
    shutil.copytree(demo, tmp_path / "demo")
    flags = [
        "--demo", "--output_dir", str(tmp_path), "--max_steps", "8", "--per_device_train_batch_size", "1",
        "--save_steps", "4", "--eval_steps", "8", "--logging_steps", "1", "--report_to", "both",
        "--enable_strategic_logging", "--strategic_logging_steps", "1", "--voice_steps", "100",
        "--strategic_loggers", "outputs,attention",
    ]  # fmt: skip
    # A W&B service of the tests' own process would keep the killed run "in use".
    inherited = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    environment = inherited | {"WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", dies_at(5), *flags], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]

    resume = ["--resume_from_checkpoint", str(tmp_path / "checkpoint-4")]
    command = [sys.executable, str(ROOT / "train_v2_ddp.py"), *flags, *resume]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

    assert "WARNING tracker_logging" not in done.stderr, done.stderr[-3000:]

    run = tmp_path / "runs" / "run"
    wandb = read_wandb(run)
    for tag in ("outputs/nll/mean", "train/loss", "gradients/norm/attention_q"):
        assert steps_in_tensorboard(run, tag) == list(range(1, 9)), tag
        assert sorted(step for name, step in wandb.scalars if name == tag) == list(range(1, 9)), tag
    assert wandb.doubles == []


def steps_in_tensorboard(run: Path, tag: str) -> list[int]:
    """As TensorBoard shows them: steps that a restart purges are gone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert read_tensorboard(run).scalars
    events = EventAccumulator(str(run), purge_orphaned_data=True)
    events.Reload()
    return [event.step for event in events.Scalars(tag)]
