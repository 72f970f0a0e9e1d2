"""A W&B run is linked with its checkpoints and its data by name, step and digest; nothing of them is uploaded."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb_store import WandbStore

from tracker_logging.cli import main
from tracker_logging.events import Checkpoint, Scalars
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.wandb_record import records, run_directories

FACTS = {"train_file": "my voices.json", "train_samples": 812, "train_digest": "00d1", "rate": 0.1}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    if wandb.run is not None:
        wandb.run.finish()


def saved(step: int, digest: str) -> Checkpoint:
    return Checkpoint(step=step, name=f"checkpoint-{step}", digest=digest, files=2, size_bytes=4096)


def write(directory: Path, *, config: dict[str, object]) -> Path:
    tracker = open_tracker(["wandb"], directory=directory, run=RunInfo(name="n", project="p", config=config))
    for event in (Scalars(step=500, values={"a": 1.0}), saved(500, "00c1"), saved(1000, "00c2")):
        tracker.emit(event)
    tracker.close()
    assert tracker.errors == 0  # type: ignore[attr-defined]
    (run,) = run_directories(directory)
    return run


def linked(run: Path) -> list[dict[str, Any]]:
    return [record["artifact"] for record in records(run) if record["type"] == "artifact"]


def test_checkpoints_are_versions_of_one_artifact_with_step_and_digest(tmp_path: Path) -> None:
    run = write(tmp_path, config={})
    first, second = linked(run)
    assert {first["type"], second["type"]} == {"checkpoint"}
    assert first["name"] == second["name"] == f"checkpoint-{first['run_id']}"
    assert [set(one["aliases"]) for one in (first, second)] == [{"latest", "step-500"}, {"latest", "step-1000"}]
    assert [entry["ref"] for one in (first, second) for entry in one["manifest"]["contents"]] == [
        "checkpoint://checkpoint-500/00c1", "checkpoint://checkpoint-1000/00c2",
    ]  # fmt: skip
    assert first["digest"] != second["digest"], "another content is another version"
    known = {"name": "checkpoint-1000", "step": 1000, "digest": "00c2", "files": 2, "size_bytes": 4096}
    assert json.loads(second["metadata"]) == known


def test_the_data_is_one_artifact_and_the_same_version_in_another_run(tmp_path: Path) -> None:
    of_runs = [linked(write(tmp_path / name, config=FACTS)) for name in ("a", "b")]
    data = [next(one for one in links if one["type"] == "dataset") for links in of_runs]
    assert [len(links) for links in of_runs] == [3, 3]
    assert {(one["name"], one["digest"]) for one in data} == {("data-my_voices.json", data[0]["digest"])}
    assert json.loads(data[0]["metadata"]) == {"name": "my voices.json", "samples": 812, "digest": "00d1"}


def test_no_record_holds_a_path_or_the_host_and_nothing_is_staged(tmp_path: Path) -> None:
    run = write(tmp_path, config=FACTS)
    text = json.dumps(list(records(run)))
    assert str(tmp_path) not in text and f'"{socket.gethostname()}"' not in text
    assert "local_path" not in text
    assert [path for path in (run.parent / "data").rglob("*") if path.is_file()] == []


def test_a_run_that_was_moved_is_synced_with_its_links_and_without_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", config=FACTS)
    shutil.move(tmp_path / "a", tmp_path / "moved")
    with WandbStore() as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        monkeypatch.delenv("WANDB_MODE")
        monkeypatch.setenv("WANDB_BASE_URL", store.address)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        assert main(["sync", str(tmp_path / "moved")]) == 0
        store.shutdown()
    assert store.committed == 3, store.operations
    assert sorted(name.partition("-")[0] for name in store.artifacts) == ["checkpoint", "checkpoint", "data"]
    assert "CreateArtifactFiles" not in store.operations
    assert json.loads(store.files["manifest"])["contents"], "the references themselves"
    assert [body for body in store.sent if str(tmp_path).encode() in body] == []
