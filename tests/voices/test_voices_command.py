"""`tracker-logging voices`: saved checkpoints generate the same clips, with the same scores, as the training logged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from read_back import Run, read_jsonl
from scored_here import scored_here
from short_demo import lay_out

from tracker_logging.cli import main
from tracker_logging.data.sample import DataError
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.checkpoints import base_of_adapters, find_checkpoints
from train_v2_ddp import main as train

SPEED = ("voices/rtf", "voices/frames_per_s", "voices/first_frame_s/")
VOICES = ["--voice_max_clips", "2", "--voice_quality", "off"]


def checkpoint(path: Path, name: str = "config.json") -> Path:
    path.mkdir(parents=True)
    (path / name).write_text("{}")
    return path


def test_checkpoints_are_found_by_their_steps(tmp_path: Path) -> None:
    for step in (1000, 500):
        checkpoint(tmp_path / "out" / f"checkpoint-{step}")
    (tmp_path / "out" / "checkpoint-7").mkdir()  # nothing in it
    base, adapters = checkpoint(tmp_path / "base-7b"), checkpoint(tmp_path / "lora", "adapter_config.json")
    found = find_checkpoints(
        [str(tmp_path / "out"), str(base), f"{adapters}=700", str(tmp_path / "out/checkpoint-500")]
    )
    assert [(each.step, each.name) for each in found] == [
        (0, "base-7b"), (500, "checkpoint-500"), (700, "lora"), (1000, "checkpoint-1000")
    ]  # fmt: skip


def test_what_is_no_checkpoint_is_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no config.json, adapter_config.json or checkpoint-N there"):
        find_checkpoints([str(tmp_path / "empty")])
    with pytest.raises(DataError, match="no such directory"):
        find_checkpoints([str(tmp_path / "nowhere")])
    first, second = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b")
    with pytest.raises(DataError, match=r"are both of step 0. Give one of them another step: .*b=STEP"):
        find_checkpoints([str(first), str(second)])
    with pytest.raises(DataError, match="names no base_model_name_or_path"):
        base_of_adapters(checkpoint(tmp_path / "lora", "adapter_config.json"))
    assert base_of_adapters(first) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Path:
    """The output of a training of two steps, each with a checkpoint and with voices."""
    output = lay_out(demo, tmp_path_factory.mktemp("trained"))
    flags = [
        "--demo=composed", "--output_dir", str(output), "--max_steps", "2", "--save_steps", "1", "--eval_steps", "100",
        "--per_device_train_batch_size", "1", "--enable_strategic_logging", "--strategic_loggers", "zero_shot",
        "--strategic_logging_steps", "1", "--voice_steps", "1", "--logging_budget_pct", "1e6", "--report_to", "jsonl",
    ]  # fmt: skip
    assert train([*flags, *VOICES]) == 0
    return output


def flags_of(trained: Path, output: Path) -> list[str]:
    paths = DemoPaths(trained / "demo")
    return [
        "--data", str(paths.eval), "--audio_tokenizer_path", str(paths.codec), "--code_cache", str(paths.codes),
        "--report_to", "jsonl", "-o", str(output), "--voice_temperature", "0", *VOICES,
    ]  # fmt: skip


def measured(run: Run) -> dict[tuple[str, int], float]:
    scores = ("voices/", "conditioning/")
    return {
        key: value
        for key, value in run.scalars.items()
        if key[0].startswith(scores) and not key[0].startswith(SPEED) and "cost" not in key[0]
    }


@pytest.mark.slow
def test_the_scores_of_the_training_are_reproduced_to_the_last_digit(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "checkpoints"
    base = DemoPaths(trained / "demo").model
    with scored_here():  # the training scored in another process
        assert main(["voices", f"{base}=0", str(trained), "--compare", *flags_of(trained, output)]) == 0
    logged, generated = read_jsonl(trained / "runs" / "run"), read_jsonl(output)
    assert measured(generated) == measured(logged) and len(measured(logged)) > 50
    clips = {key: samples for key, samples in logged.sounds.items() if key[0].endswith("/generated")}
    assert len(clips) == 6 and all(generated.sounds[key] == samples for key, samples in clips.items())
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:3] == ["rank", "checkpoint", "step"]
    assert {line.split()[2] for line in table[1:4]} == {"0", "1", "2"}
    assert json.loads((output / "summary.json").read_text())["numbers"]
    page = (output / "compare.html").read_text()
    assert all(f"{name}/" in page for name in (base.name, "checkpoint-1", "checkpoint-2"))


@pytest.mark.slow
def test_an_interrupted_run_is_continued(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "checkpoints"
    with scored_here():
        assert main(["voices", str(trained / "checkpoint-1"), *flags_of(trained, output)]) == 0
    torn = next(output.glob("voices/*/step-00000001.json"))
    shutil.copy(torn, tmp_path / "kept.json")
    torn.write_text("{")
    with scored_here():
        assert main(["voices", str(trained), *flags_of(trained, output)]) == 0
    run = read_jsonl(output)
    again, kept = (json.loads(path.read_text())["scores"] for path in (torn, tmp_path / "kept.json"))
    assert again.pop("first_frame_s") > 0 < kept.pop("first_frame_s")
    assert again == kept
    assert run.doubles == [] and {step for tag, step in run.scalars if tag == "voices/sim_o/mean"} == {1, 2}
    from tracker_logging.families.higgs_v2.adapter import HiggsV2Adapter

    monkeypatch.setattr(HiggsV2Adapter, "generate", None)  # all is scored: nothing may be generated
    with scored_here():
        assert main(["voices", str(trained), *flags_of(trained, output)]) == 0


def test_a_comparison_needs_two_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = checkpoint(tmp_path / "base")
    assert main(["voices", str(base), "--data", "x", "-o", str(tmp_path / "run"), "--compare"]) != 0
    assert "--compare needs two checkpoints" in capsys.readouterr().err


@pytest.mark.slow
def test_adapters_generate_what_their_merged_model_does_on_two_processes(trained: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from tracker_logging.families.higgs_v2.checkpoint import open_model

    base = DemoPaths(trained / "demo").model
    torch.manual_seed(3)
    model = get_peft_model(open_model(str(base)), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    model.save_pretrained(tmp_path / "lora")
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    places = [f"{base}=0", f"{tmp_path / 'lora'}=1", f"{tmp_path / 'merged'}=2"]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        "-m", "tracker_logging.cli", "voices", *places, *flags_of(trained, tmp_path / "run"),
    ]  # fmt: skip
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("rank  checkpoint") == 1  # the first process alone prints
    run = read_jsonl(tmp_path / "run")
    gaps = [run.scalars["conditioning/gap/mean", step] for step in (0, 1, 2)]
    assert gaps[1] == pytest.approx(gaps[2], abs=1e-5) and gaps[1] != pytest.approx(gaps[0], abs=1e-4)
    assert len({tag for tag, _ in run.sounds if tag.endswith("/generated")}) == 2
