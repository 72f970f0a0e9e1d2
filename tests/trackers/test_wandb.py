"""W&B runs written offline and read back; joined runs; a server that is down, broken or mute."""

import http.server
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wandb
from read_back import read_wandb
from tracker_examples import HOSTILE, comparison, one_of_each

from tracker_logging.events import Alert, Image, Scalars, Table, Text
from tracker_logging.trackers import wandb_settings as ours
from tracker_logging.trackers.wandb import WandbTracker
from tracker_logging.trackers.wandb_record import STEP, history, latest_run_id, records, run_directories, written_steps
from tracker_logging.trackers.wandb_settings import has_key, wandb_mode


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    if wandb.run is not None:
        wandb.run.finish()


def open_run(directory, **more):
    return WandbTracker(directory, project="p", name="n", config={"rate": 1e-4}, **more)


def all_rows(directory):
    return [row for run in run_directories(directory) for row in history(run)]


def test_every_row_carries_the_global_step_and_steps_may_go_back(tmp_path):
    tracker = open_run(tmp_path)
    for step in (10, 20, 10):
        tracker.emit(Scalars(step=step, values={f"a{step}": 1.0}))
    tracker.emit(Text(step=5, tag="t", text="late"))
    tracker.close()
    rows = all_rows(tmp_path)
    assert [row[STEP] for row in rows] == [10, 20, 10, 5]
    (run,) = run_directories(tmp_path)
    metrics = [record["metric"] for record in records(run) if record["type"] == "metric"]
    assert {k: metrics[-1][k] for k in ("glob_name", "step_metric")} == {"glob_name": "*", "step_metric": STEP}


def test_the_clips_of_a_voice_are_a_list_under_one_key_with_captions(tmp_path):
    tracker = open_run(tmp_path)
    tracker.emit(comparison(3))
    tracker.close()
    row = next(row for row in all_rows(tmp_path) if "voices/rms_03.count" in row)
    assert row["voices/rms_03.count"] == 4
    captions = row["voices/rms_03.captions"]
    assert [caption.split(":")[0] for caption in captions] == ["reference", "target", "codec", "generated"]
    assert "heard “the old man”" in captions[3]


def test_a_picture_has_its_caption(tmp_path):
    tracker = open_run(tmp_path)
    tracker.emit(Image(step=1, tag="map", picture=np.zeros((2, 2, 3), np.uint8), caption="layer 0"))
    tracker.close()
    (row,) = all_rows(tmp_path)
    assert row["map.caption"] == "layer 0"


def test_a_voice_has_the_facts_that_are_known(tmp_path):
    tracker = open_run(tmp_path)
    voice = replace(comparison(1), language="en", error=None)
    tracker.emit(voice)
    tracker.close()
    text = read_wandb(tmp_path).texts[f"voices/{voice.voice_id}/text", 1]
    assert "language en" in text and "error" not in text


def test_nothing_of_the_machine_and_nothing_outside_the_run_directory_is_recorded(tmp_path):
    tracker = open_run(tmp_path)
    for event in one_of_each():
        tracker.emit(event)
    tracker.close()
    (run,) = run_directories(tmp_path)
    for record in records(run):
        if record["type"] == "artifact":
            continue  # of a table; its files are staged in the run, see test_wandb_tables
        text = json.dumps(record)
        assert str(tmp_path) not in text
        assert "host" not in record.get("run", {})
    assert not (run / "files" / "wandb-metadata.json").exists()


def test_a_page_holds_the_text_escaped(tmp_path):
    tracker = open_run(tmp_path)
    tracker.emit(Text(step=1, tag="t", text=HOSTILE))
    tracker.emit(Table(step=1, tag="voices/a/text", columns=("a",), rows=((HOSTILE,),)))
    tracker.emit(Text(step=1, tag="v", text="pyproject.toml"))  # the name of a file is a text, not a file
    tracker.close()
    pages = [path.read_text("utf-8") for path in tmp_path.rglob("*.html")]
    assert len(pages) == 3
    assert all("<script" not in page for page in pages)
    assert sum("&lt;script&gt;" in page for page in pages) == 2
    assert read_wandb(tmp_path).texts["v", 1] == "pyproject.toml"


def test_an_alert_is_an_alert_and_a_text(tmp_path):
    tracker = open_run(tmp_path)
    tracker.emit(Alert(step=1, level="error", title="Silence", text="Clips are silent."))
    tracker.close()
    (run,) = run_directories(tmp_path)
    (alert,) = (record["alert"] for record in records(run) if record["type"] == "alert")
    assert (alert["level"], alert["title"]) == ("ERROR", "Silence")
    assert read_wandb(tmp_path).texts["alerts/silence", 1] == "Silence Clips are silent."


def test_an_active_run_is_joined_and_not_finished(tmp_path):
    theirs = wandb.init(project="theirs", dir=str(tmp_path), mode="offline", settings=wandb.Settings(console="off"))
    theirs.log({"train/loss": 1.0, STEP: 1})
    tracker = open_run(tmp_path)
    assert tracker.run_id == theirs.id
    tracker.emit(Scalars(step=1, values={"ours": 2.0}))
    tracker.close()
    theirs.log({"train/loss": 0.5, STEP: 2})
    theirs.finish()
    rows = all_rows(tmp_path)
    assert len(run_directories(tmp_path)) == 1
    assert [sorted(key for key in row if not key.startswith("_")) for row in rows] == [
        ["train/global_step", "train/loss"],
        ["ours", "train/global_step"],
        ["train/global_step", "train/loss"],
    ]


