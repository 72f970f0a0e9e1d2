"""The page, the JSON and its schema, findings as they are found, and output to any console or pipe."""

from __future__ import annotations

import ast
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import jsonschema
import pytest
from data_examples import clip_of, healthy_items, sentence, set_target_text, write_clip, write_items

from tracker_logging import tags
from tracker_logging.cli import main
from tracker_logging.data.sample import Utterance, VoiceSample
from tracker_logging.doctor.data_checks import finding_log
from tracker_logging.doctor.data_checks.losses import loss_findings, losses_by_text
from tracker_logging.doctor.data_checks.record import Clip, record_of
from tracker_logging.doctor.data_checks.report import check_files
from tracker_logging.doctor.data_checks.schema import finding_schema
from tracker_logging.events import Scalars, Table
from tracker_logging.metrics.hard_samples import HIGHEST, SUSPECT
from tracker_logging.metrics.sample_gaps import TEXT_USELESS
from tracker_logging.observers.outputs import HARD_COLUMNS
from tracker_logging.trackers.tensorboard import TensorBoardTracker

SCHEMA = Path(__file__).with_name("check_data_schema_1.json")
HOSTILE = "\x1b[31mred\x07\u202e<script>"
COMMAND = [sys.executable, "-m", "tracker_logging.cli", "check-data"]


def flawed(folder: Path, count: int = 6) -> Path:
    """A file with a silent clip, and texts that are too long for four other clips."""
    items = healthy_items(folder, count)
    write_clip(clip_of(items[0], "target", folder), level=0.0)
    for item in items[1:5]:
        set_target_text(item, "They saw the river and the garden and the window and the harbour. " * 4)
    return write_items(folder / "train.json", items)


def test_the_page_has_numbers_histograms_examples_fixes_and_players(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "pages" / "report.html"
    page.parent.mkdir()
    path = flawed(tmp_path)
    assert main(["check-data", str(path), "--decode", "--html", str(page)]) == 1
    assert "the report as a page" in capsys.readouterr().err
    text = page.read_text(encoding="utf-8")
    report = check_files(path, decode=True)
    assert text.count("<svg") == len(report.summaries[0].histograms) == 4
    for name, hours in report.summaries[0].speaker_hours.items():
        assert re.search(rf"<td>{name}</td><td class=\"number\">3</td><td class=\"number\">{60 * hours:.1f} min", text)
    assert "audio_silent</strong> × 1" in text
    too_long = next(block for block in text.split("<details") if "text_too_long</strong> × 4" in block)
    assert too_long.partition("</details>")[0].count("<tr>") == 3 and "… and 1 more" in too_long
    assert "Fix: Listen to the clip and correct the text or the audio." in too_long
    sources = [html.unescape(source) for source in re.findall(r'<audio [^>]*src="([^"]*)"', text)]
    assert len(sources) >= 4 + 5
    assert all((page.parent / unquote(source)).resolve().is_file() for source in sources)
    assert "<script" not in text


def test_a_histogram_counts_every_target(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 9)
    summary = check_files(write_items(tmp_path / "train.json", items)).summaries[0]
    assert sum(summary.histograms["target_s"].counts) == 9
    assert summary.histograms["target_s"].edges[0] == pytest.approx(2.0)
    assert summary.histograms["target_s"].edges[-1] == pytest.approx(2.06)
    assert summary.language_hours == {"en": pytest.approx(summary.hours)}


@pytest.mark.parametrize("broken", [False, True])
def test_the_json_follows_the_committed_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: bool
) -> None:
    path = tmp_path / "missing.json" if broken else flawed(tmp_path)
    assert main(["check-data", str(path), "--decode", "--json"]) == (2 if broken else 1)
    jsonschema.validate(json.loads(capsys.readouterr().out), json.loads(SCHEMA.read_text()))


def test_the_schema_of_version_1_does_not_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "check-data"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(SCHEMA.read_text())


def test_findings_are_written_when_they_are_found_and_counted_without_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding_log, "MOST", 2)
    lines = tmp_path / "findings.jsonl"
    path = flawed(tmp_path)
    assert main(["check-data", str(path), "--json", "--findings", str(lines)]) == 1
    report = json.loads(capsys.readouterr().out)
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    for finding in written:
        jsonschema.validate(finding, finding_schema())
    assert report["counts"]["text_too_long"] == 4 == sum(one["name"] == "text_too_long" for one in written)
    assert sum(one["name"] == "text_too_long" for one in report["findings"]) == 2
    assert report["left_out"] == len(written) - len(report["findings"]) > 0
    read_while_running: list[int] = []

    def progress(done: int, total: int) -> None:
        read_while_running.append(len(found))

    found: list[str] = []
    items = healthy_items(tmp_path, 5)
    bad = write_items(tmp_path / "bad.json", [*items[:3], {"messages": 3}, *items[3:]])
    check_files(bad, progress=progress, sink=lambda finding: found.append(finding.name))
    assert read_while_running[:4] == [0, 0, 0, 1]


