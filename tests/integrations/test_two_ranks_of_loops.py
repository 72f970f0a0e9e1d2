"""Two gloo processes make one run with the numbers of both, and train what they train without logging."""

import json
from pathlib import Path

import pytest
from forked_ranks import run_on_two_ranks
from loops import train_by_hand
from read_back import read_jsonl

MEASURED = ("outputs/nll", "outputs/accuracy", "gradients/norm", "gradients/update", "eval_outputs/nll")


@pytest.mark.slow
@pytest.mark.setting("Distribution", "DDP and FSDP2 with `watch`, DDP with Lightning", "shown, in one run")
@pytest.mark.parametrize(
    ("file", "arguments", "runs"),
    [("loop_ranks.py", ["ddp"], "."), ("loop_ranks.py", ["fsdp2"], "."), ("lightning_ranks.py", [], "runs")],
    ids=["ddp", "fsdp2", "lightning"],
)
def test_two_processes_make_one_run_with_the_numbers_of_both(
    file: str, arguments: list[str], runs: str, tmp_path: Path
) -> None:
    run_on_two_ranks(Path(__file__).parent / file, *arguments, str(tmp_path), output=tmp_path)
    assert json.loads((tmp_path / "found.json").read_text())["identical"] == [True, True]
    (directory,) = (tmp_path / "two" / runs).iterdir()
    two = read_jsonl(directory)
    train_by_hand(tmp_path / "one", steps=3, accumulation=2, evaluate_every=3)  # both ranks' batches in one process
    one = read_jsonl(tmp_path / "one/run")
    expected = {key: value for key, value in one.scalars.items() if key[0].startswith(MEASURED)}
    assert len(expected) > 30
    found = {key: value for key, value in two.scalars.items() if key[0].startswith(MEASURED)}
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-6, nan_ok=True)
    assert {value for (tag, _), value in two.scalars.items() if tag in ("tracker/errors", "tracker/missing")} == {0.0}
