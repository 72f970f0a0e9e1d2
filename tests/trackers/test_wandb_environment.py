"""The user's W&B environment wins over our defaults. Each run is a process: W&B reads its environment once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_wandb_server import Server
from tracker_logging.dashboards.open_run import where_to_look

from tracker_logging.trackers.registry import check_backends
from tracker_logging.trackers.wandb_record import history, records, run_directories

_SCRIPT = """
import sys
from pathlib import Path
from tracker_logging.events import Scalars
from tracker_logging.trackers.open import RunInfo, open_tracker
arguments = eval(sys.argv[2])
tracker = open_tracker(["wandb"], directory=Path(sys.argv[1]), run=RunInfo(**arguments))
tracker.emit(Scalars(step=1, values={"a": 1.0}))
tracker.close()
print("errors", tracker.errors)
"""


def run_script(
    directory: Path, script: str = _SCRIPT, *, run: str = "{}", **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_MODE": "offline", "PYTHONPATH": str(Path(__file__).parents[2])} | variables
    path = directory.parent / "training_script.py"
    path.write_text(script)
    command = [sys.executable, path, directory, run]
    return subprocess.run(
        command, env=environment, cwd=directory.parent, capture_output=True, text=True, timeout=240, check=False
    )


def run_record(directory: Path) -> dict:
    (run,) = run_directories(directory)
    return next(record["run"] for record in records(run) if record["type"] == "run")


CHOSEN = {
    "WANDB_PROJECT": "my-project",
    "WANDB_NAME": "my-name",
    "WANDB_ENTITY": "my-team",
    "WANDB_TAGS": "a,b",
    "WANDB_RUN_GROUP": "my-group",
    "WANDB_JOB_TYPE": "my-job",
    "WANDB_NOTES": "my notes",
    "WANDB_RUN_ID": "myrunid1",
}


@pytest.mark.setting("Environment", "`WANDB_PROJECT`, `WANDB_NAME`, …", "used")
def test_the_environment_wins_over_our_defaults(tmp_path: Path) -> None:
    done = run_script(tmp_path / "run", **CHOSEN)
    assert "errors 0" in done.stdout, done.stderr
    record = run_record(tmp_path / "run")
    names = ("project", "display_name", "entity", "tags", "run_group", "job_type", "notes", "run_id")
    assert {name: record.get(name) for name in names} == {
        "project": "my-project",
        "display_name": "my-name",
        "entity": "my-team",
        "tags": ["a", "b"],
        "run_group": "my-group",
        "job_type": "my-job",
        "notes": "my notes",
        "run_id": "myrunid1",
    }


def test_an_explicit_argument_wins_over_the_environment_and_without_either_there_is_a_default(tmp_path: Path) -> None:
    run_script(tmp_path / "a", run="dict(name='explicit', project='given')", **CHOSEN)
    record = run_record(tmp_path / "a")
    assert (record["project"], record["display_name"], record["entity"]) == ("given", "explicit", "my-team")
    run_script(tmp_path / "b")
    record = run_record(tmp_path / "b")
    assert (record["project"], record["display_name"]) == ("voice-cloning", "b")


FILED = "dict(tags=('lora', 'rate 1e-4'), group='sweep', notes='second try')"


@pytest.mark.parametrize(
    ("variables", "tags", "group", "notes"),
    [
        ({}, ["lora", "rate 1e-4"], "sweep", "second try"),
        ({"WANDB_TAGS": "a,b", "WANDB_RUN_GROUP": "g", "WANDB_NOTES": "n"}, ["a", "b"], "g", "n"),
        ({"WANDB_TAGS": "a"}, ["a"], "sweep", "second try"),
    ],
    ids=["ours", "environment", "both"],
)
def test_tags_group_and_notes_are_those_of_the_environment_or_else_of_the_flags(
    tmp_path: Path, variables: dict[str, str], tags: list[str], group: str, notes: str
) -> None:
    run_script(tmp_path / "run", run=FILED, **variables)
    record = run_record(tmp_path / "run")
    assert (record["tags"], record["run_group"], record["notes"]) == (tags, group, notes)


def test_wandb_dir_and_a_settings_file_win_too(tmp_path: Path) -> None:
    elsewhere, settings = tmp_path / "elsewhere", tmp_path / "settings"
    settings.mkdir()
    (settings / "settings").write_text("[default]\nproject = of-the-file\n")
    run_script(tmp_path / "run", WANDB_DIR=str(elsewhere), WANDB_CONFIG_DIR=str(settings))
    assert run_record(elsewhere)["project"] == "of-the-file"
    assert run_directories(tmp_path / "run") == []


@pytest.mark.parametrize("variables", [{"WANDB_DISABLED": "true"}, {"WANDB_MODE": "disabled"}])
@pytest.mark.setting("Environment", "`WANDB_DISABLED`, `WANDB_MODE=disabled`", "used")
def test_wandb_can_be_switched_off(tmp_path: Path, variables: dict[str, str]) -> None:
    done = run_script(tmp_path / "run", **variables)
    assert "errors 0" in done.stdout, done.stderr
    assert run_directories(tmp_path / "run") == []


@pytest.mark.setting("Environment", "a misspelt `WANDB_MODE`", "refused before training")
def test_a_misspelt_mode_is_refused_with_the_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "of-line")
    with pytest.raises(ValueError, match=r"WANDB_MODE='of-line'.*online, offline, shared, disabled"):
        check_backends("tensorboard,wandb")
    check_backends("tensorboard")


def test_a_run_that_is_continued_keeps_the_id_of_the_environment(tmp_path: Path) -> None:
    variables = {"WANDB_RUN_ID": "myrunid1", "WANDB_RESUME": "allow"}
    run_script(tmp_path / "run", **variables)
    run_script(tmp_path / "run", run="dict(purge_step=1)", **variables)
    run_script(tmp_path / "run", run="dict(purge_step=2)", **variables)
    rows = [row for run in run_directories(tmp_path / "run") for row in history(run)]
    assert [row["a"] for row in rows if "a" in row] == [1.0]
    assert {path.stem for path in (tmp_path / "run/wandb").glob("*/*.wandb")} == {"run-myrunid1"}


def test_an_offline_run_is_not_asked_for_its_address(tmp_path: Path) -> None:
    """W&B then warns on the console, into the progress bar."""
    done = run_script(tmp_path / "run", WANDB_MODE="offline", WANDB_SILENT="false")
    assert "errors 0" in done.stdout and "URL" not in done.stderr, done.stderr


@pytest.fixture
def server():
    with Server() as server:
        server.seen = []
        graph = server.graph

        def record(name, variables):
            server.seen.append(variables)
            return graph(name, variables)

        server.graph = record
        server.come()
        yield server
        server.shutdown()


def online(server: Server) -> dict[str, str]:
    address = f"http://127.0.0.1:{server.server_address[1]}"
    return {
        "WANDB_MODE": "online",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_BASE_URL": address,
        "WANDB_ERROR_REPORTING": "false",
    }


def test_the_address_of_an_online_run_is_shown_and_the_path_of_the_script_is_not_sent(tmp_path: Path, server) -> None:
    done = run_script(tmp_path / "run", **online(server))
    assert "errors 0" in done.stdout, done.stderr
    assert "View run at http" in done.stderr and "/runs/" in done.stderr
    sent = json.dumps(server.seen)
    assert "voice-cloning" in sent
    assert str(tmp_path) not in sent
    programs = {variables["program"] for variables in server.seen if variables.get("program")}
    assert programs <= {"training_script.py"}


_TRAINER = """
import sys
from pathlib import Path
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from tracker_logging.events import Scalars
from tracker_logging.trackers.open import RunInfo, open_tracker

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
    def forward(self, x, labels=None):
        return {"loss": ((self.weight * x - labels) ** 2).mean()}

