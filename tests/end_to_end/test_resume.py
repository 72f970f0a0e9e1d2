"""A training that is killed after a checkpoint goes on in the same runs: no step is missing or there twice, nor is a
voice that was still being scored when the checkpoint was saved."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from read_back import Run, read_jsonl, read_tensorboard, read_wandb
from short_demo import lay_out
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tracker_logging.trackers.tensorboard_names import shown_name

ROOT = Path(__file__).parents[2]
SAVED_AT, LAST = 2, 4
EVERY_STEP = ("outputs/nll/mean", "train/loss", "conditioning/gap_null/mean")
SOON_S = 120.0

# Scores nothing until a file is there, in the process that scores, which has the training's environment.
SLOW_ENCODER = """
import os, time
from pathlib import Path
import numpy as np

class Slow:
    name = "slow"

    def embed(self, wave, sample_rate):
        while not Path(os.environ["SCORE_WHEN"]).exists():
            time.sleep(0.02)
        return np.array([1.0, 0.5], dtype=np.float32)
"""
DYING_TRAINING = f"""
import os, signal, sys, time
from pathlib import Path
import train_v2_ddp
from tracker_logging.integrations.hf_trainer import ZeroShotVerificationLoggerCallback
from transformers import TrainerCallback

class Die(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == {SAVED_AT + 1}:
            if os.environ["SCORED_FIRST"]:
                Path(os.environ["SCORE_WHEN"]).touch()
                deadline = time.monotonic() + {SOON_S}
                while voices.observer.state() and time.monotonic() < deadline:
                    time.sleep(0.02)
                voices.session.flush()
            os.kill(os.getpid(), signal.SIGKILL)

make = train_v2_ddp.callbacks_from

def callbacks_from(*args, **options):
    global voices
    callbacks = make(*args, **options)
    voices, = (one for one in callbacks if isinstance(one, ZeroShotVerificationLoggerCallback))
    return [*callbacks, Die()]

train_v2_ddp.callbacks_from = callbacks_from
train_v2_ddp.main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("scored_first", [False, True], ids=["waiting when killed", "scored when killed"])
def test_a_round_that_waited_at_the_save_is_there_once(tmp_path: Path, demo: Path, scored_first: bool) -> None:
    lay_out(demo, tmp_path)
    (tmp_path / "slow_encoder.py").write_text(SLOW_ENCODER)
    flags = [
        "--demo=composed", "--output_dir", str(tmp_path), "--max_steps", str(LAST),
        "--per_device_train_batch_size", "1", "--save_steps", str(SAVED_AT),
        "--eval_steps", "100", "--logging_steps", "1",
        "--enable_strategic_logging", "--strategic_logging_steps", "1", "--voice_steps", str(SAVED_AT),
        "--report_to", "tensorboard,jsonl,wandb", "--strategic_loggers", "outputs,zero_shot",
        "--logging_budget_pct", "1e6", "--voice_max_clips", "2",
        "--voice_encoder", "slow_encoder:Slow", "--voice_quality", "off", "--voice_pitch", "off",
    ]  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    environment = inherited | {
        "WANDB_MODE": "offline",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "SCORE_WHEN": str(tmp_path / "score"),
        "SCORED_FIRST": "yes" if scored_first else "",
    }
    killed = subprocess.run([sys.executable, "-c", DYING_TRAINING, *flags], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    saved = json.loads((tmp_path / f"checkpoint-{SAVED_AT}" / "tracker_logging.json").read_text())
    assert f"voices/{SAVED_AT}" in saved["waiting"]["zero_shot"]
    run = tmp_path / "runs" / "run"
    scored = [json.loads(path.read_text())["scored"] for path in (run / "voices").glob("*/step-*.json")]
    assert scored == ([True] * 4 if scored_first else [False] * len(scored))  # clips are logged at once
    assert (("voices/valid_clips", SAVED_AT) in read_tensorboard(run).scalars) is scored_first

    (tmp_path / "score").touch()
    resume = ["--resume_from_checkpoint", str(tmp_path / f"checkpoint-{SAVED_AT}")]
    command = [sys.executable, str(ROOT / "train_v2_ddp.py"), *flags, *resume]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    warnings = [line for line in done.stderr.splitlines() if "WARNING tracker_logging" in line]
    assert [line for line in warnings if "Scoring of voices is late" not in line] == []  # the encoder is slow

    for name, read in (("tensorboard", read_tensorboard), ("jsonl", read_jsonl), ("wandb", read_wandb)):
        found = read(run)
        assert found.doubles == [], name
        assert steps(found, "voices/valid_clips") == [0, SAVED_AT, LAST], name
        for tag in EVERY_STEP:
            assert steps(found, tag) == measured(tag), (name, tag)
        clips = [step for tag, step in found.sounds if tag.endswith("/generated")]
        assert sorted(clips) == [0] * 2 + [SAVED_AT] * 2 + [LAST] * 2, name
    for tag in EVERY_STEP:
        assert steps_shown(run, tag) == measured(tag), tag
    folders = sorted(path.parent for path in (run / "voices").glob("*/voice.json"))
    assert len(folders) == 2
    for folder in folders:
        names = [f"step-{step:08d}.json" for step in (0, SAVED_AT, LAST)]
        assert sorted(path.name for path in folder.glob("step-*.json")) == names
        sidecars = [json.loads((folder / name).read_text()) for name in names]
        assert all(sidecar["clip"] is not None and sidecar["scored"] for sidecar in sidecars)


def measured(tag: str) -> list[int]:
    """The base model has a conditioning gap, as step 0."""
    return list(range(0 if tag.startswith("conditioning/") else 1, LAST + 1))


def steps(run: Run, tag: str) -> list[int]:
    return sorted(step for name, step in run.scalars if name == tag)


def steps_shown(run: Path, tag: str) -> list[int]:
    """As TensorBoard shows them: what a restart says to purge is gone."""
    events = EventAccumulator(str(run), purge_orphaned_data=True)
    events.Reload()
    return [event.step for event in events.Scalars(shown_name(tag))]
