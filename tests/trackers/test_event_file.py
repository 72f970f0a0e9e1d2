"""Event files under faults: what was appended can be read, by TensorBoard's own reader."""

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from read_back import read_jsonl, read_tensorboard, tensorboard_values
from tensorboard.compat.proto import event_pb2, summary_pb2
from tracker_examples import clip, comparison

from tracker_logging.events import Audio, Scalars
from tracker_logging.trackers import projector
from tracker_logging.trackers.event_file import EventFile, records, remove_from, use_native_crc32c
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.tensorboard_names import logged_name


def record(step, size=10):
    value = summary_pb2.Summary.Value(tag=f"t{'x' * size}", simple_value=step)
    return event_pb2.Event(step=step, summary=summary_pb2.Summary(value=[value]))


def steps(directory):
    return [step for step, _ in tensorboard_values(directory)]


def test_what_was_appended_can_be_read_while_the_file_is_open(tmp_path):
    file = EventFile(tmp_path)
    file.append(record(1))
    assert steps(tmp_path) == [1]
    file.append(record(2))
    assert steps(tmp_path) == [1, 2]
    file.close()


def test_a_torn_record_is_ignored_wherever_it_was_cut(tmp_path):
    file = EventFile(tmp_path)
    file.append(record(1))
    (path,) = tmp_path.iterdir()
    whole, before = path.read_bytes(), list(records(path))
    file.append(record(2))
    file.close()
    longer = path.read_bytes()
    assert len(list(records(path))) == len(before) + 1
    for cut in range(len(whole), len(longer)):
        path.write_bytes(longer[:cut])
        assert list(records(path)) == before, cut


def test_the_checksum_is_the_native_one_and_gives_the_same_values():
    stub = sys.modules["tensorboard.compat.tensorflow_stub.pywrap_tensorflow"]
    assert use_native_crc32c()
    assert stub.crc32c.__module__ == "crc32c" or stub.crc32c.__name__ == "crc32c"
    assert stub.crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720
    table_driven = stub.u32(stub.crc_finalize(stub.crc_update(stub.CRC_INIT, b"123456789")))
    assert table_driven == 0xE3069283


def test_a_missing_crc_package_is_logged_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "crc32c", None)
    use_native_crc32c.cache_clear()
    assert not use_native_crc32c()
    assert not use_native_crc32c()
    assert caplog.text.count("pip install crc32c") == 1
    use_native_crc32c.cache_clear()


