"""The command: exit status, text, JSON, listening sheet, and the check before training."""

from __future__ import annotations

import html
import json
import logging
import shlex
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from data_examples import clip_of, healthy_items, sentence, set_target_text, write_clip, write_items

from tracker_logging.cli import main
from tracker_logging.data.formats import read_samples
from tracker_logging.data.formats.columns import parse_columns
from tracker_logging.data.references import Pairing
from tracker_logging.demo.composed.recipe import DEMO_RECIPE
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.doctor.data_checks import before_training
from tracker_logging.doctor.data_checks.before_training import MOST_SAMPLES, look_at_data
from tracker_logging.doctor.data_checks.listening_sheet import sheet_rows
from tracker_logging.doctor.data_checks.pace import Positions, read_positions
from tracker_logging.doctor.data_checks.reading import ReadingOptions
from tracker_logging.doctor.data_checks.report import check_files
from train_v2_ddp import build_parser, reading_options
from train_v2_ddp import main as train_main


def test_the_demo_is_healthy(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = DemoPaths(demo)
    argv = ["check-data", str(paths.train), "--eval", str(paths.eval), "--model_path", str(paths.model)]
    assert main([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one for one in found["findings"] if one["level"] != "info"] == []
    train, evaluation = found["summaries"]
    rows = DEMO_RECIPE.max_steps * DEMO_RECIPE.per_device_train_batch_size
    assert (train["read"], train["usable"], len(train["speakers"]), train["languages"]) == (rows, rows, 6, {"en": rows})
    assert (evaluation["read"], evaluation["usable"]) == (24, 24)
    assert 1.0 < train["target_s"]["smallest"] <= train["target_s"]["median"] <= train["target_s"]["largest"] < 6.0
    assert 8 < train["letters_per_s"]["median"] < 20
    assert train["hours"] * 3600 == pytest.approx(rows * train["target_s"]["median"], rel=0.2)


def test_the_demo_is_healthy_when_it_is_decoded(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-data", str(DemoPaths(demo).eval), "--decode"]) == 0
    assert "No problem found." in capsys.readouterr().out


def test_the_text_report_has_place_field_evidence_and_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = healthy_items(tmp_path, 4)
    items[2]["misc"]["target_transcript"] = "They saw the"
    assert main(["check-data", str(write_items(tmp_path / "train.json", items))]) == 1
    said = capsys.readouterr()
    assert "ERROR text_cut × 1" in said.out
    line = next(line for line in said.out.splitlines() if "train.json[2]" in line)
    assert "target text" in line
    assert 'read: "They saw the"; the instruction: "They saw the window beside a river."' in line
    assert "Fix: Write the whole text in both places." in said.out
    assert said.out.rstrip().endswith("Findings: 1 error.")
    assert said.err == ""  # no progress where nobody looks at it


def test_the_summary_shortens_long_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = healthy_items(tmp_path, 4)
    for one in items[:2]:
        one["speaker"] = "x" * 50
    assert main(["check-data", str(write_items(tmp_path / "train.json", items))]) == 0
    said = capsys.readouterr().out
    assert "4 samples, 4 usable, 0.1 min of targets" in said
    assert f"  speakers               3: {'x' * 39}… (2), speaker0 (1), speaker1 (1)" in said
    assert "target, seconds        2.00 least, 2.00 (5 %), 2.02 median, 2.03 (95 %), 2.03 most" in said


def test_progress_is_reported_for_reading_and_decoding(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = write_items(tmp_path / "train.json", healthy_items(tmp_path, 3))
    check_files(path, decode=True, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3), *((done, 6) for done in range(1, 7))]


def test_many_places_are_shortened_in_text_and_complete_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = healthy_items(tmp_path, 14)
    for one in items:
        one["misc"]["target_transcript"] = "They saw"
    path = str(write_items(tmp_path / "train.json", items))
    assert main(["check-data", path]) == 1
    assert "… and 4 more (--json, --findings)" in capsys.readouterr().out
    assert main(["check-data", path, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["text_cut"] == 14
    assert {one["sample"] for one in found["findings"]} == {f"train.json[{number}]" for number in range(14)}
    assert found["exit_code"] == 1


def test_a_wrong_model_path_is_a_one_line_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_items(tmp_path / "train.json", healthy_items(tmp_path, 1))
    for content in (None, "{", "[]", '{"model_type": "llama"}'):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        assert main(["check-data", str(path), "--model_path", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("tracker-logging check-data: --model_path")
        assert "config.json" in said


def test_the_capacity_of_a_model_is_read_from_its_config(tmp_path: Path) -> None:
    config = {"model_type": "higgs_audio_v2", "max_position_embeddings": 2048}
    for codebooks in ({"num_codebooks": 8}, {}):
        (tmp_path / "config.json").write_text(json.dumps(config | codebooks))
        assert read_positions(tmp_path) == Positions(2048, 25.0, codebooks.get("num_codebooks", 0))


class Page(HTMLParser):
    """Players' sources, and the tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]


def test_the_listening_sheet_plays_the_outliers_and_escapes_their_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)>\x1b[31m"
    items = healthy_items(tmp_path, 4)
    odd = 'clips/a "b"<i>%41#?.wav'
    write_clip(tmp_path / odd, seconds=0.4)
    items[1]["messages"][2]["content"][0]["audio_url"] = odd
    set_target_text(items[1], hostile)
    sheet = tmp_path / "sheets" / "out.html"
    sheet.parent.mkdir()
    path = write_items(tmp_path / "train.json", items)
    assert main(["check-data", str(path), "--html", str(sheet)]) == 1
    said = capsys.readouterr()
    text = sheet.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.tags & {"script", "img", "i"}
    assert "text_too_long" in text
    assert html.escape("<script>alert(1)</script>") in text
    assert "\x1b" not in text + said.out
    played = [(sheet.parent / unquote(source)).resolve() for source in page.sources]
    assert (tmp_path / odd).resolve() in played
    assert all(clip.is_file() for clip in played)
    assert {clip_of(one, "target", tmp_path).resolve() for one in items} <= set(played)


def test_the_listening_sheet_has_each_outlier_once_and_the_five_slowest_and_fastest(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 12)
    for one in items[:2]:
        one["messages"][1]["content"][1] = items[0]["messages"][1]["content"][1]
    write_clip(clip_of(items[0], "reference", tmp_path), rate=8_000)
    report = check_files(write_items(tmp_path / "train.json", items))
    assert [own.name for own in report.findings].count("rate_low") == 2
    why = Counter(row.why for row in sheet_rows(report))
    assert (why["rate_low"], why["slowest"], why["fastest"]) == (1, 5, 5)


def test_a_listening_sheet_in_a_missing_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_items(tmp_path / "train.json", healthy_items(tmp_path, 1))
    assert main(["check-data", str(path), "--html", str(tmp_path / "none" / "out.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_command_returns_its_exit_status(tmp_path: Path) -> None:
    path = write_items(tmp_path / "train.json", healthy_items(tmp_path, 2))
    command = [sys.executable, "-m", "tracker_logging.cli", "check-data"]
    clean = subprocess.run([*command, str(path)], capture_output=True, text=True)
    assert (clean.returncode, clean.stderr) == (0, "")
    gone = subprocess.run([*command, str(tmp_path / "gone.json")], capture_output=True, text=True)
    assert (gone.returncode, gone.stderr) == (2, "")
    assert "file_missing" in gone.stdout


def test_nothing_is_decoded_without_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a clip was decoded")

    monkeypatch.setattr("soundfile.SoundFile.read", refuse)
    assert main(["check-data", str(write_items(tmp_path / "train.json", healthy_items(tmp_path, 4)))]) == 0


def test_training_starts_with_counts_of_findings_and_the_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = healthy_items(tmp_path, 4)
    write_clip(clip_of(items[3], "target", tmp_path), seconds=0.5)
    path = write_items(tmp_path / "train.json", items)
    samples = read_samples(path)
    with caplog.at_level(logging.INFO):
        look_at_data(samples[:3], [], file=path)
    assert "no problem found in 3 training samples (headers only)" in caplog.text
    caplog.clear()
    look_at_data(samples, samples[:1], file=path, model_path="a model")
    assert "error × 1 text_too_long, such as train.json[3]" in caplog.text
    assert "error × 1 leak_target" in caplog.text
    assert f"tracker-logging check-data {path} --model_path 'a model'" in caplog.text


def test_only_rank_0_logs_and_a_failing_check_does_not_stop_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_items(tmp_path / "train.json", healthy_items(tmp_path, 2))
    samples = read_samples(path)
    monkeypatch.setattr(before_training, "dataset_findings", None)
    look_at_data(samples, [], file=path)
    assert "The data could not be checked (TypeError" in caplog.text
    assert "Training goes on" in caplog.text
    caplog.clear()
    monkeypatch.setenv("RANK", "1")
    look_at_data(samples, [], file=path)
    assert caplog.text == ""


def test_a_large_data_set_is_sampled_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_items(tmp_path / "train.json", healthy_items(tmp_path, 2))
    samples = read_samples(path) * 5_000
    look_at_data(samples, [], file=path)
    assert f"{MOST_SAMPLES:,} of 10,000 training samples" in caplog.text


def test_the_training_script_checks_its_data_before_it_loads_a_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    items = healthy_items(tmp_path, 4)
    write_clip(clip_of(items[3], "target", tmp_path), seconds=0.5)
    data = ["--train_data_file", str(write_items(tmp_path / "train.json", items)), "--disable_eval"]
    missing = str(tmp_path / "no-model-there")
    with caplog.at_level(logging.INFO):
        assert train_main(["--model_path", missing, "--audio_tokenizer_path", missing, *data]) == 2
    assert "error × 1 text_too_long, such as train.json[3]" in caplog.text
    assert "no-model-there" in capsys.readouterr().err


def plain_corpus(folder: Path) -> Path:
    """A table whose column names nobody knows: three clips of a speaker, one of another."""
    rows = ["datei,satz,wer"]
    for number, speaker in enumerate(("slt", "slt", "slt", "awb")):
        write_clip(folder / f"clips/{number}.wav", seconds=2.0 + number / 10, seed=number)
        rows.append(f"clips/{number}.wav,{sentence(number)},{speaker}")
    path = folder / "corpus.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_columns_and_pairs_are_read_as_training_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = plain_corpus(tmp_path)
    columns = "audio=datei,text=satz,speaker=wer"
    assert main(["check-data", str(path), "--columns", columns, "--json"]) == 1
    read = json.loads(capsys.readouterr().out)
    assert (read["summaries"][0]["usable"], read["counts"]["reference_missing"]) == (4, 4)
    assert main(["check-data", str(path), "--columns", columns, "--pair_references", "--seed", "7", "--json"]) == 1
    paired = json.loads(capsys.readouterr().out)
    assert (paired["counts"]["reference_missing"], paired["counts"]["speaker_without_reference"]) == (1, 1)
    report = check_files(path, options=ReadingOptions(columns=parse_columns(columns), pairing=Pairing(seed=7)))
    trained = read_samples(path, columns=parse_columns(columns), pairing=Pairing(seed=7))
    assert [record.sample for record in report.records] == trained


def test_a_wrong_role_in_columns_is_a_one_line_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-data", str(plain_corpus(tmp_path)), "--columns", "sound=datei"]) == 2
    assert capsys.readouterr().err.startswith("tracker-logging check-data: --columns sound=datei: not a role")


def test_the_command_that_training_names_reads_the_same_samples(tmp_path: Path) -> None:
    argv = ["--train_data_file", "a.csv", "--columns", "audio=x,text=y", "--pair_references", "--allow_download"]
    options = reading_options(build_parser().parse_args(argv))
    assert shlex.split(before_training.command(Path("a.csv"), eval_file=None, model_path=None, options=options))[
        3:
    ] == [*("--columns", "audio=x,text=y", "--pair_references", "--seed", "42", "--allow_download")]
