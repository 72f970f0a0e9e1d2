"""Directories of recordings as they are on disks: links, folders without rights, files of other kinds."""

from __future__ import annotations

import ctypes
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tracker_logging.cli import main
from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import DataError
from tracker_logging.doctor.data_checks.report import check_files

_CAPABILITIES_3 = 0x20080522
_READ_ANYTHING = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


def clips(folder: Path, names: Sequence[str]) -> Path:
    """Recordings with their texts beside them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{name}.wav", 0.1 * np.sin(np.arange(24_000) / 9), 16_000)
        (folder / f"{name}.txt").write_text(f"We meet at 10:30 in {name}.")
    return folder


def ids(folder: Path) -> list[str]:
    return [sample.sample_id for sample in read_samples(folder)]


@contextmanager
def no_rights(folder: Path) -> Iterator[None]:
    """`folder` may not be listed, not even by root."""
    libc, header, rights = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, rights) == 0
    effective, rights[0] = rights[0], rights[0] & ~_READ_ANYTHING
    folder.chmod(0)
    assert libc.capset(header, rights) == 0
    try:
        with pytest.raises(PermissionError):
            os.scandir(folder)
        yield
    finally:
        rights[0] = effective
        libc.capset(header, rights)
        folder.chmod(0o755)


def test_folders_that_are_links_are_read_and_each_folder_once(tmp_path: Path) -> None:
    clips(tmp_path / "other disk", ["a"])
    corpus = clips(tmp_path / "corpus", ["s2/a", "s2/inner/b"])
    (corpus / "s3").symlink_to(tmp_path / "other disk")
    (corpus / "s2/inner/loop").symlink_to(corpus)
    for link in ("s1", "s9"):
        (corpus / link).symlink_to(corpus / "s2")  # which is read by its own name
    assert ids(corpus) == ["s2/a", "s2/inner/b", "s3/a"]
    only_links = tmp_path / "links"
    only_links.mkdir()
    (only_links / "s3").symlink_to(tmp_path / "other disk")
    assert ids(only_links) == ["s3/a"]


@pytest.mark.parametrize("name", ["lost+found", "deep/er/s2"])
def test_a_folder_that_may_not_be_listed_is_named(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips(tmp_path, ["s1/a", "s1/b"])
    (tmp_path / name).mkdir(parents=True)
    with no_rights(tmp_path / name):
        assert ids(tmp_path) == ["s1/a", "s1/b"]
        assert f"1 folders may not be listed ({name})" in caplog.text
        found = check_files(tmp_path).findings
        out = tmp_path / "out.jsonl"
        assert main(["convert", str(tmp_path), str(out), "--to", "chatml"]) == 0
    left_out = [one.seen for one in found if one.name == "files_left_out"]
    assert left_out == [f"1 folders may not be listed ({name}), so what is in them is left out"]


def test_a_directory_that_may_not_be_listed_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = clips(tmp_path / "corpus", ["s1/a"])
    for folder in (corpus, corpus / "s1"):
        with no_rights(folder):
            with pytest.raises(
                DataError,
                match=r"corpus.*(cannot be read \(Permission denied\)|1 folders that may not be listed \(s1\))",
            ):
                read_samples(corpus)
            assert main(["convert", str(corpus), str(tmp_path / "out.jsonl"), "--to", "chatml"]) == 2
            assert "cannot be written" not in capsys.readouterr().err
            assert {one.name for one in check_files(corpus).findings} <= {"file_unreadable", "file_unknown"}
    assert not (tmp_path / "out.jsonl").exists()


def test_recordings_and_texts_that_are_not_read_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips(tmp_path, ["s1/a", "s1/b"])
    for name in ("s1/c.m4a", "s2/d.AIFF", "s2/e.aiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\0\0\x20ftypM4A ")
        (tmp_path / name).with_suffix(".txt").write_text("Not read.")
    (tmp_path / "s1/f.txt").write_text("Its recording is lost.")
    (tmp_path / "s1/README.txt").write_text("Not a transcript.")
    assert ids(tmp_path) == ["s1/a", "s1/b"]
    other = "3 recordings are neither WAV, FLAC, Ogg nor MP3 (s1/c.m4a, s2/d.AIFF, s2/e.aiff)"
    lone = "1 texts have no recording (s1/f.txt)"
    assert other in caplog.text and lone in caplog.text
    found = [(one.seen, one.fix) for one in check_files(tmp_path).findings if one.name == "files_left_out"]
    assert found == [
        (f"{other} and are left out", "Convert them to one of these."),
        (f"{lone} and are left out", "Add the recordings, or remove the texts."),
    ]


APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + b"\xb0" * 50


def test_files_that_macos_writes_beside_others_are_no_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips(tmp_path / "pairs", ["s1/a"])
    for name in ("._a.wav", "._a.txt", "._b.txt", "._c.m4a"):
        (tmp_path / "pairs/s1" / name).write_bytes(APPLE_DOUBLE)
    assert ids(tmp_path / "pairs") == ["s1/a"]
    assert "left out" not in caplog.text

    listed = tmp_path / "listed"
    clips(listed, ["a"])
    (listed / "a.txt").rename(listed / "transcripts.txt")
    (listed / "transcripts.txt").write_text("a\tWe meet at 10:30.\n")
    for number in range(25):  # more than a folder of lists has
        (listed / f"._{number}.txt").write_bytes(APPLE_DOUBLE)
    assert ids(listed) == ["a"]

    shards = tmp_path / "shards"
    shards.mkdir()
    with tarfile.open(shards / "a.tar", "w") as tar:
        for name in ("a.wav", "a.txt"):
            tar.add(tmp_path / "pairs/s1" / name, name)
            tar.add(tmp_path / "pairs/s1" / f"._{name}", f"s/._{name}")
    (shards / "._a.tar").write_bytes(APPLE_DOUBLE)
    assert ids(shards) == ["a"]

    table = tmp_path / "table"
    clips(table, ["a"])
    (table / "train.csv").write_text("audio,text\na.wav,We meet at 10:30.\n")
    for name in ("._train.csv", "._train.jsonl", "._train.parquet"):
        (table / name).write_bytes(APPLE_DOUBLE)
    assert [sample.target_text for sample in read_samples(table)] == ["We meet at 10:30."]


@pytest.mark.parametrize(
    "names",
    [
        ["84_1_0.wav", "84_1_0.normalized.txt", "84_1_0.original.txt", "84_1.trans.tsv"],
        ["A.WAV", "a.txt", "a.m4a", "LICENSE.txt", "speaker-info.txt"],
        ["a.wav", "a.txt", "b.wav", "texts.txt"],
        ["wav48/p225/p225_001.flac", "txt/p225/p225_001.txt", "txt/p225/p225_002.txt"],
    ],
)
def test_files_of_a_complete_corpus_are_not_reported(
    names: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".txt", ".tsv", ".m4a")):
            (tmp_path / name).write_text(f"{'b' if name == 'texts.txt' else 'x'}\tWe meet at 10:30.\n")
        else:
            soundfile.write(tmp_path / name, np.zeros(24_000), 16_000)
    read_samples(tmp_path)
    assert "left out" not in caplog.text


def test_a_directory_without_a_readable_recording_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1/a.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    with pytest.raises(DataError, match=r"no data are known in this directory, which holds 1 × \.m4a\."):
        read_samples(tmp_path)
