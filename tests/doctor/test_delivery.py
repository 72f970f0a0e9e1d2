"""Findings arrive in every backend, as files beside the run, and once on the console."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctor.small_run import collate, prepared, serious, watched
from read_back import Run, plain, read_jsonl, read_tensorboard, read_wandb

from tracker_logging.doctor.finding import Finding
from tracker_logging.events import Alert, Findings
from tracker_logging.families import IGNORE
from tracker_logging.integrations.hf_trainer import DoctorCallback
from tracker_logging.runs import open_run
from tracker_logging.trackers.findings_file import FindingsFileTracker
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.parts import FINDING_COLUMNS, findings_table

BACKENDS = ("tensorboard", "wandb", "jsonl")
SEEN = "0 % of the first end codes carry a label (chatml/eos_labelled_pct)"


def healing_collator(batches_until_healed: int):  # type: ignore[no-untyped-def]
    """End codes without labels in the first batches."""
    served = iter(range(10**6))

    def spoiling(samples):  # type: ignore[no-untyped-def]
        sound = collate(samples)
        if next(served) < batches_until_healed:
            sound["audio_labels"] = sound["audio_labels"].masked_fill(sound["audio_labels"] == 17, IGNORE)
        return sound

    return spoiling


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, DoctorCallback]]:
    """A run in all backends with a finding that opens at step 1 and heals at step 4."""
    directory = tmp_path_factory.mktemp("delivery") / "run"
    patch = pytest.MonkeyPatch()
    patch.setenv("WANDB_MODE", "offline")
    tracker = open_tracker(BACKENDS, directory=directory, run=RunInfo(name="sick"))
    doctor, _ = watched(directory / "out", tracker=tracker, collate=healing_collator(2), max_steps=5)
    tracker.close()
    assert tracker.errors == 0
    yield directory, doctor
    patch.undo()


@pytest.fixture(scope="module", params=BACKENDS)
def run(request: pytest.FixtureRequest, written: tuple[Path, DoctorCallback]) -> Run:
    read = {"tensorboard": read_tensorboard, "wandb": read_wandb, "jsonl": read_jsonl}[request.param]
    return read(written[0])


def curve(run: Run, tag: str) -> list[tuple[int, float]]:
    return sorted((step, value) for (name, step), value in run.scalars.items() if name == tag)


def test_a_finding_is_a_curve_of_ones_and_zeros(run: Run) -> None:
    assert curve(run, "doctor/finding/end_codes_masked") == [(1, 1), (2, 1), (3, 1), (4, 0), (5, 0)]
    assert curve(run, "doctor/open/error") == [(1, 1), (2, 1), (3, 1), (4, 0), (5, 0)]
    assert {value for _, value in curve(run, "doctor/open/warning")} == {0}
    assert run.doubles == []


def test_the_table_is_logged_when_a_finding_opens_when_it_is_resolved_and_at_the_end(run: Run) -> None:
    tables = {step: text for (tag, step), text in run.texts.items() if tag == "doctor/findings"}
    assert sorted(tables) == [1, 4, 5]
    for text in tables.values():
        assert plain(SEEN) in text
        assert "likely cause" in text and "clips will run on" in text and "label the first end code" in text


def test_an_alert_is_sent_at_the_opening_only(written: tuple[Path, DoctorCallback]) -> None:
    for path in (written[0], next((written[0] / "wandb").glob("*run-*")), written[0] / "record"):
        run = open_run(path)
        assert [alert.step for alert in run.alerts if alert.title == "End codes masked"] == [1], run.source
        assert [(finding.name, finding.until) for finding in run.findings] == [("end_codes_masked", 4)], run.source


def test_the_report_is_written_as_markdown_and_json(written: tuple[Path, DoctorCallback]) -> None:
    directory, doctor = written
    assert serious(doctor.findings) == {"end_codes_masked"}
    report = json.loads((directory / "findings.json").read_text())
    (finding,) = report["findings"]
    assert list(finding) == list(FINDING_COLUMNS)
    assert (report["format"], report["step"]) == (1, 5)
    assert (finding["name"], finding["level"], finding["since"], finding["until"]) == (
        "end_codes_masked",
        "error",
        1,
        4,
    )
    assert finding["seen"] == SEEN
    page = (directory / "findings.md").read_text()
    assert "1 finding up to step 5, 0 still open." in page
    assert "## End codes masked\n\n*error, since step 1, resolved at step 4*" in page
    assert f"- **Measured:** {SEEN}." in page


def test_a_run_without_a_finding_says_so(tmp_path: Path) -> None:
    tracker = FindingsFileTracker(tmp_path / "run")
    tracker.emit(Findings(step=70, findings=()))
    assert "No finding up to step 70." in (tmp_path / "run" / "findings.md").read_text()
    assert json.loads((tmp_path / "run" / "findings.json").read_text())["findings"] == []


def test_the_console_has_one_line_when_a_finding_opens_and_one_when_it_is_resolved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="tracker_logging"):
        watched(tmp_path, collate=healing_collator(2), max_steps=5)
    said = [record for record in caplog.records if "Doctor" in record.message]
    assert [record.levelname for record in said] == ["ERROR", "INFO"]
    assert said[0].message.startswith(f"Doctor, step 1, error: End codes masked: {SEEN}. Label the first end code")
    assert said[1].message == "Doctor, step 4: End codes masked is resolved (open since step 1)."
    assert not any("\n" in record.message for record in said)


def test_a_resumed_training_reports_the_findings_of_its_checkpoint_once_more(tmp_path: Path) -> None:
    """Not as an alert; the file of findings may hold what a training found that was given up."""
    watched(tmp_path, collate=healing_collator(99), max_steps=2, save_strategy="steps", save_steps=2)
    tracker = MemoryTracker()
    _, resumed = prepared(tmp_path, tracker=tracker, collate=healing_collator(99), max_steps=5)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    reports = [event for event in tracker.events if isinstance(event, Findings)]
    assert [report.step for report in reports] == [3, 5]
    assert [[finding.name for finding in report.findings] for report in reports] == [["end_codes_masked"]] * 2
    assert not [event for event in tracker.events if isinstance(event, Alert)]


def test_open_findings_stand_first_in_the_table() -> None:
    words = {"level": "info", "seen": "1", "cause": "", "fix": "", "certainty": "certain"}
    findings = [Finding(name="a", since=1, until=3, **words), Finding(name="b", since=2, **words)]
    assert [row[0] for row in findings_table(Findings(step=9, findings=tuple(findings))).rows] == ["b", "a"]


def test_an_exception_in_the_doctor_is_counted_and_does_not_reach_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker_logging.doctor.doctor.Doctor.examine", lambda _: 1 / 0)
    tracker = MemoryTracker()
    doctor, trainer = watched(tmp_path, tracker=tracker)
    assert trainer.state.global_step == 4
    assert doctor.session.errors >= 3
