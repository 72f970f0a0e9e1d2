"""Audio that is a path, an address, base64, bytes or an array becomes a file that holds the same samples."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile

from tracker_logging.data.audio import load_audio
from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats import find_format, read_samples
from tracker_logging.data.formats.lazy import outcomes
from tracker_logging.data.sample import DataError, VoiceSample

WAVE = (0.5 * np.sin(np.arange(2400) / 7)).astype(np.float32)
ENDINGS = ["wav", "flac", "ogg", "mp3"]


@pytest.fixture
def shelf(tmp_path: Path) -> AudioShelf:
    return AudioShelf(directory=tmp_path / "shelf")


def recording(directory: Path, ending: str = "wav", *, rate: int = 24_000) -> Path:
    path = directory / f"clip.{ending}"
    soundfile.write(path, WAVE, rate)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_bytes_and_base64_of_every_file_format_become_a_file_of_that_format(
    tmp_path: Path, shelf: AudioShelf, ending: str
) -> None:
    path = recording(tmp_path, ending)
    content = path.read_bytes()
    text = base64.b64encode(content).decode()
    given = [content, {"bytes": content, "path": "x"}, {"raw_audio": text, "audio_url": "placeholder"}]
    kept = [shelf.file_of(one, folders=[]) for one in (*given, f"data:audio/{ending};base64,{text}")]
    assert len(set(kept)) == 1
    assert kept[0].suffix == f".{ending}"
    assert kept[0].read_bytes() == content
    np.testing.assert_array_equal(load_audio(kept[0], 24_000), load_audio(path, 24_000))


def test_base64_may_stand_in_the_place_of_a_path(tmp_path: Path, shelf: AudioShelf) -> None:
    for ending in ("wav", "flac", "ogg"):
        content = recording(tmp_path, ending).read_bytes()
        assert shelf.file_of(base64.b64encode(content).decode(), folders=[]).read_bytes() == content


@pytest.mark.parametrize("wave", [WAVE, np.stack([WAVE, WAVE]), np.stack([WAVE, WAVE], axis=1)], ids=["n", "cn", "nc"])
def test_an_array_keeps_its_samples_and_its_rate(shelf: AudioShelf, wave: np.ndarray) -> None:
    for array in (wave, wave.tolist()):
        kept = shelf.file_of({"array": array, "sampling_rate": 16_000}, folders=[])
        assert soundfile.info(kept).samplerate == 16_000
        np.testing.assert_array_equal(load_audio(kept, 16_000), WAVE)


@pytest.mark.parametrize("in_parquet", [True, False], ids=["parquet", "arrow"])
@pytest.mark.parametrize("channels", [1, 2])
def test_16_bit_arrays_of_columns_become_audio_of_full_scale_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_parquet: bool, channels: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pa = pytest.importorskip("pyarrow")
    whole = (WAVE * 32_768).astype(np.int16)
    array = whole.tolist() if channels == 1 else [whole.tolist()] * 2

    def rows(kind: Any, stem: str) -> Path:
        listed = pa.list_(kind) if channels == 1 else pa.list_(pa.list_(kind))
        audio = pa.struct([("array", listed), ("sampling_rate", pa.int32())])
        clips = pa.array([{"array": array, "sampling_rate": 24_000}, None], audio)
        table = pa.table({"audio": clips, "text": ["We meet at ten.", "No clip."]})
        path = tmp_path / stem
        if in_parquet:
            pytest.importorskip("pyarrow.parquet").write_table(table, path)
            return path
        path.mkdir()
        with pa.OSFile(str(path / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        (path / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
        return path

    path = rows(pa.int16(), "short")
    samples = list(find_format(path).read(path))
    records = outcomes(find_format(path).open(path, AudioShelf()).records)
    (first, second), (read, _) = samples, records
    assert isinstance(first, VoiceSample) and isinstance(second, VoiceSample)
    np.testing.assert_array_equal(load_audio(first.target_audio, 24_000), whole / np.float32(32_768))
    np.testing.assert_array_equal(read["audio"]["array"], np.array(array) / 32_768)
    assert second.target_audio is None
    with pytest.raises(DataError, match=r"long\[0\]\.audio has samples up to 16,38\d, and full scale is 1"):
        read_samples(rows(pa.int64(), "long"))


def test_a_stored_clip_is_written_once(tmp_path: Path, shelf: AudioShelf) -> None:
    content = recording(tmp_path).read_bytes()
    first = shelf.file_of(content, folders=[])
    written = first.stat().st_mtime_ns, first.stat().st_ino
    assert shelf.file_of(content, folders=[]) == first
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == written
    assert [path for path in (tmp_path / "shelf").rglob("*") if path.is_file()] == [first]


BAD = {
    "empty text": ("", "is empty"),
    "empty object": ({"audio_url": "", "raw_audio": None}, "is empty"),
    "empty bytes": (b"", "is empty"),
    "a number": (7, "is a int, not audio"),
    "other bytes": (b"PK\x03\x04 a zip file", "is not WAV, FLAC, Ogg or MP3"),
    "broken base64": ({"raw_audio": "UklGR"}, "is not valid base64"),
    "an array without a rate": ({"array": [0.0, 0.1]}, "`sampling_rate` None"),
    "an empty array": ({"array": [], "sampling_rate": 16_000}, "empty, not finite"),
    "an array that is not finite": ({"array": [float("nan")], "sampling_rate": 16_000}, "empty, not finite"),
    "an array on the scale of 16 bits": (
        {"array": [0, 13_482, -32_000], "sampling_rate": 16_000},
        "has samples up to 32,000, and full scale is 1; divide",
    ),
    "16-bit samples as numbers with a point": ({"array": [0.0, 9.5], "sampling_rate": 16_000}, "samples up to 10, and"),
    "an array of text": ({"array": ["a"], "sampling_rate": 16_000}, "values that are not numbers"),
    "an address": ("https://example.org/a.wav", "set --allow_download"),
    "a strange name": ("a\0b.wav", "null byte"),
    "a very long name": ("a" * 5_000, "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_audio_is_refused(tmp_path: Path, shelf: AudioShelf, name: str) -> None:
    value, message = BAD[name]
    with pytest.raises(DataError, match=message):
        shelf.file_of(value, folders=[tmp_path])
    assert not (tmp_path / "shelf").exists()


def test_a_path_that_leads_out_a_circular_link_and_a_folder_are_named(tmp_path: Path, shelf: AudioShelf) -> None:
    recording(tmp_path)
    inside = tmp_path / "data"
    inside.mkdir()
    (inside / "circle.wav").symlink_to(inside / "circle.wav")
    (inside / "folder.wav").mkdir()
    for name, message in [
        ("../clip.wav", "leads out of the data's folders"),
        ("circle.wav", "is a circular link"),
        ("folder.wav", "is a directory"),
        ("gone.wav", "does not exist beside the data file"),
        (str(inside / "gone.wav"), r"does not exist; correct the path"),
    ]:
        with pytest.raises(DataError, match=message):
            shelf.file_of(name, folders=[inside])
    assert shelf.file_of(str(tmp_path / "clip.wav"), folders=[inside]) == tmp_path / "clip.wav"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of `tmp_path`, and the paths that it was asked for."""
    monkeypatch.setenv("no_proxy", "*")
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/leaves":
                self.send_response(302)
                self.send_header("Location", "ftp://127.0.0.1/clip.wav")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address_is_fetched_once_when_that_is_allowed(tmp_path: Path, site: tuple[str, list[str]]) -> None:
    address, asked = site
    path = recording(tmp_path, "flac")
    with pytest.raises(DataError, match="set --allow_download"):
        AudioShelf(directory=tmp_path / "shelf").file_of(f"{address}/clip.flac", folders=[])
    assert asked == []
    shelf = AudioShelf(directory=tmp_path / "shelf", allow_download=True)
    for _ in range(2):
        assert shelf.file_of({"url": f"{address}/clip.flac"}, folders=[]).read_bytes() == path.read_bytes()
    assert asked == ["/clip.flac"]


