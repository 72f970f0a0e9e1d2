"""Data that is broken or hostile: `skip_bad` skips every bad sample, and reading is bounded in time and memory."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tracker_logging.data import download
from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.facts import dataset_facts
from tracker_logging.data.formats import find_format, open_samples, read_samples
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.data.samples import Samples
from tracker_logging.families.higgs_v2.processor import SpeechProcessor

WAVE = (0.1 * np.sin(np.arange(9_600) / 7)).astype(np.float32)
GIB = 1 << 30


@pytest.fixture(autouse=True)
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, WAVE, 24_000)


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def row(**changes: Any) -> dict[str, Any]:
    return {"audio": "a.wav", "text": "The target."} | changes


def flac_with_claimed_samples(path: Path, samples: int) -> Path:
    """A FLAC file of `WAVE` whose STREAMINFO block gives `samples` (36 bits, RFC 9639 section 8.2)."""
    soundfile.write(path, WAVE, 24_000)
    content = bytearray(path.read_bytes())
    content[21] = (content[21] & 0xF0) | (samples >> 32)
    content[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
    path.write_bytes(content)
    return path


def nested(depth: int) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = [value]
    return value


def tar_with(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def set_tar_size(path: Path, name: str, size: int) -> None:
    """Write `size` into the header of member `name`, as base 256 (GNU), with a right checksum."""
    content = bytearray(path.read_bytes())
    at = content.index(name.encode() + b"\0")
    content[at + 124 : at + 136] = (b"\xff" if size < 0 else b"\x80") + (size % (1 << 88)).to_bytes(11, "big")
    content[at + 148 : at + 156] = b" " * 8
    content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    path.write_bytes(content)


# --- skip_bad skips every bad sample -------------------------------------------------------------------------------


def bad_records(folder: Path) -> dict[str, dict[str, Any]]:
    flac_with_claimed_samples(folder / "huge.flac", 2**36 - 1)
    (folder / os.fsdecode(b"\xe9.wav")).write_bytes((folder / "a.wav").read_bytes())
    return {
        "a FLAC header of 2^36 samples": row(audio="huge.flac"),
        "an infinite rate": row(audio={"array": [0.1, 0.2], "sampling_rate": float("inf")}),
        "a rate that is not a number": row(audio={"array": [0.1, 0.2], "sampling_rate": float("nan")}),
        "a negative rate": row(audio={"array": [0.1, 0.2], "sampling_rate": -16_000}),
        "an enormous rate": row(audio={"array": [0.1, 0.2], "sampling_rate": 10**400}),
        "700-deep nesting": row(mood=nested(700)),
        "a file name that is not UTF-8": row(audio=os.fsdecode(b"\xe9.wav")),
        "text that is an object": row(text={"a": 1}),
    }


@pytest.mark.parametrize("name", [
    "a FLAC header of 2^36 samples",
    "an infinite rate",
    "a rate that is not a number",
    "a negative rate",
    "an enormous rate",
    "700-deep nesting",
    "a file name that is not UTF-8",
    "text that is an object",
])  # fmt: skip
def test_a_bad_record_is_skipped_and_named(tmp_path: Path, processor: SpeechProcessor, name: str) -> None:
    bad = bad_records(tmp_path)[name]
    path = lines(tmp_path / "train.jsonl", row(id="first"), bad, row(id="last", audio="b.wav"))
    with pytest.raises(DataError, match=r"train\.jsonl\[1\]"):
        open_samples(path)
    samples = open_samples(path, skip_bad=True, training=True)
    assert [sample.sample_id for sample in samples] == ["first", "last"]
    dataset_facts("train", samples)
    late = Samples(find_format(path).open(path, AudioShelf()), [0, 1, 2], skip_bad=True)
    dataset = VoiceCloningDataset(late, processor, skip_bad=True)
    assert len(dataset[1]["input_ids"]) == len(dataset[2]["input_ids"])
    assert dataset.skipped == {1}
    for outcome in find_format(path).read(path):
        str(outcome).encode("utf-8")  # every message can be printed


def test_a_parquet_cell_out_of_range_is_skipped(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    days = pa.array([0, 10**12, 0], pa.timestamp("s"))
    table = pa.table({"audio": ["a.wav"] * 3, "text": ["One.", "Two.", "Three."], "recorded": days})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet\[1\].*recorded"):
        read_samples(tmp_path / "a.parquet")
    kept = open_samples(tmp_path / "a.parquet", skip_bad=True)
    assert [sample.target_text for sample in kept] == ["One.", "Three."]


@pytest.mark.parametrize("size", [-512, -(2**40), -1])
def test_a_tar_member_of_negative_size_is_skipped_with_what_follows_it(tmp_path: Path, size: int) -> None:
    sound = (tmp_path / "a.wav").read_bytes()
    path = tar_with(tmp_path / "s.tar", {"a.wav": sound, "a.txt": b"One.", "b.wav": sound, "b.txt": b"Two."})
    set_tar_size(path, "b.wav", size)
    with pytest.raises(DataError, match=r"s\.tar.*b\.wav"):
        open_samples(path)
    (tmp_path / "t.tar").write_bytes(tar_with(tmp_path / "x", {"c.wav": sound, "c.txt": b"Three."}).read_bytes())
    shards = tmp_path / "shards"
    shards.mkdir()
    for name in ("s.tar", "t.tar"):
        (tmp_path / name).rename(shards / name)
    assert [sample.target_text for sample in open_samples(shards, skip_bad=True)] == ["One.", "Three."]


def test_files_whose_names_are_not_utf_8_are_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    for name in (b"a", b"\xff"):
        (folder / os.fsdecode(name + b".wav")).write_bytes((tmp_path / "a.wav").read_bytes())
        (folder / os.fsdecode(name + b".txt")).write_text("The target.")
    with pytest.raises(DataError, match=r"not UTF-8; rename") as refusal:
        open_samples(folder)
    str(refusal.value).encode("utf-8")
    assert [sample.sample_id for sample in open_samples(folder, skip_bad=True)] == ["a"]
    shard = tar_with(tmp_path / "n.tar", {})
    with tarfile.open(shard, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        for name in ("a", "\xe9"):
            for ending, content in ((".wav", (tmp_path / "a.wav").read_bytes()), (".txt", b"The target.")):
                member = tarfile.TarInfo(name + ending)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    assert [sample.sample_id for sample in open_samples(shard, skip_bad=True)] == ["a"]


def test_whatever_a_reader_raises_is_a_bad_sample(tmp_path: Path, processor: SpeechProcessor) -> None:
    good = read_samples(lines(tmp_path / "train.jsonl", row()))[0]

    class Faulty:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> VoiceSample:
            if index == 1:
                raise ZeroDivisionError("a fault in a reader")
            if index == 2:
                raise MemoryError
            return good

    samples = Samples(Faulty(), range(4), skip_bad=True)
    assert list(samples) == [good, good]
    with pytest.raises(DataError, match="ZeroDivisionError: a fault in a reader"):
        samples[1]
    with pytest.raises(DataError, match="MemoryError"):
        samples[2]
    dataset = VoiceCloningDataset(samples, processor, skip_bad=True)
    assert len(dataset[1]["input_ids"]) and dataset.skipped == {1, 2}


def test_a_fault_in_features_is_a_bad_sample_only_where_these_are_skipped(
    tmp_path: Path, processor: SpeechProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = open_samples(lines(tmp_path / "train.jsonl", row(id="bad"), row(id="good")))
    features = type(processor).features

    def faulty(self: SpeechProcessor, sample: VoiceSample) -> Any:
        if sample.sample_id == "bad":
            raise OverflowError("a fault in a codec")
        return features(self, sample)

    monkeypatch.setattr(type(processor), "features", faulty)
    assert len(VoiceCloningDataset(samples, processor, skip_bad=True)[0]["input_ids"])
    with pytest.raises(OverflowError):
        VoiceCloningDataset(samples, processor)[0]


# --- reading is bounded ---------------------------------------------------------------------------------------------


def sparse(path: Path, start: bytes, size: int, end: bytes = b"") -> Path:
    """A file of `size` bytes that is zeros between `start` and `end` and takes no room on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
        file.seek(size)
        file.write(end)
    return path


