"""MLflow, where it is installed (`make test-trackers`): its client reads what our own record holds."""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from read_back import read_jsonl
from tracker_examples import comparison, emit_run, one_of_each, voice_round

from tracker_logging.events import Scalars
from tracker_logging.rendering.pcm import decode_wav, to_pcm16
from tracker_logging.testing.backends import check_backend
from tracker_logging.trackers.base import RunInfo, Tracker
from tracker_logging.trackers.open import open_tracker

pytest.importorskip("mlflow", reason="fix: make test-trackers")
pytest.importorskip("alembic", reason="fix: make test-trackers")

import mlflow

from tracker_logging.trackers.mlflow import open_backend

STEPS = (1, 2, 30)
SETTINGS = {"rate": 1e-4, "nested": {"on": True}}


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to create a store: the tests copy this one."""
    store = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{store}").search_experiments()
    return store


@pytest.fixture
def directory(tmp_path: Path, empty_store: Path) -> Path:
    return with_store(tmp_path / "run", empty_store)


def with_store(directory: Path, empty_store: Path) -> Path:
    (directory / "mlflow").mkdir(parents=True, exist_ok=True)
    if not (directory / "mlflow" / "mlflow.db").exists():
        shutil.copy(empty_store, directory / "mlflow" / "mlflow.db")
    return directory


def opened(directory: Path) -> tuple[Any, Any]:
    """MLflow's own client on the store of a run, and the run."""
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{directory / 'mlflow' / 'mlflow.db'}")
    return client, client.get_run((directory / "mlflow" / "run_id").read_text())


def scalars(directory: Path) -> Iterator[tuple[str, int, float]]:
    client, run = opened(directory)
    for key in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, key):
            is_infinite = abs(metric.value) == sys.float_info.max  # as MLflow's SQL store writes infinity
            yield key, metric.step, math.copysign(math.inf, metric.value) if is_infinite else metric.value


def test_mlflow_passes_the_suite_of_backends(empty_store: Path) -> None:
    def open_in_copy(directory: Path, run: RunInfo) -> Tracker:
        return open_backend(with_store(directory, empty_store), run)

    assert check_backend(open_in_copy, read=scalars) == []


def test_mlflow_holds_what_our_record_holds(directory: Path) -> None:
    tracker = open_tracker(["mlflow", "jsonl"], directory=directory, run=RunInfo(name="parity", config=SETTINGS))
    emit_run(tracker, STEPS)
    tracker.close()
    assert tracker.errors == 0
    ours = read_jsonl(directory)
    client, run = opened(directory)

    values = {(tag, step): value for tag, step, value in scalars(directory) if not tag.startswith("tracker/")}
    assert values.pop(("base/voices/sim_o/mean", 0)) == 0.1 and values.pop(("best/voices/sim_o/mean", 2)) == 0.8
    wanted = {key: value for key, value in ours.scalars.items() if not key[0].startswith("tracker/")}
    assert values.keys() == wanted.keys()
    assert all(values[key] == wanted[key] or (math.isnan(values[key]) and math.isnan(wanted[key])) for key in wanted)
    assert (run.info.run_name, run.info.status, run.info.user_id) == ("parity", "FINISHED", "unknown")
    assert {name: run.data.params[name] for name in ("rate", "nested/on")} == {"rate": "0.0001", "nested/on": "True"}
    assert run.data.tags["alert.warning"] == "step 30: Loss is NaN!"

    folder = Path(client.download_artifacts(run.info.run_id, "", str(directory.parent)))
    sounds = {key_of(path, folder / "audio"): decode_wav(path.read_bytes())[0].tobytes() for path in wavs(folder)}
    assert sounds == ours.sounds
    pictures = {}
    for path in (folder / "images").glob("*.png"):
        name, _, rest = path.stem.partition("+step+")
        pixels = np.asarray(Image.open(path).convert("RGB"), np.uint8)
        pictures[name.replace("~", "/"), int(rest.partition("+")[0])] = pixels.tobytes()
    assert pictures == ours.pictures
    with (folder / "tables" / "inputs" / "samples" / "00000002.csv").open(newline="") as file:
        columns, hostile, long, last = csv.reader(file)
    assert columns == ["text", "n|m", "share"] and last == ["ok", "True", "-1.5"]
    assert "<script>" in hostile[0] and "\x1b" not in hostile[0] and long[1:] == ["", "nan"]
    counts = json.loads((folder / "histograms" / "sizes" / "00000002.json").read_text())
    assert (counts["counts"], counts["edges"]) == ours.histograms["sizes", 2]
    assert (folder / "texts" / "outputs" / "texts" / "00000030.txt").read_text() == "step 30 | plain"


