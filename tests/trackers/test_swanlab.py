"""SwanLab, where it is installed (`make test-trackers`): its offline record holds what our own record holds."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from read_back import read_jsonl
from tracker_examples import emit_run, one_of_each, voice_round

from tracker_logging.rendering.pcm import decode_wav
from tracker_logging.testing.backends import check_backend
from tracker_logging.trackers.open import RunInfo, open_tracker

pytest.importorskip("swanlab", reason="fix: make test-trackers")

from tracker_logging.trackers.swanlab import open_backend, records, steps_of_records

STEPS = (1, 2, 30)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWANLAB_MODE", "offline")
    monkeypatch.setenv("SWANLAB_SAVE_DIR", str(tmp_path / "settings"))


def test_swanlab_passes_the_suite_of_backends() -> None:
    handler = signal.getsignal(signal.SIGINT)
    assert check_backend(open_backend) == []
    assert signal.getsignal(signal.SIGINT) is handler


def test_swanlab_holds_what_our_record_holds(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    tracker = open_tracker(["swanlab", "jsonl"], directory=directory, run=RunInfo(name="parity", config={"rate": 0.5}))
    emit_run(tracker, STEPS)
    tracker.close()
    assert tracker.errors == 0
    ours = read_jsonl(directory)
    found = by_key(directory)

    numbers = {key: value for key, value in found.items() if isinstance(value, float) and key[0][:8] != "tracker/"}
    assert numbers.pop(("base/voices/sim_o/mean", 0)) == 0.1 and numbers.pop(("best/voices/sim_o/mean", 2)) == 0.8
    wanted = {key: value for key, value in ours.scalars.items() if not key[0].startswith("tracker/")}
    assert numbers.keys() == wanted.keys()
    np.testing.assert_array_equal([numbers[key] for key in wanted], list(wanted.values()))
    for key, samples in ours.sounds.items():
        assert decode_wav(found[key].read_bytes())[0].tobytes() == samples, key
    for key, pixels in ours.pictures.items():
        assert np.asarray(Image.open(found[key]).convert("RGB"), np.uint8).tobytes() == pixels, key
    columns, (hostile, long, last) = cells(found["inputs/samples", 2])
    assert columns == ["text", "n|m", "share"] and last == ["ok", "yes", -1.5]
    assert "\x1b" not in hostile[0] and long[1:] == ["", "nan"]
    assert found["outputs/texts", 30].read_text() == "step 30 | plain"

    kept = b"".join(path.read_bytes() for path in (directory / "swanlab").rglob("files/*") if path.is_file())
    assert b"hostname" not in kept and b"torch" not in kept and b"rate" in kept


def test_a_resumed_run_holds_each_value_once(tmp_path: Path) -> None:
    for purge_step, steps in ((None, (1, 2, 3)), (3, (3, 4))):
        tracker = open_backend(tmp_path, RunInfo(name="a", purge_step=purge_step))
        for step in steps:
            for event in one_of_each(step):
                tracker.emit(event)
        tracker.close()
    steps = steps_of_records(tmp_path / "swanlab")
    for key in ("outputs/nll/mean", "voices/rms_03/generated", "voices/rms_03/mel", "inputs/samples", "sizes"):
        assert steps[key] == [1, 2, 3, 4], key
    starts = [record.start.id for record in records(tmp_path / "swanlab") if record.HasField("start")]
    assert len(starts) == 2 and len(set(starts)) == 1, "both records belong to one run"


def test_the_table_of_voices_names_the_clips_and_the_mel_of_each_row(tmp_path: Path) -> None:
    tracker = open_backend(tmp_path, RunInfo(name="a"))
    for step in (3, 5):
        for event in voice_round(step, "001"):
            tracker.emit(event)
    tracker.close()
    found = by_key(tmp_path)
    columns, (row,) = cells(found["voices/table", 5])
    media = ["reference", "target", "codec", "generated", "mel"]
    assert columns == ["step", "voice", *media, "sim_o", "target text"]
    shown = dict(zip(columns, row, strict=True))
    assert (shown["step"], shown["voice"], shown["sim_o"]) == (5, "001", 0.5)
    for name in media:
        assert found[shown[name], 5].exists(), name


def cells(path: Path) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of a table of SwanLab."""
    table = json.loads(path.read_text())
    columns = [column["field"] for column in table["colDefs"]]
    return columns, [[row[name] for name in columns] for row in table["rowData"]]


def by_key(directory: Path) -> dict[tuple[str, int], Any]:
    """The number, or the file, under each key and step of the one record."""
    (run,) = (directory / "swanlab").glob("run-*")
    files = {path.name: path for path in (run / "media").rglob("*") if path.is_file()}
    found: dict[tuple[str, int], Any] = {}
    for record in records(directory / "swanlab"):
        if record.HasField("scalar"):
            found[record.scalar.key, record.scalar.step] = record.scalar.value.number
        elif record.HasField("media"):
            found[record.media.key, record.media.step] = files[record.media.value.items[0].filename]
    return found