def large_tar(folder: Path) -> Path:
    path = tar_with(folder / "large.tar", {"a.wav": b"RIFF", "b.txt": b"The target."})
    set_tar_size(path, "a.wav", 8 * GIB)
    content = path.read_bytes()
    with path.open("r+b") as file:  # the second member follows 8 GiB later
        file.truncate(512 + 8 * GIB)
        file.seek(512 + 8 * GIB)
        file.write(content[1024:])
    return path


def large_transcript(folder: Path) -> Path:
    pairs = folder / "transcript"
    pairs.mkdir()
    soundfile.write(pairs / "a.wav", WAVE, 24_000)
    sparse(pairs / "a.txt", b"The target.", 3 * GIB)
    return pairs


def repeated_parquet(folder: Path) -> Path:
    """One text of 20 kB for 60,000 rows: a few kB on disk, 1.2 GB as rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "repeated.parquet"
    audio, text = (
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(60_000, np.int32)), [value])
        for value in ("gone.wav", "word " * 4_000)
    )
    pq.write_table(pa.table({"audio": audio, "text": text}), path)
    assert path.stat().st_size < 100_000 and pq.ParquetFile(path).metadata.num_row_groups == 1
    return path


def one_parquet_cell(folder: Path) -> Path:
    """One cell of 600 MB of zeros, compressed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "cell.parquet"
    cell = pa.array([b"\0" * 600_000_000], pa.large_binary())
    pq.write_table(pa.table({"audio": cell, "text": ["a"]}), path, compression="zstd", use_dictionary=False)
    return path


