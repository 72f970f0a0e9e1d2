"""`torchrun` with two processes: one TensorBoard run, one W&B run, one decision about the budget."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from read_back import read_tensorboard
from short_demo import lay_out
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tracker_logging.trackers.tensorboard_names import shown_name

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_write_one_run(tmp_path: Path, demo: Path) -> None:
    lay_out(demo, tmp_path)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        str(ROOT / "train_v2_ddp.py"), "--demo=composed", "--output_dir", str(tmp_path), "--max_steps", "4",
        "--per_device_train_batch_size", "2", "--eval_steps", "4", "--save_steps", "4", "--logging_steps", "1",
        "--enable_strategic_logging", "--strategic_logging_steps", "2", "--voice_steps", "2", "--report_to", "both",
        "--logging_budget_pct", "0.01", "--voice_quality", "off", "--voice_max_clips", "2",
    ]  # fmt: skip
    environment = os.environ | {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]

    assert "now runs once in 2 of its steps" in done.stderr

    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == 1
    assert len(list(tmp_path.rglob("run-*.wandb"))) == 1
    events = EventAccumulator(str(next(tmp_path.rglob("events.out.tfevents.*")).parent))
    events.Reload()
    read = read_tensorboard(next(tmp_path.rglob("events.out.tfevents.*")).parent)
    last = max(step for tag, step in read.scalars if tag == "tracker/stride/capture")
    strides = [read.scalars[f"tracker/stride/{component}", last] for component in ("capture", "zero_shot", "voices")]
    assert max(strides) > 1
    steps = [event.step for event in events.Scalars(shown_name("outputs/nll/mean"))]
    assert steps == [1, 2, 4]
