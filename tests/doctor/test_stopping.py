"""The doctor stops a training at the requested level, at the same step on all ranks, with an exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from doctor.small_run import collate, watched
from forked_ranks import run_on_two_ranks

from tracker_logging import strategic_callbacks
from tracker_logging.families import IGNORE
from tracker_logging.integrations.hf_trainer import DoctorCallback, failed_by
from train_v2_ddp import build_parser, check_arguments, main


def begin_codes_trained(samples):  # type: ignore[no-untyped-def]
    sound = collate(samples)
    begins = sound["audio_input_ids"] == 16
    return sound | {"audio_labels": sound["audio_labels"].masked_fill(begins & begins.all(dim=-1, keepdim=True), 16)}


def end_codes_masked(samples):  # type: ignore[no-untyped-def]
    sound = collate(samples)
    return sound | {"audio_labels": sound["audio_labels"].masked_fill(sound["audio_labels"] == 17, IGNORE)}


def test_training_stops_at_the_first_finding_of_the_level_asked_for(tmp_path: Path) -> None:
    doctor, trainer = watched(tmp_path, collate=end_codes_masked, fail_on="error", max_steps=4)
    assert trainer.state.global_step == 1
    assert failed_by([object(), doctor]) == "end_codes_masked"


@pytest.mark.parametrize(("fail_on", "steps"), [("never", 4), ("error", 4), ("warning", 1)])
def test_a_warning_stops_training_only_at_that_level(fail_on: str, steps: int, tmp_path: Path) -> None:
    doctor, trainer = watched(tmp_path, collate=begin_codes_trained, fail_on=fail_on, max_steps=4)
    assert "begin_codes_trained" in {finding.name for finding in doctor.findings}
    assert trainer.state.global_step == steps
    assert (failed_by([doctor]) is None) == (steps == 4)


def test_a_healthy_training_is_not_stopped(tmp_path: Path) -> None:
    doctor, trainer = watched(tmp_path, fail_on="warning")
    assert (trainer.state.global_step, failed_by([doctor])) == (4, None)


def test_the_doctor_is_on_whenever_a_logger_is_on() -> None:
    for loggers, there in ((("inputs",), True), (("outputs", "attention"), True), ((), False)):
        callbacks = strategic_callbacks(report_to=[], loggers=loggers)
        assert any(isinstance(own, DoctorCallback) for own in callbacks) == there


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"doctor_fail_on": "info"}, "Choose of never, error, warning"),
        ({"alert_webhook": "ftp://x/y", "report_to": ["jsonl"]}, "not an http"),
        ({"alert_webhook": "https://x/y"}, "needs a backend"),
    ],
)
def test_a_wrong_setting_is_refused_before_training(options: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        strategic_callbacks(**({"report_to": [], "loggers": ["inputs"]} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--alert_webhook", "ftp://h/secret", "--enable_strategic_logging"), "not an http:// or https:// address"),
        (("--alert_webhook", "https://h/secret"), "--alert_webhook needs --enable_strategic_logging"),
        (
            ("--alert_webhook", "https://h/secret", "--enable_strategic_logging", "--report_to", "none"),
            "--alert_webhook needs a backend",
        ),
        (("--doctor_fail_on", "error"), "--doctor_fail_on needs --enable_strategic_logging"),
    ],
)
def test_a_wrong_command_line_error_has_the_fix_and_not_the_address(argv: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        check_arguments(build_parser().parse_args(["--demo=composed", *argv]))
    assert "secret" not in str(refused.value)


@pytest.mark.slow
def test_the_script_ends_with_a_status_and_the_name_of_the_finding(
    tmp_path: Path, demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo").symlink_to(demo)
    flags = [
        "--demo=composed", "--output_dir", str(tmp_path), "--max_steps", "20", "--learning_rate", "0",
        "--logging_steps", "1",
        "--eval_steps", "100", "--per_device_train_batch_size", "2", "--enable_strategic_logging",
        "--strategic_logging_steps", "1", "--voice_steps", "100", "--strategic_loggers", "inputs,outputs",
        "--alert_webhook", "http://127.0.0.1:9/T0-a-secret", "--doctor_fail_on", "error",
    ]  # fmt: skip
    assert main(flags) == 3
    assert "stopped by --doctor_fail_on: learning_rate_zero" in capsys.readouterr().err
    (report,) = tmp_path.rglob("findings.json")
    (finding,) = json.loads(report.read_text())["findings"]
    assert (finding["name"], finding["until"]) == ("learning_rate_zero", None)
    for path in (tmp_path / "runs").rglob("*"):
        assert not path.is_file() or b"T0-a-secret" not in path.read_bytes(), path


@pytest.mark.slow
def test_two_ranks_stop_at_the_same_step(tmp_path: Path) -> None:
    run_on_two_ranks(Path(__file__).parent / "two_ranks_stop.py", str(tmp_path), output=tmp_path)
    found = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert [own["step"] for own in found] == [4, 4]  # the third learning rate is logged after the third step
    assert [own["verdict"] for own in found] == ["learning_rate_zero"] * 2
    assert [own["findings"] for own in found] == [["learning_rate_zero"], []]