def empty_parquet_rows(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "nulls.parquet"
    nothing = pa.nulls(25_000_000, pa.int8())
    schema = pa.schema([("audio", pa.int8()), ("text", pa.int8())])
    pq.write_table(pa.table([nothing, nothing], schema=schema), path, row_group_size=25_000_000)
    return path


def zeros(name: str, start: bytes, size: int, end: bytes = b"") -> Callable[[Path], Path]:
    return lambda folder: sparse(folder / name, start, size, end)


LARGE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a tar member of 8 GB": (large_tar, "large.tar[0].a.wav"),
    "a transcript of 3 GB": (large_transcript, "a.txt"),
    "a JSON list of 1.2 GB": (zeros("list.json", b'[{"a": "', 1_200_000_000, b'"}]'), "list.json"),
    "a JSON item of 0.9 GB": (zeros("item.json", b'[{"a": "', 900_000_000, b'"}]'), "item.json"),
    "a JSON object of 0.9 GB": (zeros("object.json", b'{"a": "', 900_000_000, b'"}'), "object.json"),
    "a line of 1.2 GB": (zeros("line.jsonl", b'{"audio": "', 1_200_000_000, b'"}\n'), "line.jsonl"),
    "a table of one line": (zeros("line.csv", b"audio,text\na,", 900_000_000), "line.csv"),
    "a header of 0.9 GB": (zeros("header.csv", b"audio,text,", 900_000_000), "header.csv"),
    "a billion zeros": (zeros("empty.jsonl", b'{"a": 1}', 1_000_000_000), "empty.jsonl"),
    "a recording of 4 GB": (lambda folder: lines(folder / "wav.jsonl", row(audio=large_wav(folder))), "wav.jsonl"),
    "a parquet of one text": (repeated_parquet, "repeated.parquet"),
    "a parquet of one cell": (one_parquet_cell, "cell.parquet"),
    "a parquet of empty rows": (empty_parquet_rows, "nulls.parquet"),
}


def large_wav(folder: Path) -> str:
    size = 4_000_000_000
    header = b"RIFF" + struct.pack("<I", size - 8) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    sparse(folder / "large.wav", header + b"data" + struct.pack("<I", size - 44), size)
    return "large.wav"


READ_ALL = """
import json, sys, time
from pathlib import Path
from tracker_logging.data.formats import find_format, open_samples
from tracker_logging.data.sample import DataError

path, messages = Path(sys.argv[1]), []
def skipping(path):
    return open_samples(path, skip_bad=True)

def first(path):
    return next(find_format(path).read(path))

for attempt in (open_samples, skipping, first):
    try:
        result = attempt(path)
        messages.append(str(result)[:300] if isinstance(result, DataError) else "no error")
    except DataError as error:
        messages.append(str(error))
lines = Path("/proc/self/status").read_text().splitlines()  # getrusage counts the process that forked this one
peak = int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
print(json.dumps({"messages": messages, "seconds": time.process_time(), "peak_mib": peak}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_data_ends_in_a_message_within_seconds_and_a_gigabyte(tmp_path: Path, name: str) -> None:
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    make, named = LARGE[name]
    path = make(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(path)], stdout=subprocess.PIPE, text=True, timeout=120, check=True
    )
    outcome = json.loads(done.stdout)
    assert any(named in message for message in outcome["messages"]), outcome
    assert not all(message.startswith("no error") for message in outcome["messages"]), outcome
    assert outcome["seconds"] < 30 and outcome["peak_mib"] < 1_000, outcome


def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    shards, pairs = tmp_path / "shards", tmp_path / "pairs"
    for folder in (shards, pairs):
        folder.mkdir()
    for path in (shards / "a.tar", pairs / "a.wav", pairs / "a.txt", tmp_path / "f.jsonl", tmp_path / "metadata.json"):
        os.mkfifo(path)
    for path in (shards, shards / "a.tar", pairs, tmp_path / "f.jsonl", tmp_path / "metadata.json"):
        with pytest.raises(DataError, match=path.name):
            open_samples(path)
    soundfile.write(pairs / "b.wav", WAVE, 24_000)
    os.mkfifo(pairs / "b.txt")
    with pytest.raises(DataError, match=r"not a regular file"):
        open_samples(pairs)


@pytest.fixture
def dripping(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Servers that send one byte every 50 ms: the headers, or the content."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "GRACE_S", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            asked = connection.recv(4096).split()[1]
            whole = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
            if asked == b"/content":
                connection.sendall(whole)
                whole = b""
            try:
                for byte in whole + b"R" * 1_000:
                    if stop.wait(0.05):
                        return
                    connection.sendall(bytes([byte]))
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield {"content": f"{base}/content", "headers": f"{base}/headers"}
    stop.set()
    listener.close()


@pytest.mark.parametrize("part", ["content", "headers"])
def test_a_server_that_drips_is_given_up(tmp_path: Path, dripping: dict[str, str], part: str) -> None:
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"too slow"):
        AudioShelf(directory=tmp_path / "kept", allow_download=True).file_of(dripping[part], folders=[])
    assert time.monotonic() - begin < 25  # to its end it takes 50 s