class Ours(TrainerCallback):
    def on_train_begin(self, args, state, control, **kwargs):
        self.tracker = open_tracker("wandb", directory=Path(sys.argv[1]), run=RunInfo(), written_by_loop=["wandb"])
    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" not in logs:
            return
        self.tracker.emit(Scalars(step=state.global_step, values={"ours": float(state.global_step)}))
        self.tracker.emit(Scalars(step=state.global_step, values={"train/loss": 99.0}, source="loop"))
    def on_train_end(self, args, state, control, **kwargs):
        self.tracker.close()
        print("errors", self.tracker.errors)

data = [{"x": torch.ones(1), "labels": torch.zeros(1)} for _ in range(8)]
args = TrainingArguments(
    sys.argv[1], report_to=["wandb"], max_steps=3, logging_steps=1, use_cpu=True, save_strategy="no"
)
Trainer(Model(), args, train_dataset=data, callbacks=[Ours()]).train()
"""


@pytest.mark.setting("Environment", "the Trainer reports to W&B too", "shown, in one run, each number once")
def test_the_trainer_and_we_write_one_run_that_holds_everything_once(tmp_path: Path) -> None:
    done = run_script(tmp_path / "run", _TRAINER, WANDB_PROJECT="shared", WANDB_DIR=str(tmp_path / "run"))
    assert "errors 0" in done.stdout, done.stderr
    (run,) = run_directories(tmp_path / "run")
    rows = list(history(run))
    assert [row["ours"] for row in rows if "ours" in row] == [1.0, 2.0, 3.0]
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert len(losses) == 3 and 99.0 not in losses


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"WANDB_MODE": "offline"}, "runs/a"),
        ({"WANDB_MODE": "offline", "WANDB_DIR": "elsewhere"}, "elsewhere"),
        ({"WANDB_MODE": "online"}, None),
        ({"WANDB_DISABLED": "true"}, None),
    ],
)
def test_the_advice_on_uploading_names_where_the_offline_record_lies(
    variables: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_DIR", "WANDB_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = where_to_look(Path("runs"), run_name="a", backends=["wandb"])
    assert (f"sync {expected}" in text) if expected else text == ""
