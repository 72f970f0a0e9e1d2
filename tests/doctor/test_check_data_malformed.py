"""On malformed input `check-data` reports the fault and exits with a status, never with a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from data_examples import healthy_items, sentence, write_items
from malformed import BROKEN, FLAWED, MALFORMED, SAMPLES

from tracker_logging.cli import main
from tracker_logging.doctor.data_checks.checks import Place
from tracker_logging.doctor.data_checks.structure import structure_findings


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_has_its_finding_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make, finding, status = MALFORMED[name]
    path = make(tmp_path)
    assert main(["check-data", str(path), "--decode", "--json"]) == status
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert finding in found["counts"], found["counts"]
    assert said.err == ""
    assert all(one["seen"] and one["fix"] for one in found["findings"])
    if finding.startswith("file_"):
        assert found["counts"] == {finding: 1}
    if status == FLAWED and finding not in ("sample_refused", "audio_missing"):
        assert {one["sample"] for one in found["findings"] if one["name"] == finding} == {"train.json[0]"}

    assert main(["check-data", str(path), "--decode", "--html", str(tmp_path / "out.html")]) == status
    said = capsys.readouterr()
    assert finding in said.out
    assert "Traceback" not in said.out + said.err


def test_there_are_at_least_sixty_malformed_files() -> None:
    assert len(MALFORMED) >= 60


@pytest.mark.parametrize("name", SAMPLES)
def test_the_healthy_samples_beside_a_malformed_one_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["check-data", str(SAMPLES[name][0](tmp_path)), "--json"]) < BROKEN
    found = json.loads(capsys.readouterr().out)
    assert found["summaries"][0]["usable"] >= 2


@pytest.mark.parametrize("name", ["a deep sample", "a link to itself", "an escape sequence in the text"])
def test_the_command_in_its_own_process_exits_with_a_status(tmp_path: Path, name: str) -> None:
    make, finding, status = MALFORMED[name]
    command = [sys.executable, "-m", "tracker_logging.cli", "check-data", str(make(tmp_path))]
    ended = subprocess.run(command, capture_output=True, text=True, env=None)
    assert (ended.returncode, ended.stderr) == (status, "")
    assert finding in ended.stdout
    assert "\x1b" not in ended.stdout


def test_a_lone_surrogate_in_a_text_can_be_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = healthy_items(tmp_path, 3)
    items[0]["misc"]["target_transcript"] = "They saw the river \ud800 today."
    assert main(["check-data", str(write_items(tmp_path / "train.json", items))]) == 1
    assert capsys.readouterr().out.isprintable() is False  # line ends
    assert main(["check-data", str(tmp_path / "train.json"), "--json"]) == 1
    capsys.readouterr().out.encode("utf-8")


def test_non_finite_numbers_in_the_data_do_not_end_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = healthy_items(tmp_path, 3)
    items[0]["misc"]["duration"] = float("nan")
    items[0]["odd"] = [float("inf"), {"deep": None}]
    assert main(["check-data", str(write_items(tmp_path / "train.json", items)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"unknown_key": 1}


def test_one_broken_json_line_is_reported_and_the_others_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps(one) for one in healthy_items(tmp_path, 3)]
    (tmp_path / "train.jsonl").write_text("\n".join([lines[0], lines[1][:50], *lines[1:]]))
    assert main(["check-data", str(tmp_path / "train.jsonl"), "--json"]) == FLAWED
    found = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["sample"]) for one in found["findings"]] == [("sample_refused", "train.jsonl[1]")]
    assert found["findings"][0]["fix"] == "Write the line again."
    assert found["summaries"][0]["usable"] == 3


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(healthy_items(tmp_path, 3)).encode())
    assert main(["check-data", str(tmp_path / "train.json")]) == 0


def test_other_formats_are_checked_by_the_same_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = healthy_items(tmp_path, 3)
    rows = ["ref_audio_path,ref_transcript,target_audio_path,target_transcript"]
    for number, one in enumerate(items):
        reference, target = (f"clips/{number}_{role}.wav" for role in ("reference", "target"))
        rows.append(f"{reference},{one['misc']['ref_transcript']},{target},{one['misc']['target_transcript']}")
    rows[1] = f"clips/0_reference.wav,{sentence(60)},clips/0_reference.wav,…"
    (tmp_path / "pairs.csv").write_text("\n".join(rows), encoding="utf-8")
    assert main(["check-data", str(tmp_path / "pairs.csv"), "--json"]) == FLAWED
    found = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["sample"] for one in found["findings"] if one["level"] != "info"} == {
        "text_without_words": "pairs.csv[0]",
        "target_is_reference": "pairs.csv[0]",
        "clip_with_two_texts": "pairs.csv[0]",
    }


@pytest.mark.parametrize(("clips", "seen"), [(["a.wav", "b.wav"], []), (["a.wav"], ["2 placeholders for 1 clips"])])
def test_clips_in_a_separate_list_are_compared_with_the_placeholders(clips: list[str], seen: list[str]) -> None:
    messages = [{"role": "user", "content": "<audio> Hello."}, {"role": "assistant", "content": "<audio>"}]
    found = structure_findings(Place("train.json"), {"messages": messages, "audios": clips})
    assert [(own.name, own.seen) for own in found] == [("placeholders_differ", one) for one in seen]


def test_a_malformed_evaluation_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write_items(tmp_path / "train.json", healthy_items(tmp_path, 3))
    (tmp_path / "eval.json").write_text("{")
    assert main(["check-data", str(train), "--eval", str(tmp_path / "eval.json")]) == 2
    assert "eval.json" in capsys.readouterr().out
