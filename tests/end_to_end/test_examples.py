"""Every example runs, on a demo cut short, and leaves what it promises."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from read_back import read_tensorboard
from scored_here import scored_here
from short_demo import lay_out

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".sh"))
QUICK = "--per_device_train_batch_size 2 --voice_max_clips 2 --voice_quality off --voice_encoder off"
SILENT = "--per_device_train_batch_size 2 --strategic_loggers inputs,outputs,attention --logging_steps 1"


@pytest.fixture
def out(demo: Path, tmp_path: Path) -> Path:
    """An output directory in which the demo lies ready, with few samples."""
    return lay_out(demo, tmp_path)


def run(name: str, out: Path, *, flags: str = QUICK) -> str:
    """What the example prints."""
    path = ROOT / "examples" / name
    command = [sys.executable, path] if path.suffix == ".py" else ["bash", path]
    environment = os.environ | {"OUT": str(out), "STEPS": "2", "FLAGS": flags, "PYTHON": sys.executable}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def run_here(out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Runs a Python example in this process, which has imported torch and transformers; gives what it prints."""

    def run_example(name: str) -> str:
        path = ROOT / "examples" / name
        monkeypatch.setenv("OUT", str(out))
        monkeypatch.setenv("STEPS", "2")
        monkeypatch.setattr(sys, "argv", [str(path)])
        monkeypatch.syspath_prepend(path.parent)
        with scored_here():
            runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run_example


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_under_60_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.slow
def test_strategic_logging_resumes_and_writes_one_run_per_way(out: Path) -> None:
    run("example_strategic_logging.sh", out, flags=SILENT)
    runs = {path.name: read_tensorboard(path) for path in (out / "runs").iterdir()}
    assert set(runs) == {"single", "lora", "two-processes"}
    assert {step for tag, step in runs["single"].scalars if tag == "train/loss"} == {1, 2, 3}
    assert all(one.doubles == [] and ("outputs/nll/mean", 1) in one.scalars for one in runs.values())
    assert len(list((out / "runs" / "lora").rglob("run-*.wandb"))) == 1


@pytest.mark.slow
def test_callbacks_are_attached_to_an_ordinary_trainer(out: Path) -> None:
    run("attach_to_your_trainer.py", out)
    written = read_tensorboard(out / "runs" / "attached")
    assert ("outputs/nll/mean", 1) in written.scalars and ("voices/valid_clips", 2) in written.scalars


@pytest.mark.slow
def test_a_language_model_with_codec_tokens_shows_its_slots_and_voices(
    out: Path, run_here: Callable[[str], str]
) -> None:
    run_here("codec_tokens.py")
    written = read_tensorboard(out / "runs" / "codec-tokens")
    for tag, step in (("outputs/nll/codebook_3", 1), ("outputs/outside_pct/codebook_0", 1), ("voices/valid_clips", 2)):
        assert (tag, step) in written.scalars, tag


@pytest.mark.slow
@pytest.mark.parametrize(("name", "run_name"), [("own_loop.py", "own-loop"), ("lightning_module.py", "lightning")])
def test_other_loops_than_the_trainer_are_observed(
    name: str, run_name: str, out: Path, run_here: Callable[[str], str]
) -> None:
    run_here(name)
    written = read_tensorboard(out / "runs" / run_name)
    for tag, step in (("outputs/nll/mean", 1), ("train/loss", 1), ("voices/valid_clips", 2)):
        assert (tag, step) in written.scalars, tag


@pytest.mark.slow
def test_two_runs_are_put_side_by_side(out: Path) -> None:
    said = run("compare_two_runs.sh", out)
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert "rate-2e-3" in page and "rate-2e-4" in page
    assert re.search(r"compare\.html: [\d.]+ MB, [1-9]\d* clips", said)


@pytest.mark.slow
def test_a_scorer_of_ones_own_is_chosen_and_measured(run_here: Callable[[str], str]) -> None:
    said = re.findall(r"^(.+): (\d+) % of the clips", run_here("custom_scorer.py"), flags=re.MULTILINE)
    assert len(said) == 2
    assert all(int(share) > 50 for _, share in said)


@pytest.mark.slow
def test_a_model_class_of_ones_own_is_logged_by_an_adapter_of_ones_own(run_here: Callable[[str], str]) -> None:
    said = dict(re.findall(r"^(\S+): ([\d.]+)$", run_here("custom_adapter.py"), flags=re.MULTILINE))
    assert float(said["gradients/norm/heads"]) > 0
    assert 0 < float(said["attention/mass/target_to_reference/mean"]) < 1
