"""Tables are native in W&B, with the clips of voices; a run that was moved is uploaded whole, and no path is sent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import wandb
from read_back import read_wandb
from tracker_examples import HOSTILE, voice_round, voice_scores
from wandb.proto import wandb_internal_pb2
from wandb_store import WandbStore

from tracker_logging.cli import main
from tracker_logging.events import Event, Table
from tracker_logging.trackers.wandb import WandbTracker
from tracker_logging.trackers.wandb_log import read_log, write_log
from tracker_logging.trackers.wandb_record import records, run_directories
from tracker_logging.trackers.wandb_settings import DATA_DIRECTORY

KEY = "0" * 40


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv(DATA_DIRECTORY, raising=False)
    yield
    if wandb.run is not None:
        wandb.run.finish()


@pytest.fixture
def store() -> Iterator[WandbStore]:
    with WandbStore() as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        yield store
        store.shutdown()


def write(directory: Path, events: list[Event]) -> Path:
    tracker = WandbTracker(directory, project="p", name="n")
    for event in events:
        tracker.emit(event)
    tracker.close()
    (run,) = run_directories(directory)
    return ended(run)


def ended(run: Path) -> Path:
    """The run, when its record is whole: W&B's own process ends it after `finish` has returned."""
    (record,) = run.glob("*.wandb")
    deadline = time.monotonic() + 60
    while not any(wandb_internal_pb2.Record.FromString(data).HasField("exit") for data in read_log(record)):
        assert time.monotonic() < deadline, "no record of the end"
        threading.Event().wait(0.01)
    return run


def logged(run: Path, key: str) -> list[dict[str, object]]:
    rows = [record["history"]["item"] for record in records(run) if record["type"] == "history"]
    return [row for row in rows if f"{key}._type" in row]


def staged_table(directory: Path) -> dict[str, list[object]]:
    """The table with media as W&B uploads it: the staged file of the artifact that has media types."""
    staged = (directory / "wandb" / "data" / "artifacts" / "staging").iterdir()
    texts = [path.read_bytes() for path in staged if path.stat().st_size]
    documents = [json.loads(text) for text in texts if text.startswith(b"{")]
    content, *_ = [document for document in documents if "mel" in document.get("columns", ())]
    return dict(content)


def test_a_table_is_native_with_numbers_as_numbers(tmp_path: Path) -> None:
    samples = Table(step=1, tag="inputs/samples", columns=("text", "n"), rows=((HOSTILE, 3), ("b", None), ("c", 0.5)))
    run = write(tmp_path, [samples])
    (row,) = logged(run, "inputs/samples")
    assert [row[f"inputs/samples.{name}"] for name in ("_type", "ncols", "nrows")] == ["table-file", 2, 3]
    content = json.loads((run / "files" / str(row["inputs/samples.path"])).read_text("utf-8"))
    assert [cells[1] for cells in content["data"]] == [3, None, 0.5]
    assert "\x1b" not in content["data"][0][0]


def test_the_table_of_voices_has_clips_and_the_mel_beside_the_scores(tmp_path: Path) -> None:
    write(tmp_path, voice_round(3))
    content = staged_table(tmp_path)
    columns = ["step", "voice", "reference", "target", "codec", "generated", "mel", "sim_o", "target text"]
    assert content["columns"] == columns
    (row,) = content["data"]
    cells = dict(zip(columns, row, strict=True))
    assert (cells["step"], cells["voice"], cells["sim_o"]) == (3, "rms_03", 0.5)
    kinds = [cells[name]["_type"] for name in ("reference", "target", "codec", "generated", "mel")]
    assert kinds == ["audio-file"] * 4 + ["image-file"]
    assert [cells[name]["caption"] for name in ("reference", "generated")] == ["reference", "generated at step 3"]