def test_a_fetch_ends_at_its_limit_and_does_not_leave_http(tmp_path: Path, site: tuple[str, list[str]]) -> None:
    address, _ = site
    recording(tmp_path)
    shelf = AudioShelf(directory=tmp_path / "shelf", allow_download=True, max_bytes=1_000)
    for wanted, message in [
        (f"{address}/clip.wav", "is larger than 0.001 MB"),
        (f"{address}/gone.wav", "cannot be downloaded.*404"),
        (f"{address}/leaves", "cannot be downloaded"),
        ("ftp://127.0.0.1/clip.wav", "neither http nor https"),
    ]:
        with pytest.raises(DataError, match=message):
            shelf.file_of(wanted, folders=[])


def test_a_place_of_a_store_is_read_through_fsspec_where_that_is_allowed(tmp_path: Path) -> None:
    content = recording(tmp_path).read_bytes()
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/clip.wav", content)
    shelf = AudioShelf(directory=tmp_path / "shelf", allow_download=True)
    clip = shelf.file_of("memory://bucket/clip.wav", folders=[])
    assert (clip.read_bytes(), clip.suffix) == (content, ".wav")
    store.rm("/bucket/clip.wav")
    assert shelf.file_of("memory://bucket/clip.wav", folders=[]) == clip  # read once
    small = AudioShelf(directory=tmp_path / "small", allow_download=True, max_bytes=1_000)
    store.pipe("/bucket/clip.wav", content)
    for shelf, wanted, message in [
        (AudioShelf(), "memory://bucket/clip.wav", "set --allow_download"),
        (small, "memory://bucket/clip.wav", "is larger than 0.001 MB"),
        (small, "memory://bucket/gone.wav", "cannot be downloaded"),
        (small, "oci://bucket/clip.wav", "cannot be downloaded.*[Ii]nstall"),  # its package is not installed
        (small, "zip://clip.wav::memory://bucket/a.zip", "neither http nor https"),
        (small, f"local://{tmp_path}/clip.wav", "neither http nor https"),
        (small, "nowhere://clip.wav", "neither http nor https"),
    ]:
        with pytest.raises(DataError, match=message):
            shelf.file_of(wanted, folders=[])
