"""A script that knows only `--json` answers: which run is best, is anything wrong, the best clip of each voice."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from tracker_examples import comparison, finding

from tracker_logging.events import Findings, Scalars
from tracker_logging.trackers.open import RunInfo, open_tracker

SCRIPT = Path(__file__).parents[2] / "examples" / "ask_runs.py"


@pytest.mark.slow
def test_a_script_that_knows_only_the_json_output_finds_the_best_run_its_faults_and_clips(tmp_path: Path) -> None:
    # The last step of `good` is worse than that of `bad`; its best is better, and differs by voice.
    scores = {"good": {100: (0.9, 0.3), 200: (0.2, 0.5)}, "bad": {100: (0.6, 0.6), 200: (0.7, 0.7)}}
    for name, steps in scores.items():
        tracker = open_tracker(["tensorboard"], directory=tmp_path / "runs" / name, run=RunInfo(name=name))
        for step, values in steps.items():
            tracker.emit(Scalars(step=step, values={"voices/sim_o/mean": max(values)}))
            for voice, value in zip(("ann", "bob"), values, strict=True):
                tracker.emit(replace(comparison(step, voice_id=voice), scores={"sim_o": value}))
        tracker.emit(Findings(step=200, findings=(finding(f"{name}_one"), finding("over", since=1, until=100))))
        tracker.close()
        assert tracker.errors == 0
    command = [sys.executable, SCRIPT, tmp_path / "runs", "--out", tmp_path / "clips"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == [
        f"best: {tmp_path / 'runs' / 'good'}",
        "wrong: good_one (error): a fix.",
        "clip: ann step 100 (sim_o 0.9)",
        "clip: bob step 200 (sim_o 0.5)",
    ]
    for voice, step in (("ann", 100), ("bob", 200)):
        (path,) = (tmp_path / "clips" / voice).iterdir()
        samples, _ = soundfile.read(path)
        assert len(samples) == len(comparison(step).clips["generated"].samples), "the clip of that step"


def test_the_script_imports_nothing_of_this_package() -> None:
    imports = [
        node for node in ast.walk(ast.parse(SCRIPT.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert not any("tracker_logging" in name for name in names)
