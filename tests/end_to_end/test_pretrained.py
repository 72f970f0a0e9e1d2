"""`--demo pretrained`: the model of the package is fine-tuned, and voices of three groups are generated and scored."""

from pathlib import Path

import pytest
from read_back import read_tensorboard

from tracker_logging import tags
from tracker_logging.demo.pretrained_demo import REAL, TRAINED, UNSEEN
from train_v2_ddp import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS, VOICES = 4, 9


def test_the_pretrained_model_is_trained_and_voices_of_three_groups_are_scored(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
    flags = [
        "--demo", "pretrained", "--output_dir", str(tmp_path), "--max_steps", str(STEPS), "--eval_steps", str(STEPS),
        "--per_device_train_batch_size", "2", "--enable_strategic_logging", "--strategic_logging_steps", "2",
        "--voice_steps", str(STEPS), "--voice_max_clips", str(VOICES), "--voice_quality", "off",
    ]  # fmt: skip
    assert main(flags) == 0
    run = read_tensorboard(tmp_path / "runs" / "run")
    for group in (TRAINED, UNSEEN, REAL):
        name = tags.GROUP_SCORE(group=group.replace(" ", "_"), score="sim_margin")
        assert sorted(step for tag, step in run.scalars if tag == name) == [0, STEPS], group
    assert run.scalars[("voices/stopped_pct", 0)] > 50
    assert run.scalars[("conditioning/gap/low", STEPS)] > 0.3
    assert {value for (tag, _), value in run.scalars.items() if tag == "tracker/errors"} == {0.0}
    folders = list((tmp_path / "runs/run/voices").iterdir())
    assert len(folders) == VOICES
    assert not (tmp_path / "demo").exists()
