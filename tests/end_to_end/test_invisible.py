"""With every callback on, training is the same training: to the bit."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from scored_here import scored_here
from short_demo import lay_out

from train_v2_ddp import main

COMMON = ["--demo=composed", "--max_steps", "8", "--save_steps", "8", "--eval_steps", "5", "--logging_steps", "1",
          "--per_device_train_batch_size", "2", "--report_to", "tensorboard"]  # fmt: skip
EVERYTHING = ["--enable_strategic_logging", "--strategic_logging_steps", "4", "--voice_steps", "4",
              "--voice_quality", "off", "--voice_max_clips", "2"]  # fmt: skip


def train(output: Path, demo: Path, *flags: str) -> Path:
    lay_out(demo, output)
    assert main([*COMMON, "--output_dir", str(output), *flags]) == 0
    return output / "checkpoint-8"


def differences(first: object, second: object, where: str = "") -> list[str]:
    """Names of the leaves in which two nested values differ by a single bit."""
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [where]
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        return [d for key in first for d in differences(first[key], second[key], f"{where}/{key}")]
    if isinstance(first, list | tuple):
        assert len(first) == len(second)
        return [
            d for i, (a, b) in enumerate(zip(first, second, strict=True)) for d in differences(a, b, f"{where}/{i}")
        ]
    same = first == second
    return [] if (same if isinstance(same, bool) else same.all()) else [where]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [(), ("--use_lora", "--bf16", "--gradient_checkpointing", "--gradient_accumulation_steps", "2")]
)
def test_weights_optimizer_losses_and_rng_are_identical_with_and_without(
    tmp_path: Path, demo: Path, flags: tuple[str, ...]
) -> None:
    plain = train(tmp_path / "plain", demo, *flags)
    with scored_here() if flags else nullcontext():  # neither a process nor a thread that scores may be noticed
        watched = train(tmp_path / "watched", demo, *flags, *EVERYTHING)
    weights = "adapter_model.safetensors" if "--use_lora" in flags else "model.safetensors"
    assert differences(load_file(plain / weights), load_file(watched / weights)) == []
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        saved = [torch.load(folder / name, weights_only=False) for folder in (plain, watched)]
        assert differences(*saved) == [], name
    assert losses(plain) == losses(watched)
    findings = json.loads(next(watched.parent.rglob("findings.json")).read_text())
    assert [finding for finding in findings["findings"] if finding["level"] != "info"] == []


def losses(checkpoint: Path) -> list[tuple[int, float]]:
    history = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    return [(entry["step"], entry.get("loss", entry.get("eval_loss"))) for entry in history]