def test_the_panel_of_a_voice_says_the_step_the_text_and_the_scores(tmp_path: Path) -> None:
    run = write(tmp_path, [replace(voice_round(3)[2], stage="complete")])
    (row,) = logged(run, "voices/rms_03")
    *_, caption = row["voices/rms_03.captions"]
    assert caption == (
        "generated at step 3: “The old man painted a red boat.” · heard “the old man” · stopped: eos · sim_o 0.53"
    )


def test_the_table_waits_for_its_voices_and_is_written_without_them_at_the_end(tmp_path: Path) -> None:
    events = [*voice_round(3)[:2], *voice_round(5), voice_scores(7, "rms_03", "unknown")]
    run = write(tmp_path, events)
    assert [row["train/global_step"] for row in logged(run, "voices/table")] == [5, 3, 7]
    texts = read_wandb(tmp_path).texts
    assert texts["voices/table", 3].startswith("step voice sim_o target text 3 rms_03 0.5")


def test_everything_is_inside_the_run_and_the_environment_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    run = write(tmp_path / "run", voice_round(3))
    paths = [
        Path(entry.local_path)
        for data in read_log(next(run.glob("*.wandb")))
        for entry in wandb_internal_pb2.Record.FromString(data).artifact.manifest.contents
    ]
    assert len(paths) == 6 and all(path.is_relative_to(tmp_path / "run") and path.exists() for path in paths)
    assert not (tmp_path / "home").exists()
    assert DATA_DIRECTORY not in os.environ


def test_the_record_is_written_as_wandb_writes_it(tmp_path: Path) -> None:
    long = Table(step=1, tag="inputs/samples", columns=("t",), rows=tuple(("x" * 390,) for _ in range(3)))
    run = write(tmp_path, [replace(long, step=step) for step in range(1, 60)])
    (record,) = run.glob("*.wandb")
    copy = tmp_path / "copy.wandb"
    write_log(copy, read_log(record), header=record.read_bytes()[:7])
    assert record.stat().st_size > 2 * 32768, "records cross the ends of blocks"
    assert copy.read_bytes() == record.read_bytes()


def test_a_moved_run_is_uploaded_whole_and_no_path_is_sent(
    tmp_path: Path, store: WandbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", voice_round(3))
    shutil.move(tmp_path / "a", tmp_path / "moved")
    files = [path for path in (tmp_path / "moved").rglob("*") if path.is_file() and path.suffix != ".log"]
    before = {path: path.read_bytes() for path in files}
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_BASE_URL", store.address)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert main(["sync", str(tmp_path / "moved")]) == 0
    assert store.committed == len(store.artifacts) == 1, store.operations
    media = [name for name in store.files if name.startswith("media/audio/") and name.count("/") == 2]
    assert len(media) == 4 and all(store.files[name].startswith(b"RIFF") for name in media)
    assert json.loads(store.files["voices/table.table.json"])["data"][0][:2] == [3, "rms_03"]
    assert [body for body in store.sent if str(tmp_path).encode() in body] == []
    after = {path: path.read_bytes() for path in before}
    assert after == before, "the run is not changed"


def test_a_run_that_lost_a_staged_file_is_refused_with_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "a", voice_round(3))
    shutil.rmtree(run.parent / "data")
    assert main(["sync", str(tmp_path / "a")]) == 2
    assert "Fix: move the whole directory of the run" in capsys.readouterr().err


def test_an_online_run_sends_no_path_either(tmp_path: Path, store: WandbStore) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; import test_wandb_tables as own\n"
        "own.write(Path(sys.argv[1]), own.voice_round(3))"
    )
    import os

    environment = {name: value for name, value in os.environ.items() if name != "WANDB_MODE"}
    environment |= {"WANDB_BASE_URL": store.address, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"}
    here = Path(__file__).parent
    command = [sys.executable, "-c", code, str(tmp_path / "run"), str(here), str(here.parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (store.operations, done.stderr)
    assert store.committed == 1
    assert [body for body in store.sent if str(tmp_path).encode() in body] == []