def test_two_trainings_in_one_process_are_two_runs(tmp_path):
    first = open_run(tmp_path / "first")
    first.emit(Scalars(step=1, values={"outputs/nll/mean": 4.0}))
    second = open_run(tmp_path / "second")
    second.emit(Scalars(step=1, values={"outputs/nll/mean": 3.0}))
    first.emit(Scalars(step=2, values={"outputs/nll/mean": 2.0}))
    first.close()
    assert wandb.run is not None, "the second run is open still"
    second.close()
    assert wandb.run is None and first.run_id != second.run_id
    for directory, value in ((tmp_path / "first", 4.0), (tmp_path / "second", 3.0)):
        assert [row["outputs/nll/mean"] for row in all_rows(directory)] == [value]


def test_a_resumed_run_has_the_same_id_no_duplicates_and_no_holes(tmp_path):
    first = open_run(tmp_path)
    for step in range(1, 8):  # the checkpoint is at 5, the crash after 7
        first.emit(Scalars(step=step, values={"a": float(step)}))
    first.emit(comparison(5))
    first.close()
    run_id = latest_run_id(tmp_path)
    written = written_steps(tmp_path, run_id=run_id)
    assert (written["a"], written["voices/rms_03"]) == (7, 5)
    again = open_run(tmp_path, run_id=run_id, written=written)
    for step in range(6, 10):
        again.emit(Scalars(step=step, values={"a": float(step)}))
    again.emit(comparison(10))
    again.close()
    run = read_wandb(tmp_path)
    assert {log.stem for path in run_directories(tmp_path) for log in path.glob("*.wandb")} == {f"run-{run_id}"}
    assert run.doubles == []
    assert sorted(step for tag, step in run.scalars) == list(range(1, 10))
    assert sorted({step for tag, step in run.sounds}) == [5, 10]


def test_a_torn_or_empty_log_is_read_as_far_as_possible(tmp_path):
    tracker = open_run(tmp_path)
    for step in range(1, 200):
        tracker.emit(Scalars(step=step, values={"a": float(step)}))
    tracker.close()
    run_id = latest_run_id(tmp_path)
    log = run_directories(tmp_path)[0] / f"run-{run_id}.wandb"
    whole = log.read_bytes()
    never_begun = tmp_path / "wandb" / f"offline-run-29991231_235959-{run_id}"
    never_begun.mkdir()
    last_steps = []
    for kept in (1.0, 0.5, 0.25, 0.12, 0.06):
        log.write_bytes(whole[: int(kept * len(whole))])
        last_steps.append(written_steps(tmp_path, run_id=run_id).get("a", 0))
    assert last_steps == sorted(last_steps, reverse=True)
    assert last_steps[0] == 199
    assert any(0 < step < 199 for step in last_steps)
    log.write_bytes(b"")
    assert written_steps(tmp_path, run_id=run_id) == {}


def test_without_a_key_a_run_is_offline(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine example.org login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert not has_key()
    assert wandb_mode() == "offline"
    netrc.write_text("machine api.wandb.ai login user password c\n")
    assert has_key()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode() == "disabled"


_SCRIPT = """
import logging, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
logging.basicConfig(level=logging.WARNING)
from tracker_logging.events import Scalars
from tracker_logging.trackers import wandb_settings as ours
from tracker_logging.trackers.open import RunInfo, open_tracker
ours.INIT_TIMEOUT_S = 2.0
tracker = open_tracker(["wandb"], directory=Path(sys.argv[1]), run=RunInfo(name="a"))
for step in range(10):
    tracker.emit(Scalars(step=step, values={"a": float(step)}))
tracker.flush(timeout_s=30)
tracker.close()
print("errors", tracker.errors)
"""


class Broken(http.server.BaseHTTPRequestHandler):
    mute = threading.Event()

    def do_POST(self):
        if self.server.kind == "hangs":
            self.mute.wait(60)
        refused = self.server.kind == "refuses the key"
        body = b'{"errors":[{"message":"invalid api key"}]}' if refused else b""
        self.send_response(401 if refused else 500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("kind", ["down", "answers 500", "hangs", "refuses the key"])
def test_a_failing_server_makes_the_run_offline_and_loses_nothing(tmp_path, kind):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    server.daemon_threads, server.kind = True, kind
    if kind == "down":
        server.server_close()
    else:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    tests = Path(__file__).parents[1]
    environment = os.environ | {
        "WANDB_MODE": "online",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "WANDB_ERROR_REPORTING": "false",
    }
    environment.pop("WANDB_SERVICE", None)
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path), str(tests.parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    Broken.mute.set()
    assert done.returncode == 0, done.stderr
    assert "errors 0" in done.stdout
    assert done.stderr.count("tracker-logging sync") == 1
    assert ("invalid api key" in done.stderr) is (kind == "refuses the key")
    values = {key: value for key, value in read_wandb(tmp_path).scalars.items() if key[0] == "a"}
    assert values == {("a", step): float(step) for step in range(10)}


def test_the_time_limits_of_a_run_are_ours(tmp_path):
    tracker = open_run(tmp_path)
    settings = wandb.run.settings
    assert (settings.init_timeout, settings.finish_timeout) == (ours.INIT_TIMEOUT_S, ours.FINISH_TIMEOUT_S)
    tracker.close()
