"""Runs on a real S3 server on loopback: written by the mirror, read by every reader, with outages."""

from __future__ import annotations

import json
import logging
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import serving, wait_for
from tracker_logging.dashboards.voice_runs import VoiceRuns

from tracker_logging.cli import main
from tracker_logging.config import LoggingConfig
from tracker_logging.events import Clip, Scalars, VoiceComparison
from tracker_logging.integrations.factory import check_config, open_run
from tracker_logging.runs import NotARunError, list_runs
from tracker_logging.runs import open_run as read_run
from tracker_logging.runs.remote import RemoteCopy
from tracker_logging.trackers.mirror import Mirror

DEADLINE_S = 60.0


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An S3 server with the bucket `bucket`, as the default endpoint of s3fs; an empty cache. Skips without it."""
    s3fs = pytest.importorskip("s3fs", reason="fix: pip install s3fs")
    moto = pytest.importorskip("moto.server", reason="fix: pip install 'moto[server]'")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST")).read()
    boto3.client("s3").create_bucket(Bucket="bucket")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    yield server
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def _client() -> Any:
    import boto3

    return boto3.client("s3")


def comparison(step: int) -> VoiceComparison:
    import numpy as np

    clip = Clip(samples=np.linspace(-0.5, 0.5, 2400, dtype=np.float32), sample_rate=24_000)
    return VoiceComparison(
        step=step, voice_id="v1", clips={"target": clip, "generated": clip}, reference_text="a", target_text="b",
        speaker="s", scores={"sim_o": 0.1 * step},
    )  # fmt: skip


def train(tmp_path: Path, **options: Any) -> Path:
    """A run of two steps, mirrored."""
    run = open_run(
        LoggingConfig.of({"logging_dir": tmp_path / "runs", "mirror_to": "s3://bucket/runs", **options}),
        runs=tmp_path / "runs", run_config={"lr": 0.5},
    )  # fmt: skip
    for step in (1, 2):
        run.tracker.emit(Scalars(step=step, values={"voices/sim_o/mean": 0.1 * step}))
        run.tracker.emit(comparison(step))
    run.tracker.close()
    return run.directory


def test_a_mirrored_run_reads_like_the_local_one(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = read_run(train(tmp_path))
    remote = read_run("s3://bucket/runs/run")
    assert (remote.name, remote.scalars, remote.settings) == (local.name, local.scalars, local.settings)
    assert remote.voices["v1"].steps[2].scores == local.voices["v1"].steps[2].scores
    clip, same = (run.voices["v1"].steps[2].clip for run in (remote, local))
    assert clip is not None and same is not None and clip.encoded() == same.encoded()
    assert [run.name for run in list_runs("s3://bucket/runs")] == ["run"]
    capsys.readouterr()
    assert main(["show", "s3://bucket/runs/run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["last_step"] == 2


def test_the_tab_reads_sidecars_and_clips_when_they_are_asked_for(store: Any, tmp_path: Path) -> None:
    directory = train(tmp_path)
    copy = RemoteCopy("s3://bucket/runs")
    runs = VoiceRuns({"": copy})
    assert runs.names() == ["run"]
    clip = copy.root / "run/voices/v1/step-00000002.flac"
    assert clip.read_bytes() == b""
    assert [step["step"] for step in runs.voices("run")["voices"][0]["steps"]] == [1, 2]
    assert clip.read_bytes() == b""
    served = runs.file(run="run", voice="v1", name="step-00000002.flac")
    assert served.read_bytes() == (directory / "voices/v1/step-00000002.flac").read_bytes()
    version = runs.table()["runs"][0]["version"]
    assert runs.wait(DEADLINE_S)
    assert runs.table()["runs"][0]["version"] == version


def test_only_changed_files_are_fetched_again(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path)
    read_run("s3://bucket/runs/run")
    fetched: list[str] = []
    write = RemoteCopy._write
    monkeypatch.setattr(
        RemoteCopy, "_write", lambda copy, path, *rest: (fetched.append(path.name), write(copy, path, *rest))[1]
    )
    read_run("s3://bucket/runs/run")
    assert fetched == []
    content = b'{"format": 1, "step": 2, "scores": {"sim_o": 9.5}, "clip": null}'
    _client().put_object(Bucket="bucket", Key="runs/run/voices/v1/step-00000002.json", Body=content)
    assert read_run("s3://bucket/runs/run").voices["v1"].steps[2].scores == {"sim_o": 9.5}
    assert set(fetched) == {"step-00000002.json"}


def test_an_outage_is_told_and_the_copy_is_completed_afterwards(
    store: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING, logger="tracker_logging")
    host, port = store.get_host_and_port()
    store.stop()
    directory = train(tmp_path)
    messages = [record.message for record in caplog.records if record.message.startswith("Mirror")]
    assert len(messages) == 2  # one for all failures, one at the end
    assert "s3://bucket/runs/run cannot be written" in messages[0]
    assert f"tracker-logging mirror {directory} s3://bucket/runs/run" in messages[1]
    assert read_run(directory).last_step == 2  # the local run is complete
    with pytest.raises(NotARunError, match="s3://bucket/runs/run"):
        read_run("s3://bucket/runs/run")
    again = type(store)(ip_address=host, port=port)
    again.start()
    assert main(["mirror", str(directory), "s3://bucket/runs/run"]) == 0
    assert read_run("s3://bucket/runs/run").scalars == read_run(directory).scalars
    again.stop()


def test_what_was_copied_is_not_copied_again(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = train(tmp_path)
    again = Mirror(directory, "s3://bucket/runs/run")
    monkeypatch.setattr(again._files, "put_file", lambda *_: pytest.fail("copied again"))
    assert again.copy() == 0


def test_a_tab_keeps_what_it_has_during_an_outage(store: Any, tmp_path: Path) -> None:
    train(tmp_path)
    runs = VoiceRuns({"": RemoteCopy("s3://bucket/runs")})
    assert runs.wait(DEADLINE_S)
    store.stop()
    runs._places.search()
    table = runs.table()
    assert [run["step"] for run in table["runs"]] == [2]
    assert "s3://bucket/runs cannot be read" in table["problems"][0]


def test_a_place_that_hangs_does_not_stop_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "file").write_text("x")
    mirror = Mirror(directory, "memory://hangs/run", every_s=0.0)
    free, begun = threading.Event(), threading.Event()
    mirror._files = type("Hanging", (), {"put_file": lambda *_: (begun.set(), free.wait(DEADLINE_S))})()
    mirror.begin()
    assert begun.wait(DEADLINE_S)
    assert mirror.finish(timeout_s=0.1) != 0
    assert "some files of run are not in memory://hangs/run" in caplog.text
    free.set()


@pytest.mark.parametrize("given", ["s3://bucket/x", Path("s3://bucket/x"), "gs://b"])
def test_a_remote_logging_directory_is_refused_with_the_way_out(given: Any) -> None:
    with pytest.raises(ValueError, match=r"--logging_dir.*local directory.*--mirror_to URL"):
        LoggingConfig(logging_dir=given)


def test_a_logging_directory_of_the_home_directory_is_not_called_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LoggingConfig(logging_dir="~/a").logging_dir == tmp_path / "a"  # type: ignore[arg-type]


def test_a_mirror_that_cannot_work_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="nosuch://x cannot be opened: Protocol not known: nosuch"):
        check_config(LoggingConfig(mirror_to="nosuch://x"))
    with pytest.raises(ValueError, match=r"--mirror_to is 'bucket/x': it must be a URL"):
        LoggingConfig(mirror_to="bucket/x")


@pytest.mark.slow
def test_tensorboard_and_the_tab_read_the_same_remote_place(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path)
    monkeypatch.setenv("S3_ENDPOINT", os.environ["AWS_ENDPOINT_URL"])  # the name that TensorBoard knows
    with serving("s3://bucket/runs") as address:
        table = json.loads(urllib.request.urlopen(f"{address}/data/plugin/voices/runs.json").read())
        wait_for(lambda: json.loads(urllib.request.urlopen(f"{address}/data/runs").read()) == ["run"])
    assert [run["name"] for run in table["runs"]] == ["run"]
