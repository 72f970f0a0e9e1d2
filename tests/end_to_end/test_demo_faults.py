"""`--demo_fault`: each mistake is in the training, and the doctor names it."""

import json
from pathlib import Path

import pytest
from short_demo import lay_out

from tracker_logging.data.formats import read_samples
from tracker_logging.demo.faults import FAULTS
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.demo.pretrained_demo import pretrained_demo
from train_v2_ddp import main, parse_arguments

SHORT = [
    "--demo=composed", "--per_device_train_batch_size", "2",
    "--max_steps", "6", "--logging_steps", "1", "--eval_steps", "100",
    "--enable_strategic_logging", "--strategic_logging_steps", "1", "--voice_steps", "100", "--no-voice_at_start",
    "--strategic_loggers", "inputs,outputs,attention", "--report_to", "jsonl", "--logging_budget_pct", "1000",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FAULTS if name != "shuffled_references"])
def test_the_doctor_names_the_fault_of_the_demo(name: str, demo: Path, tmp_path: Path) -> None:
    lay_out(demo, tmp_path)
    assert main([*SHORT, "--demo_fault", name, "--output_dir", str(tmp_path)]) == 0
    (report,) = tmp_path.rglob("findings.json")
    assert FAULTS[name].finding in {finding["name"] for finding in json.loads(report.read_text())["findings"]}


def test_shuffled_references_are_of_other_speakers_and_the_rest_is_unchanged(demo: Path, tmp_path: Path) -> None:
    source = DemoPaths(demo).train
    samples = read_samples(FAULTS["shuffled_references"].write(source, tmp_path / "train.json"))
    originals = read_samples(source)
    speaker_of = {sample.reference_audio: sample.speaker for sample in originals}
    for sample, original in zip(samples, originals, strict=True):
        assert (sample.target_audio, sample.target_text) == (original.target_audio, original.target_text)
        assert speaker_of[sample.reference_audio] != sample.speaker == original.speaker


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "shuffled_references"])
def test_a_fault_that_is_not_in_the_samples_leaves_the_data_file(name: str, tmp_path: Path) -> None:
    """Else the comparison of runs reports other data."""
    args = parse_arguments(["--demo", "--demo_fault", name, "--output_dir", str(tmp_path)])
    assert args.train_data_file == pretrained_demo().train and list(tmp_path.iterdir()) == []


def test_an_unknown_fault_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo=composed", "--demo_fault", "typo", "--output_dir", str(tmp_path)]) == 2
    assert "choose one of shuffled_references" in capsys.readouterr().err
    assert main(["--demo_fault", "typo"]) == 2
