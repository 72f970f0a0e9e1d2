"""All commands have one style: help with an example, an exit status, and an error in the first line on stderr."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tracker_logging import __version__
from tracker_logging.cli import build_parser, command_names, main

UNUSABLE = {
    "clips": ["nowhere"],
    "compare": ["nowhere/a", "nowhere/b"],
    "convert": ["nowhere.json", "out.jsonl", "--to", "chatml"],
    "findings": ["nowhere"],
    "get": ["nowhere", "loss"],
    "list": ["nowhere"],
    "mcp": ["nowhere"],
    "mirror": ["nowhere", "memory://a"],
    "open": ["nowhere"],
    "ratings": ["nowhere.json"],
    "replay": ["nowhere", "--to", "tensorboard"],
    "score": ["nowhere"],
    "show": ["nowhere"],
    "sync": ["nowhere"],
    "tail": ["nowhere"],
    "validate": ["--model_path", "nowhere"],
    "voices": ["nowhere", "--data", "nowhere.json", "--audio_tokenizer_path", "nowhere", "-o", "run"],
    "workspace": ["--project", "p", "--run", "nowhere", "--dry-run"],
}


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    (group,) = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(group.choices)


@pytest.mark.parametrize("name", command_names())
def test_the_help_of_a_command_has_an_example(name: str) -> None:
    shown = name.replace("_", "-")
    text = command_parsers()[shown].format_help()
    examples = [line.strip() for line in text.splitlines() if line.strip().startswith(f"tracker-logging {shown}")]
    assert examples, text


def test_no_command_is_left_out() -> None:
    # check-data reports a missing file as a finding; schema takes no argument
    assert set(command_names()) == {*UNUSABLE, "check_data", "schema"}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_failure_is_the_first_line_on_stderr_and_the_status_is_2(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert main([name.replace("_", "-"), *UNUSABLE[name]]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(f"tracker-logging {name.replace('_', '-')}: ")
    assert "Traceback" not in first


@pytest.mark.parametrize(
    "arguments",
    [["show", "run"], ["get", "run", "loss"], ["clips", "run"], ["findings", "run"], ["compare", "run", "run"],
     ["open", "run", "--print"], ["open", "run"], ["tail", "run", "--idle", "0"]],
    ids=lambda arguments: " ".join(arguments),
)  # fmt: skip
@pytest.mark.parametrize("file", ["events.out.tfevents.1.x", "record/events.jsonl"])
def test_a_run_whose_files_cannot_be_read_is_named_and_the_status_is_2(
    arguments: list[str], file: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run" / file
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "gone")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tracker-logging {arguments[0]}: ") and "run" in error and "Traceback" not in error


def test_an_error_of_ours_is_shown_with_its_place_and_the_status_is_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not 1, which says that a run has findings."""

    def broken(place: str) -> None:
        raise RuntimeError(f"broken on purpose: {place}")

    monkeypatch.setattr("tracker_logging.commands.list.list_runs", broken)
    assert main(["list", "here"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "tracker-logging list: RuntimeError: broken on purpose: here"
    assert lines[1].startswith("Traceback") and any("in broken" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-command"], "tracker-logging: argument COMMAND: invalid choice: 'no-such-command'"),
        ([], "tracker-logging: the following arguments are required: COMMAND"),
        (["open"], "tracker-logging open: the following arguments are required: RUN"),
        (["compare", "a", "b", "--max-mb", "much"], "tracker-logging compare: argument --max-mb: invalid"),
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(
    arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message) and line.endswith("--help")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("argv", [["check-data", "rows.jsonl"], ["list", "."]])
def test_a_command_that_needs_no_model_imports_no_torch(argv: list[str], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"audio": "a.wav", "text": "Good morning."}\n')
    code = (
        f"import sys; from tracker_logging.cli import main; main({argv!r});"
        "print([name for name in ('torch', 'transformers', 'onnxruntime', 'wandb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