def test_a_full_disk_loses_the_record_and_not_the_file(tmp_path):
    file = EventFile(tmp_path)
    file.append(record(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.path.stat().st_size + 500, hard))
    try:
        with pytest.raises(OSError):
            file.append(record(2, size=5000))  # the first 500 bytes fit: a torn record
        file.append(record(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    file.append(record(4, size=5000))
    file.close()
    assert steps(tmp_path) == [1, 3, 4]


def test_a_removed_directory_is_created_again_for_later_events(tmp_path):
    run = tmp_path / "run"
    tracker = TensorBoardTracker(run)
    tracker.emit(Scalars(step=1, values={"a": 1.0}))
    for path in run.iterdir():
        path.unlink()
    run.rmdir()
    tracker.emit(Scalars(step=2, values={"a": 2.0}))
    tracker.close()
    assert read_tensorboard(run).scalars == {("a", 2): 2.0}


def test_after_a_failed_reopen_nothing_is_written_into_another_file(tmp_path, caplog):
    file = EventFile(tmp_path / "run")
    file.append(record(1))
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    (tmp_path / "run").rmdir()
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(OSError):
        file.append(record(2))
    opened = [(tmp_path / f"checkpoint-{n}").open("wb") for n in range(8)]  # one of them gets the descriptor's number
    for _ in range(3):
        with pytest.raises(OSError):
            file.append(record(3))
    assert [path.stat().st_size for path in tmp_path.glob("checkpoint-*")] == [0] * 8
    (tmp_path / "run").unlink()
    file.append(record(4))
    file.close()
    assert steps(tmp_path / "run") == [4]
    assert [other.close() for other in opened] == [None] * 8
    assert "was removed during the run" in caplog.text


def test_a_descriptor_that_other_code_closed_is_not_used_for_its_file(tmp_path):
    file = EventFile(tmp_path)
    file.append(record(1))
    ours = next(int(link.name) for link in Path("/proc/self/fd").iterdir() if link.resolve() == file.path)
    os.close(ours)
    with (tmp_path / "checkpoint").open("wb") as other:
        assert other.fileno() == ours
        file.append(record(2))
        file.close()
        other.write(b"weights")
    assert (tmp_path / "checkpoint").read_bytes() == b"weights"
    assert steps(tmp_path) == [1, 2]


def test_the_projector_file_of_a_round_is_written_once(tmp_path, monkeypatch):
    written = []
    write = projector.write_whole_text
    monkeypatch.setattr(
        projector, "write_whole_text", lambda path, text: written.append(path.name) or write(path, text)
    )
    tracker = TensorBoardTracker(tmp_path)
    for step in (1, 2):
        for voice in range(20):
            embedding = np.arange(4, dtype=np.float32) + voice
            event = replace(comparison(step, voice_id=f"v{voice}"), embeddings={"generated": embedding})
            tracker.emit(replace(event, clips={}))
        if step == 1:
            tracker.flush()
    tracker.close()
    names = ["step-00000001-clips.tsv", "step-00000001.tsv", "projector_config.pbtxt"]
    assert written == [*names, *(name.replace("01", "02") for name in names)]
    rows = [len((tmp_path / "projector" / f"step-0000000{n}.tsv").read_text().splitlines()) for n in (1, 2)]
    assert rows == [20, 20]


def test_a_directory_that_cannot_be_written_raises(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError):
        EventFile(tmp_path / "file" / "run")


def test_names_hold_no_host_and_sort_after_what_is_there(tmp_path):
    (tmp_path / "events.out.tfevents.9999999990.other").touch()
    first, second = EventFile(tmp_path), EventFile(tmp_path)
    assert os.uname().nodename not in first.path.name.replace("tracker_logging", "")
    assert sorted(path.name for path in tmp_path.iterdir())[-2:] == [first.path.name, second.path.name]


def test_removing_takes_out_later_steps_only_and_repairs_a_torn_end(tmp_path):
    file = EventFile(tmp_path)
    for step in (1, 2, 5, 3, 6):
        file.append(record(step))
    file.close()
    with file.path.open("ab") as raw:
        raw.write(b"\x99" * 7)
    assert remove_from(tmp_path, step=5) == 2
    assert steps(tmp_path) == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == [file.path.name]
    assert len(list(records(file.path))) == 4


def test_a_resumed_run_has_no_duplicates_and_no_holes(tmp_path):
    first = TensorBoardTracker(tmp_path)
    for step in range(1, 8):  # the checkpoint is at 5, the crash after 7
        first.emit(Scalars(step=step, values={"a": float(step)}))
        first.emit(comparison(step, fixed=step == 1))
    again = TensorBoardTracker(tmp_path, purge_step=6)
    for step in range(6, 10):
        again.emit(Scalars(step=step, values={"a": float(step)}))
        again.emit(comparison(step, fixed=False))
    again.close()
    run = read_tensorboard(tmp_path)
    assert run.doubles == []
    assert [step for _, step in run.scalars] == list(range(1, 10))
    assert [step for tag, step in run.sounds if tag.endswith("generated")] == list(range(1, 10))
    assert [step for tag, step in run.sounds if tag.endswith("reference")] == [1]


_ENDLESS = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from tracker_examples import comparison
from tracker_logging.events import Scalars
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
trackers = [TensorBoardTracker(Path(sys.argv[1])), JsonLinesTracker(Path(sys.argv[1]))]
for step in range(1, 10_000):
    for tracker in trackers:
        tracker.emit(Scalars(step=step, values={"a": float(step)}))
        tracker.emit(comparison(step, fixed=False))
        tracker.flush()
    print(step, flush=True)
"""


@pytest.mark.parametrize("last_step", [2, 5])
def test_after_kill_9_everything_that_was_flushed_can_be_read(tmp_path, last_step):
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", _ENDLESS, str(tmp_path), str(tests), str(tests.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= last_step:
                break
        process.kill()
    run = read_tensorboard(tmp_path)
    assert [run.scalars["a", step] for step in range(1, last_step + 1)] == list(range(1, last_step + 1))
    assert all(("voices/rms_03/generated", step) in run.sounds for step in range(1, last_step + 1))
    recorded = read_jsonl(tmp_path)
    assert all(("voices/rms_03/generated", step) in recorded.sounds for step in range(1, last_step + 1))


def test_a_clip_is_a_tensor_with_its_name_and_texts(tmp_path):
    tracker = TensorBoardTracker(tmp_path)
    tracker.emit(Audio(step=1, tag="inputs/audio", clips={"reference": clip(caption="as heard")}))
    tracker.emit(comparison(2))
    tracker.close()
    values = {logged_name(value.tag): value for _, value in tensorboard_values(tmp_path)}
    reference = values["inputs/audio/reference"]
    assert reference.metadata.display_name == "reference"
    assert reference.tensor.string_val[1] == b"as heard"
    generated = values["voices/rms_03/generated"].metadata.summary_description
    assert "The old man painted a red boat." in generated
    assert "sim_o" not in generated  # TensorBoard shows the first description at every step
    label = values["voices/rms_03/generated"].tensor.string_val[1].decode()
    assert "The old man painted a red boat." in label
    assert "sim_o 0.52" in label
