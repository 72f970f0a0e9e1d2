"""A file is written completely or not at all, by any number of processes, and others may read it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.codes import CodeCache
from tracker_logging.data.convert import convert
from tracker_logging.data.sample import VoiceSample
from tracker_logging.whole_file import whole_file, write_whole_text


def test_after_a_failed_write_the_file_is_as_it_was_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    write_whole_text(tmp_path / "a.txt", "first")
    with pytest.raises(OSError, match="full"), whole_file(tmp_path / "a.txt") as part:
        part.write_text("sec")
        raise OSError("the disk is full")
    assert (tmp_path / "a.txt").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_several_writers_of_a_file_do_not_mix(tmp_path: Path) -> None:
    begun = Barrier(4)

    def write(text: str) -> None:
        with whole_file(tmp_path / "a.txt") as part, part.open("w") as file:
            begun.wait(timeout=30)
            file.write(text)

    texts = [letter * 10_000 for letter in "abcd"]
    writers = [Thread(target=write, args=(text,)) for text in texts]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert (tmp_path / "a.txt").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_umask")
def test_other_users_may_read_codes_clips_and_converted_data(tmp_path: Path, codec: Any, sample: VoiceSample) -> None:
    assert sample.target_audio is not None
    CodeCache(tmp_path / "codes", codec)(sample.target_audio)
    clip = AudioShelf(tmp_path / "audio").file_of(sample.target_audio.read_bytes(), folders=())
    (tmp_path / "a.jsonl").write_text(json.dumps({"audio": str(clip), "text": "Hello."}))
    convert(tmp_path / "a.jsonl", tmp_path / "b.jsonl", to="chatml")
    written = [*(tmp_path / "codes").rglob("*.npy"), clip, tmp_path / "b.jsonl"]
    assert [path.stat().st_mode & 0o777 for path in written] == [0o644] * 3
