"""A disk that fills up, empties again and becomes read-only, and ids that would lead out of the run's directory."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from read_back import read_jsonl, read_tensorboard, read_wandb
from tracker_examples import clip, comparison

from tracker_logging.events import Audio, Finding, Findings, Scalars
from tracker_logging.trackers.findings_file import FindingsFileTracker
from tracker_logging.trackers.guarded import GuardedTracker
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.voice_folder import VoiceFolderTracker


def mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = mount("-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk))
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting needs rights that this machine does not give")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("backend", [TensorBoardTracker, JsonLinesTracker])
def test_a_disk_that_is_full_for_a_while_loses_only_what_did_not_fit(small_disk, backend):
    clock = [0.0]
    tracker = GuardedTracker(lambda: backend(small_disk / "run"), name="disk", clock=lambda: clock[0])
    tracker.emit(Scalars(step=1, values={"a": 1.0}))
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(250_000))
    for step in (2, 3):
        tracker.emit(Audio(step=step, tag="t", clips={"sound": clip(2.0, hz=100 + step)}))
    assert tracker.errors == 2
    tracker.emit(Scalars(step=4, values={"a": 4.0}))
    ballast.unlink()
    tracker.emit(Audio(step=5, tag="t", clips={"sound": clip(2.0)}))
    tracker.close()
    read = read_tensorboard if backend is TensorBoardTracker else read_jsonl
    run = read(small_disk / "run")
    assert {key: value for key, value in run.scalars.items() if key[0] == "a"} == {("a", 1): 1.0, ("a", 4): 4.0}
    assert set(run.sounds) == {("t/sound", 5)}
    assert tracker.lost == {"Audio": 2}


def test_a_read_only_disk_is_refused_before_training(small_disk):
    if not mount("-o", "remount,ro", str(small_disk)):
        pytest.skip("cannot be made read-only here")
    with pytest.raises(ValueError, match="cannot be written"):
        open_tracker(["tensorboard"], directory=small_disk / "run", run=RunInfo(name="a"))


def test_a_voice_id_cannot_lead_out_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    directory = tmp_path / "deep" / "run"
    tracker = open_tracker(["tensorboard", "wandb", "jsonl"], directory=directory, run=RunInfo(name="a"))
    tracker.emit(replace(comparison(), voice_id="../../../../evil/\u202ex"))
    tracker.close()
    assert tracker.errors == 0
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run"]
    tags = {tag for read in (read_tensorboard, read_wandb, read_jsonl) for tag, _ in read(directory).sounds}
    assert tags == {f"voices/_evil_x/{name}" for name in ("reference", "target", "codec", "generated")}


@pytest.mark.parametrize("backend", [VoiceFolderTracker, JsonLinesTracker, FindingsFileTracker])
def test_a_full_disk_leaves_no_parts_of_files(small_disk, backend):
    tracker = backend(small_disk / "run")
    finding = Finding(name="x", level="info", seen="y" * 200_000, cause="", certainty="likely", fix="")
    findings = Findings(step=1, findings=(finding,))
    noise = np.random.default_rng(0).uniform(-1, 1, 150_000).astype(np.float32)  # FLAC cannot make it small
    voice = replace(comparison(), clips={"generated": replace(clip(), samples=noise)})
    (small_disk / "run").mkdir(exist_ok=True)
    (small_disk / "ballast").write_bytes(bytes(180_000))
    for _ in range(3):
        with pytest.raises(OSError):
            tracker.emit(findings if backend is FindingsFileTracker else voice)
    tracker.close()
    left = [path.name for path in small_disk.rglob("*") if path.is_file()]
    assert [name for name in left if "part" in name or name.endswith((".flac", ".wav"))] == []
