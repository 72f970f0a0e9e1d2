"""DeepSpeed on the CPU: ZeRO-1 and 2 show the numbers of DDP, ZeRO-3 names what it does not show."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed"),
]


def run(stage: int, output: Path, *, ranks: int, **options: Any) -> dict[str, Any]:
    folder = output / f"stage-{stage}"
    folder.mkdir()
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks),
        str(ROOT / "tests/probes/deepspeed_run.py"), str(stage), str(folder), json.dumps(options),
    ]  # fmt: skip
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/probes'}", "DS_ACCELERATOR": "cpu",
    }  # fmt: skip
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    assert found["errors"] == []
    return found


@pytest.mark.parametrize(
    ("stage", "ranks", "options"),
    [(1, 1, {}), (1, 2, {}), (2, 2, {}), (2, 1, {"gradient_accumulation_steps": 2, "max_grad_norm": 0.5})],
)
@pytest.mark.setting("Distribution", "DeepSpeed ZeRO-1, ZeRO-2", "shown")
def test_zero_1_and_2_show_the_gradients_and_updates_of_plain_training(
    stage: int, ranks: int, options: dict[str, Any], tmp_path: Path
) -> None:
    plain, zero = (run(number, tmp_path, ranks=ranks, **options) for number in (0, stage))
    assert zero["losses"] == pytest.approx(plain["losses"], rel=1e-4)
    for at, (actual, expected) in enumerate(zip(zero["steps"], plain["steps"], strict=True)):
        assert actual["before_clipping"] is True
        assert expected["gradient_norm"].keys() == actual["gradient_norm"].keys() != set()
        for name in ("gradient_norm", "update_ratio"):
            assert actual[name] == pytest.approx(expected[name], rel=2e-3, abs=1e-6), (at, name)
        squares = sum(norm**2 for key, norm in actual["gradient_norm"].items() if key.endswith("None)"))
        assert squares**0.5 == pytest.approx(zero["norms"][at], rel=1e-3)
        assert actual["nll"] == pytest.approx(expected["nll"], rel=1e-3)
        assert [reason for reason in actual["missing"] if not reason.startswith("cosine")] == []


def test_updates_of_bf16_training_are_those_of_the_fp32_weights_of_the_optimizer(tmp_path: Path) -> None:
    found = run(1, tmp_path, ranks=1, bf16=True, learning_rate=1e-5, max_grad_norm=1e9)
    for step in found["steps"]:
        assert step["rounded_to_zero_pct"] is None
        assert all(0 < ratio < 0.01 for ratio in step["update_ratio"].values())


@pytest.mark.setting("Distribution", "DeepSpeed ZeRO-3", "gradients and updates reported missing, the rest shown")
def test_zero_3_names_what_is_not_shown_and_shows_the_rest(tmp_path: Path) -> None:
    plain, sharded = (run(number, tmp_path, ranks=2) for number in (0, 3))
    for actual, expected in zip(sharded["steps"], plain["steps"], strict=True):
        assert actual["nll"] == pytest.approx(expected["nll"], rel=1e-3)
        assert actual["gradient_norm"] is None
        for what in ("gradient norms", "update ratios"):
            assert any(reason.startswith(what) and "ZeRO-3" in reason for reason in actual["missing"])
    assert sharded["steps"][0]["leak"] == 0.0
