"""`kill -9` at random moments of a real training, resumed each time. `benchmarks/kills.py` does more of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_misses_no_step_and_ends_the_same() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "kills.py")]
    flags = ["--kills", "4", "--seed", "5", "--report_to", "tensorboard,jsonl,wandb"]
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    environment |= {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*script, *flags], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "nothing missing, nothing twice" in done.stdout and "weights and optimizer are equal" in done.stdout
