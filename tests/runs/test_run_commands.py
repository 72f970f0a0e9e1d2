"""`list`, `show`, `get`, `findings`, `clips` and `tail`: what they print for people, and what they promise programs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile
from tracker_examples import comparison, finding

from tracker_logging.cli import main
from tracker_logging.commands.base import print_paragraph, print_table
from tracker_logging.events import Alert, Findings, Scalars, Table, Text
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.runs.as_json import json_schema
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker

SCHEMA = Path(__file__).with_name("schema_2.json")
DEADLINE_S = 90.0
SIM = {0: 0.2, 100: 0.75, 200: 0.5}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: `good` (TensorBoard) and `sick` (JSON lines) with voices and findings, `bare` with one number."""
    place = tmp_path_factory.mktemp("place")
    for name, backend, gain in (("good", "tensorboard", 0.1), ("sick", "jsonl", 0.0)):
        tracker = open_tracker([backend], directory=place / name, run=RunInfo(name=name, config={"lr": 0.5}))
        for step, value in SIM.items():
            values = {"voices/sim_o/mean": value + gain, "inputs/padding_pct": 3.0, "train/loss": float("nan")}
            tracker.emit(Scalars(step=step, values=values))
            tracker.emit(replace(comparison(step), scores={"sim_o": value + gain}))
        tracker.emit(Text(step=200, tag="outputs/texts", text="words\nand more"))
        rows = (("a", 1), ("b", None))
        tracker.emit(Table(step=200, tag="voices/table", columns=("voice", "n"), rows=rows))
        tracker.emit(Alert(step=100, level="info", title="Note", text="Read me."))
        levels = ("error",) if name == "sick" else ("info",)
        tracker.emit(Findings(step=200, findings=tuple(finding(level=level) for level in levels)))  # type: ignore[arg-type]
        tracker.close()
        assert tracker.errors == 0
    bare = TensorBoardTracker(place / "deep" / "bare")
    bare.emit(Scalars(step=7, values={"x": float("inf")}))
    bare.close()
    return place


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> dict[str, Any]:
    """The printed JSON, which must be strict and follow the committed schema."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads(printed(capsys, *arguments, "--json", status=status), parse_constant=refuse)
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    assert isinstance(content, dict)
    return content


def test_the_schema_of_version_2_does_not_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, "schema")) == json.loads(SCHEMA.read_text()), (
        "A field of the JSON output changed. Programs rely on version 2: raise VERSION in runs/as_json.py, commit the "
        "new schema beside the old one, and record the change in CHANGELOG.md."
    )
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_list_names_the_runs_at_any_depth(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "list", place).splitlines()
    assert [line.split()[0] for line in lines] == ["run", "deep/bare", "good", "sick"]
    runs = document(capsys, "list", place)["runs"]
    assert [(run["name"], run["sources"]) for run in runs] == [
        ("deep/bare", ["TensorBoard"]),
        ("good", ["TensorBoard", "voices folder"]),
        ("sick", ["JSON lines", "voices folder"]),
    ]
    assert document(capsys, "list", place / "good" / "voices")["runs"] == []


def test_show_gives_base_best_and_last_on_one_screen(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(capsys, "show", place / "good").splitlines()
    assert lines[0] == "good: last step 200, 1 voice, 3 generated clips (read from TensorBoard)"
    score = next(line.split() for line in lines if line.startswith("voices/sim_o/mean"))
    assert score == ["voices/sim_o/mean", "cosine", "0.3", "@", "0", "0.85", "@", "100", "0.6", "@", "200"]
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    shown = document(capsys, "show", place / "good")
    assert shown["summary"]["voices/sim_o/mean"] == {
        "unit": "cosine",
        "better": "higher",
        "base": pytest.approx(0.3),
        "base_step": 0,
        "best": pytest.approx(0.85),
        "best_step": 100,
        "last": pytest.approx(0.6),
        "last_step": 200,
    }
    assert shown["summary"]["train/loss"]["last"] == "NaN"
    assert shown["settings"] == {"lr": 0.5}
    voice = {"id": "rms_03", "speaker": "rms", "language": None, "group": "trained", "steps": [0, 100, 200]}
    assert shown["voices"] == [voice]
    assert "voices/table" in shown["tags"]["tables"] and "inputs/padding_pct" in shown["tags"]["scalars"]


def test_a_setting_that_is_not_finite_is_shown_in_strict_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TensorBoardTracker(tmp_path / "old", config={"max_grad_norm": float("inf"), "floor": float("nan")}).close()
    assert document(capsys, "show", tmp_path / "old")["settings"] == {"floor": "NaN", "max_grad_norm": "Infinity"}


def test_show_begins_with_the_scores_that_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("voices/dnsmos_ovrl/mean", "voices/sim_o/mean", "conditioning/gap/mean", "voices/spk_top1", "train/loss")
    tracker = JsonLinesTracker(tmp_path / "run")
    tracker.emit(Scalars(step=1, values=dict.fromkeys(names, 0.5)))
    tracker.close()
    assert main(["show", str(tmp_path / "run")]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:-1]]
    first = ["voices/spk_top1", "voices/sim_o/mean", "conditioning/gap/mean", "train/loss"]
    assert shown == [*first, "voices/dnsmos_ovrl/mean"]


def test_a_wide_table_cuts_its_widest_column_and_keeps_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"sweep/{'x' * 90}/run-{number:03}", "2026-11-29T01:53:42Z", "TensorBoard, voices") for number in (1, 2)]
    print_table(("run", "last written", "readable from"), rows, width=80)
    head, first, second = capsys.readouterr().out.splitlines()
    assert max(map(len, (head, first, second))) <= 80
    assert first.startswith("sweep/xxx") and first.endswith("/run-001  2026-11-29T01:53:42Z  TensorBoard, voices")
    assert "/run-002  " in second


def test_findings_are_broken_at_spaces_on_a_terminal_and_whole_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Measured: " + "some words " * 20 + "(voices/between_speaker)."
    print_paragraph(text, indent="  ")
    assert capsys.readouterr().out == f"  {text}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    print_paragraph(text, indent="  ")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60 and all(line.startswith("  ") for line in lines)
    assert " ".join(line.strip() for line in lines) == text


def test_show_gives_the_similarity_of_each_group_trained_ones_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tracker = JsonLinesTracker(tmp_path / "run")
    for step, trained, unseen in ((0, 0.1, 0.3), (100, 0.4, 0.35), (200, 0.5, 0.2)):
        margins = {"unseen_real/sim_margin": unseen, "trained/sim_margin": trained, "trained/sim_margin/low": 0.0}
        tracker.emit(Scalars(step=step, values={f"voices/group/{name}": value for name, value in margins.items()}))
    tracker.close()
    lines = printed(capsys, "show", tmp_path / "run").splitlines()
    rows = [" ".join(line.split()) for line in lines if "group" in line]
    assert rows == [
        "voices/group/trained/sim_margin cosine 0.1 @ 0 0.5 @ 200 0.5 @ 200",
        "voices/group/unseen_real/sim_margin cosine 0.3 @ 0 0.35 @ 100 0.2 @ 200",
    ]


def test_show_names_what_was_lost_and_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracker = JsonLinesTracker(tmp_path)
    tracker.emit(Scalars(step=1, values={"tracker/errors": 2.0, "tracker/dropped_events": 0.0}))
    tracker.close()
    with (tmp_path / "record/events.jsonl").open("a") as file:
        file.write("{broken}\n")
    text = printed(capsys, "show", tmp_path)
    assert "Lost by logging: errors 2." in text and "Cannot be read: events.jsonl line 3 is not JSON" in text
    shown = document(capsys, "show", tmp_path)
    assert shown["losses"] == {"errors": 2.0, "dropped_events": 0.0, "missing": None}
    assert len(shown["problems"]) == 1


def test_get_prints_scalars_as_a_table_and_texts_and_tables_below(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, "get", place / "sick", "voices/sim_o/*", "train/loss", "voices/table", "outputs/texts")
    assert text.splitlines() == [
        "step  voices/sim_o/mean  train/loss",
        "0     0.2                nan",
        "100   0.75               nan",
        "200   0.5                nan",
        "",
        "voices/table, step 200",
        "voice  n",
        "a      1",
        "b",
        "",
        "outputs/texts, step 200",
        "words",
        "and more",
    ]
    tags = document(capsys, "get", place / "sick", "voices/sim_o/*", "train/loss", "voices/table", "outputs/texts")[
        "tags"
    ]
    assert tags["voices/sim_o/mean"] == {
        "kind": "scalar",
        "unit": "cosine",
        "points": [[0, 0.2], [100, 0.75], [200, 0.5]],
    }
    assert tags["train/loss"]["points"][0] == [0, "NaN"]
    assert tags["voices/table"] == {
        "kind": "table",
        "tables": [{"step": 200, "columns": ["voice", "n"], "rows": [["a", 1], ["b", None]]}],
    }
    assert tags["outputs/texts"]["texts"] == [{"step": 200, "text": "words\nand more"}]


def test_get_since_leaves_out_earlier_steps(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tags = document(capsys, "get", place / "sick", "voices/sim_o/mean", "--since", "100")["tags"]
    assert tags["voices/sim_o/mean"]["points"] == [[100, 0.75], [200, 0.5]]
    assert document(capsys, "get", place / "deep/bare", "x")["tags"]["x"]["points"] == [[7, "Infinity"]]


def test_get_of_an_unknown_tag_proposes_similar_ones(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", str(place / "good"), "voices/sim_0/mean"]) == 2
    assert "Similar tags: voices/sim_o/mean" in capsys.readouterr().err


def test_findings_exits_with_1_for_an_open_problem(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "findings", place / "sick", status=1)
    assert "No gradient (error, since step 1, open)" in text and "What to do: a fix." in text and "Read me." in text
    (row,) = document(capsys, "findings", place / "sick", status=1)["findings"]
    assert (row["name"], row["level"], row["since"], row["until"]) == ("no_gradient", "error", 1, None)
    assert document(capsys, "findings", place / "good")["alerts"][0]["title"] == "Note"
    assert printed(capsys, "findings", place / "deep/bare") == "bare: no findings.\n"


def test_clips_are_copied_as_they_were_logged(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = document(capsys, "clips", place / "good", "--step", "100", "-o", tmp_path)["clips"]
    assert [(row["voice"], row["name"], row["step"]) for row in rows] == [("rms_03", "generated", 100)]
    assert rows[0]["scores"] == {"sim_o": pytest.approx(0.85)}
    copy = Path(rows[0]["written"])
    assert copy == tmp_path / "rms_03" / "step-00000100.flac"
    samples, rate = soundfile.read(copy, dtype="int16")
    assert rate == 24_000
    assert np.array_equal(samples, to_pcm16(comparison(100).clips["generated"].samples))
    assert rows[0]["seconds"] == pytest.approx(len(samples) / 24_000)


def test_clips_inside_an_event_file_are_copied_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracker = TensorBoardTracker(tmp_path / "run")
    tracker.emit(comparison(5))
    tracker.close()
    rows = document(capsys, "clips", tmp_path / "run", "-o", tmp_path / "out")["clips"]
    assert [(row["name"], row["step"], row["file"]) for row in rows] == [
        ("reference", None, None),
        ("target", None, None),
        ("codec", None, None),
        ("generated", 5, None),
    ]
    samples, _ = soundfile.read(rows[3]["written"], dtype="int16")
    assert np.array_equal(samples, to_pcm16(comparison(5).clips["generated"].samples))
    assert "in the event file" in printed(capsys, "clips", tmp_path / "run")


def test_clips_of_an_unknown_voice_or_step_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--voice", "nobody"], "has no voice 'nobody'. It has: rms_03."),
        (["--step", "3"], "has no clips of step 3."),
    ):
        assert main(["clips", str(place / "good"), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_a_clip_whose_file_is_gone_is_reported_and_the_status_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = JsonLinesTracker(tmp_path / "run")
    tracker.emit(comparison(5))
    tracker.close()
    next((tmp_path / "run/record/media").glob("*generated*")).unlink()
    rows = document(capsys, "clips", tmp_path / "run", "-o", tmp_path / "out", status=1)["clips"]
    assert [row["written"] is None for row in rows] == [False, False, False, True]
    assert rows[3]["seconds"] is None


@pytest.fixture
def tailing(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Any, subprocess.Popen[str]]]:
    """A run that is being written, and a `tail --json` of it that has read what was there."""
    tracker = request.param(tmp_path / "run")
    tracker.emit(Scalars(step=1, values={"train/loss": 4.0}))
    command = [sys.executable, "-m", "tracker_logging.cli", "tail", str(tmp_path / "run"), "--since", "0"]
    process = subprocess.Popen(
        [*command, "--json", "--interval", "0.05", "--idle", "20"], stdout=subprocess.PIPE, text=True
    )
    yield tracker, process
    process.kill()
    process.wait()
    tracker.close()


@pytest.mark.parametrize("tailing", [TensorBoardTracker, JsonLinesTracker], indirect=True)
def test_tail_prints_what_is_written_while_it_runs(tailing: tuple[Any, subprocess.Popen[str]]) -> None:
    tracker, process = tailing
    assert process.stdout is not None
    lines: list[str] = []
    output = process.stdout
    reader = threading.Thread(target=lambda: lines.extend(iter(output.readline, "")), daemon=True)
    reader.start()
    wait_for(lambda: len(lines) == 1)
    tracker.emit(Scalars(step=2, values={"train/loss": float("nan"), "inputs/padding_pct": 1.0}))
    tracker.emit(Alert(step=2, level="error", title="Loss is NaN", text="Lower the rate."))
    wait_for(lambda: len(lines) == 3)
    rows = [json.loads(line) for line in lines]
    schema = json.loads(SCHEMA.read_text())
    for row in rows:
        jsonschema.validate(row, schema)
    assert [(row["step"], row["kind"], row["tag"], row["value"]) for row in rows] == [
        (1, "scalar", "train/loss", 4.0),
        (2, "scalar", "train/loss", "NaN"),
        (2, "alert", "Loss is NaN", "Lower the rate."),
    ]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def test_tail_ends_when_nothing_comes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "tail", place / "good", "voices/*", "--since", "100", "--interval", "0.01", "--idle", "0.05")
    assert text.splitlines() == [
        "step 100  voices/sim_o/mean  0.85",
        "step 200  voices/sim_o/mean  0.6",
        "step 100  Note  Read me.",
    ]


def test_a_script_answers_its_questions_from_json_alone(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which run is best, is anything wrong, and the best clip of each voice: from documented fields only."""
    shown = {run["name"]: document(capsys, "show", run["path"]) for run in document(capsys, "list", place)["runs"]}
    scored = {name: run["summary"]["voices/sim_o/mean"]["best"] for name, run in shown.items() if run["summary"]}
    best = max((name for name in scored), key=lambda name: scored[name])
    assert best == "good"
    wrong = {
        name
        for name, run in shown.items()
        if any(f["until"] is None and f["level"] == "error" for f in run["findings"])
    }
    assert wrong == {"sick"}
    clips = [clip for clip in document(capsys, "clips", shown[best]["path"])["clips"] if clip["name"] == "generated"]
    winner = max(clips, key=lambda clip: clip["scores"]["sim_o"])
    assert winner["step"] == 100
    copied = document(
        capsys, "clips", shown[best]["path"], "--voice", winner["voice"], "--step", winner["step"], "-o", tmp_path
    )
    assert Path(copied["clips"][0]["written"]).is_file()