def test_the_rounds_are_one_table_of_mlflow_with_clips_and_pictures(directory: Path) -> None:
    for purge_step, steps in ((None, (3, 5)), (5, (5, 7))):
        tracker = open_backend(directory, RunInfo(name="a", purge_step=purge_step))
        for step in steps:
            for event in voice_round(step, "001"):
                tracker.emit(event)
        tracker.close()
    client, run = opened(directory)
    folder = Path(client.download_artifacts(run.info.run_id, "", str(directory.parent)))
    table = json.loads((folder / "tables" / "voices" / "table.json").read_text())
    clips = ["reference", "target", "codec", "generated"]
    assert table["columns"] == ["step", "voice", *clips, "mel", "sim_o", "target text"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [(row["step"], row["voice"], row["sim_o"]) for row in rows] == [(step, "001", 0.5) for step in (3, 5, 7)]
    for row in rows:
        for name in clips:
            samples, _ = decode_wav((folder / row[name]).read_bytes())
            assert samples.tolist() == to_pcm16(comparison(row["step"]).clips[name].samples).tolist()
        (drawn,) = (folder / "images").glob(f"voices~001~mel+step+{row['step']}+*.png")
        pictures = [np.asarray(Image.open(path).convert("RGB")) for path in (folder / row["mel"]["filepath"], drawn)]
        np.testing.assert_array_equal(*pictures)
    mlflow.set_tracking_uri(f"sqlite:///{directory / 'mlflow' / 'mlflow.db'}")
    assert len(client.load_table(run.info.experiment_id, "tables/voices/table.json")) == 3, "MLflow finds and reads it"


def wavs(folder: Path) -> list[Path]:
    return sorted((folder / "audio").rglob("*.wav"))


def key_of(path: Path, folder: Path) -> tuple[str, int]:
    return path.parent.relative_to(folder).as_posix(), int(path.stem)


def test_a_resumed_run_holds_each_picture_once(directory: Path) -> None:
    for purge_step, steps in ((None, (1, 2, 3)), (3, (3, 4))):
        tracker = open_backend(directory, RunInfo(name="a", purge_step=purge_step))
        for step in steps:
            for event in one_of_each(step):
                tracker.emit(event)
        tracker.close()
    client, run = opened(directory)
    maps = [file.path for file in client.list_artifacts(run.info.run_id, "images") if "mass_map" in file.path]
    assert sorted(int(path.split("+step+")[1].split("+")[0]) for path in maps if path.endswith(".png")) == [1, 2, 3, 4]
    assert len(client.search_runs([run.info.experiment_id])) == 1


def test_the_run_of_the_trainer_is_joined_and_left_open(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{directory / 'mlflow' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        theirs = mlflow.start_run(run_name="theirs").info.run_id
        tracker = open_tracker(["mlflow"], directory=directory, run=RunInfo(name="ours", config={"rate": 0.5}))
        tracker.emit(Scalars(step=3, values={"outputs/nll/mean": 0.25}))
        tracker.close()
        run = mlflow.get_run(theirs)
    finally:
        mlflow.end_run()
        mlflow.set_tracking_uri(before)
    assert (run.info.status, run.data.metrics["outputs/nll/mean"], run.data.params["rate"]) == ("RUNNING", 0.25, "0.5")
    assert not (directory / "mlflow" / "run_id").exists()
