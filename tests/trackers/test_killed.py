"""`kill -9` at random moments, resume from the last checkpoint, again and again: no hole, no double, anywhere."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from read_back import read_jsonl, read_tensorboard, read_wandb

LAST = 40
_RUN = """
import json, sys, time
from pathlib import Path
directory = Path(sys.argv[1])
sys.path[:0] = sys.argv[2:]
from tracker_examples import comparison
from tracker_logging.events import Scalars
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.state import resumed, state_of
checkpoint = directory / "checkpoint.json"
run, begin = RunInfo(name="killed"), 1
if checkpoint.exists():
    state = json.loads(checkpoint.read_text())
    run, begin = resumed(run, state), state["step"] + 1
tracker = open_tracker(["tensorboard", "wandb", "jsonl"], directory=directory, run=run)
for step in range(begin, 41):
    tracker.emit(Scalars(step=step, values={"a": float(step)}))
    if step % 4 == 0:
        tracker.emit(comparison(step, fixed=step == 4))
    if step % 5 == 0:
        tracker.flush()
        part = directory / "checkpoint.part"
        part.write_text(json.dumps(state_of(tracker, step=step)))
        part.replace(checkpoint)
    print(step, flush=True)
tracker.close()
"""


def run_until_killed(directory: Path, kill_at: int) -> int:
    """Run the script; kill it when it has printed `kill_at`. Returns the exit status."""
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", _RUN, str(directory), str(tests), str(tests.parent)]
    environment = os.environ | {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    environment.pop("WANDB_SERVICE", None)  # other tests' W&B process would live on, and keep the run's id
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as run:
        for line in run.stdout:
            if line.strip().isdigit() and int(line) >= kill_at:
                run.kill()
        return run.wait()


@pytest.mark.parametrize("seed", [1])
def test_a_run_killed_at_random_moments_is_complete_in_every_backend(tmp_path, seed):
    dice = random.Random(seed)
    kills = sorted(dice.sample(range(2, LAST), 2))
    for kill_at in kills:
        assert run_until_killed(tmp_path, kill_at) == -9
    assert run_until_killed(tmp_path, LAST + 1) == 0
    for read in (read_tensorboard, read_jsonl, read_wandb):
        back = read(tmp_path)
        assert not [key for key in back.doubles if not key[0].startswith("tracker/")], (read.__name__, kills)
        assert sorted(step for tag, step in back.scalars if tag == "a") == list(range(1, LAST + 1)), read.__name__
        generated = sorted(step for tag, step in back.sounds if tag == "voices/rms_03/generated")
        assert generated == list(range(4, LAST + 1, 4)), (read.__name__, kills)
    state = json.loads((tmp_path / "checkpoint.json").read_text())
    assert state["step"] == LAST
