"""Paths as other systems write them, and references for corpora that have none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_corpora import TEXTS, clip, own_cache, seconds, speakers, texts, write  # noqa: F401 - `own_cache` is a fixture

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.facts import dataset_facts
from tracker_logging.data.find_file import find_file
from tracker_logging.data.formats import open_samples, read_samples
from tracker_logging.data.references import Pairing, hold_out_speakers, pair_references
from tracker_logging.data.sample import DataError

# --- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "on_disk"),
    [
        ("clips\\a.wav", "clips/a.wav"),
        (".\\clips\\a.wav", "clips/a.wav"),
        ("caf\u00e9.wav", "cafe\u0301.wav"),
        ("cafe\u0301.wav", "caf\u00e9.wav"),
        ("Clips/A.WAV", "clips/a.wav"),
        ("CLIPS\\A.wav", "clips/a.wav"),
        ("a", "wavs/a.flac"),
        ("with space.wav", "with space.wav"),
        ("a.wav ", "a.wav"),
    ],
)
def test_a_path_is_read_as_another_system_wrote_it(tmp_path: Path, name: str, on_disk: str) -> None:
    path = clip(tmp_path / on_disk)
    (sample,) = read_samples(write(tmp_path / "a.jsonl", [json.dumps({"audio": name, "text": TEXTS[0]})]))
    assert sample.target_audio is not None and sample.target_audio.samefile(path)


def test_file_urls_and_home_directories_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "my clips" / "a.wav")
    monkeypatch.setenv("HOME", str(tmp_path))
    shelf = AudioShelf(directory=tmp_path / "kept")
    for name in (path.as_uri(), f"file://localhost{path.as_uri()[7:]}", "~/my clips/a.wav"):
        assert shelf.file_of(name, folders=[]) == path


def test_a_missing_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    clip(tmp_path / "clips" / "target_0001.wav")
    for name in ("clips/target_001.wav", "C:\\data\\clips\\target_001.wav"):
        with pytest.raises(DataError, match=r"nearest file is '(clips/)?target_0001\.wav'"):
            find_file(name, [tmp_path, tmp_path / "clips"])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a\0.wav", "names 'a\\x00.wav', which no file can be called"),
        ("~/nothing/a.wav", "does not exist; correct"),
        ("~nobody-of-this-name/a.wav", "does not exist beside the data file"),
    ],
)
def test_a_name_that_no_file_can_have_is_answered_like_a_missing_one(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(DataError, match=re.escape(problem)):
        find_file(name, [tmp_path])


def test_two_files_that_differ_in_case_are_not_confused(tmp_path: Path) -> None:
    clip(tmp_path / "a.wav")
    clip(tmp_path / "A.wav")
    assert find_file("A.wav", [tmp_path]).name == "A.wav"
    with pytest.raises(DataError, match="nearest file"):
        find_file("A.WAV", [tmp_path])


# --- references -----------------------------------------------------------------------------------------------------


def test_references_are_other_utterances_of_the_speaker_within_bounds() -> None:
    generator = np.random.default_rng(3)
    who = [None if n % 11 == 0 else f"s{generator.integers(6)}" for n in range(300)]
    long = [None if n % 13 == 0 else float(generator.uniform(0.2, 20)) for n in range(300)]
    pairing = Pairing(seed=5, min_s=2.0, max_s=10.0)
    partners = pair_references(who, long, pairing)
    assert partners == pair_references(who, long, pairing)
    assert partners != pair_references(who, long, Pairing(seed=6, min_s=2.0, max_s=10.0))
    for index, partner in enumerate(partners):
        fits = [other for other in range(300) if other != index and who[other] == who[index]]
        possible = [other for other in fits if 2.0 <= (long[other] or 0) <= 10.0]
        assert (partner is None) == (who[index] is None or not possible)
        assert partner is None or partner in possible
    assert len(set(partners)) > 60  # not one clip for all


def test_a_corpus_without_references_gets_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = ["audio|text|speaker"]
    for n in range(7):
        clip(tmp_path / "wavs" / f"a{n}.wav", seconds=0.5 if n == 5 else 2.0)
        rows.append(f"wavs/a{n}.wav|Text {n}.|{'alone' if n == 6 else 'slt' if n % 2 else 'awb'}")
    path = write(tmp_path / "metadata.csv", rows)
    samples = open_samples(path, training=True, pairing=Pairing(seed=1))
    by_text = {sample.target_text: sample for sample in read_samples(path)}
    for sample in samples:
        if sample.speaker == "alone":
            assert sample.reference_audio is None
            continue
        reference = by_text[sample.reference_text]
        assert reference.speaker == sample.speaker and reference.target_text not in (sample.target_text, "Text 5.")
        assert sample.reference_audio == reference.target_audio
        assert sample.extra["reference_from"] == reference.sample_id
    assert "1 speakers have samples without a reference (alone)" in caplog.text
    assert dataset_facts("train", samples)["train_paired_references"] == 6
    assert "train_paired_references" not in dataset_facts("train", read_samples(path))


def test_held_out_speakers_are_some_and_never_all() -> None:
    who = [f"s{n % 10}" for n in range(100)] + [None]
    held = hold_out_speakers(who, share=0.2, seed=3)
    assert len(held) == 2 and held < {f"s{n}" for n in range(10)}
    assert held == hold_out_speakers(list(reversed(who)), share=0.2, seed=3)
    assert hold_out_speakers(["a"], share=0.5) == frozenset()
    assert len(hold_out_speakers(["a", "b"], share=0.99)) == 1