def test_samples_that_were_hard_in_a_training_are_named_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_items(tmp_path / "train.json", healthy_items(tmp_path, 6))
    hard = (
        (SUSPECT, sentence(1).upper(), 2.02, 5.0, 2.0, 6.0, 3, 90, None, None),
        (TEXT_USELESS, sentence(3), None, 3.0, 2.0, 6.0, 3, 80, 0.25, -0.01),
        (HIGHEST, sentence(4), None, 3.0, 2.0, 6.0, 3, 80, None, None),
        (HIGHEST, sentence(2), 3.5, 3.0, 2.0, 6.0, 3, 80, None, None),  # a clip of another length
        (HIGHEST, "Not in the data.", None, 3.0, 2.0, 6.0, 3, 80, None, None),
    )
    tracker = TensorBoardTracker(tmp_path / "run")
    for step, rows in ((40, hard[1:]), (90, hard)):
        tracker.emit(Table(step=step, tag=tags.HARD_SAMPLES(), columns=HARD_COLUMNS, rows=rows))
    tracker.close()
    assert main(["check-data", str(path), "--losses", str(tmp_path / "run"), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    named = [(one["name"], one["level"], one["sample"]) for one in findings]
    suspects = [("loss_suspect", "warning", f"train.json[{row}]") for row in (1, 3)]
    assert named == [*suspects, ("loss_high", "info", "train.json[4]")]
    assert "own text does not help" in findings[1]["seen"]
    assert "reference gap +0.25, text gap -0.01" in findings[1]["seen"]
    assert "nll 5 at step 90 (usual 2, at first 6, measured 3 times)" in findings[0]["seen"]
    assert findings[0]["clip"].endswith("1_target.wav")


def test_a_target_is_found_by_the_words_of_its_references_before_it_and_without_tags(tmp_path: Path) -> None:
    sample = VoiceSample(
        sample_id="a", reference_text="[SPEAKER1] A reference.", reference_audio=tmp_path / "none.wav", origin="a[0]",
        target_text="[SPEAKER1] Good day.", target_audio=tmp_path / "missing.wav",
        more_targets=(Utterance("[SPEAKER2] And to you.", None),),
    )  # fmt: skip
    record = record_of(sample, file="a", header=lambda path: Clip(path=path, identity=1))
    for text in ("Good day.", "Good day. And to you.", "A reference. Good day. And to you."):
        losses = losses_by_text(HARD_COLUMNS, [(HIGHEST, text, None, 3.0, 2.0, 6.0, 3, 80, None, None)])
        assert [finding.name for finding in loss_findings(record, losses)] == ["loss_high"], text
    other = losses_by_text(HARD_COLUMNS, [(HIGHEST, "A reference.", None, 3.0, 2.0, 6.0, 3, 80, None, None)])
    assert list(loss_findings(record, other)) == []


def test_a_run_without_hard_samples_is_a_one_line_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_items(tmp_path / "train.json", healthy_items(tmp_path, 2))
    assert main(["check-data", str(path), "--losses", str(tmp_path / "no run")]) == 2
    tracker = TensorBoardTracker(tmp_path / "run")
    tracker.emit(Scalars(step=1, values={"loss": 2.0}))
    tracker.close()
    assert main(["check-data", str(path), "--losses", str(tmp_path / "run")]) == 2
    assert "the run has no inputs/hard_samples" in capsys.readouterr().err


def test_control_characters_in_names_are_escaped_in_every_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / HOSTILE.replace("/", "")
    items = healthy_items(folder, 4)
    write_clip(clip_of(items[0], "target", folder), seconds=0.05)
    path = write_items(folder / f"{HOSTILE}.json", items)
    page = tmp_path / "page.html"
    assert main(["check-data", str(path), "--html", str(page)]) == 1
    assert main(["check-data", str(folder / f"gone{HOSTILE}.json")]) == 2
    assert main(["check-data", str(path), "--columns", f"audio=a,text=b,{HOSTILE}=c"]) == 2
    assert main(["convert", str(folder / f"gone{HOSTILE}.json"), str(tmp_path / "out.jsonl"), "--to", "chatml"]) == 2
    with pytest.raises(SystemExit):
        main(["check-data", str(path), f"--{HOSTILE}"])
    written = capsys.readouterr()
    for text in (written.out, written.err, page.read_text(encoding="utf-8")):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        assert "\\x1b[31mred" in text


def test_a_console_without_utf8_gets_escapes(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 4)
    set_target_text(items[0], "今天天气很好 " * 20)
    path = write_items(tmp_path / "train.json", items)
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = subprocess.run([*COMMAND, str(path)], env=ascii_only, capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.isascii() and b"\\u4eca\\u5929" in done.stdout


def test_a_reader_that_stops_is_no_error(tmp_path: Path) -> None:
    path = write_items(tmp_path / "train.json", [{"messages": number} for number in range(3_000)])
    with subprocess.Popen([*COMMAND, str(path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def _written(node: ast.expr) -> str:
    """The text of a string expression, {} for what is filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_written(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return _written(node.left) + _written(node.right) if isinstance(node, ast.BinOp) else ""


def test_every_message_about_data_has_a_fix() -> None:
    """A problem, then "; " or ". ", then the fix. Messages that only pass on another one have no words of their own."""
    root = Path(__file__).parents[2] / "tracker_logging" / "data"
    without = []
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
                "DataError",
                "error",
            ):
                message = _written(node.args[-1]) if node.args else ""
                has_words = re.search(r"[a-z]{4}", message)
                if has_words and not re.search(r"[;.] \S", message) and not re.search(r"\{\}\.?$", message):
                    without.append(f"{path.name}:{node.lineno}: {message}")
    assert without == []
