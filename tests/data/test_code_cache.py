"""The code cache: by content, by codec, safe to share."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker_logging.data.codes import CodeCache
from tracker_logging.data.sample import DataError, Utterance, VoiceSample


def test_a_clip_is_encoded_once_even_under_another_name(tmp_path: Path, codec: Any, sample: VoiceSample) -> None:
    path = sample.target_audio
    assert path is not None
    first = CodeCache(tmp_path / "codes", codec)(path)
    moved = tmp_path / "moved.wav"
    shutil.move(path, moved)
    again = CodeCache(tmp_path / "codes", codec)(moved)
    assert codec.encoded == 1
    assert again.dtype == np.int64
    np.testing.assert_array_equal(first, again)


def test_a_changed_clip_or_another_codec_is_encoded_anew(
    tmp_path: Path, codec: Any, sample: VoiceSample, other: VoiceSample
) -> None:
    path, replacement = sample.target_audio, other.target_audio
    assert path is not None
    assert replacement is not None
    codes = CodeCache(tmp_path / "codes", codec)
    before = codes(path)
    shutil.copy(replacement, path)
    assert codes(path).shape != before.shape
    codec.identity = "another"
    codes(path)
    assert codec.encoded == 3


def test_an_unreadable_entry_is_computed_again(tmp_path: Path, codec: Any, sample: VoiceSample) -> None:
    path = sample.target_audio
    assert path is not None
    codes = CodeCache(tmp_path / "codes", codec)
    expected = codes(path)
    (entry,) = (tmp_path / "codes").rglob("*.npy")
    entry.write_bytes(b"torn")
    np.testing.assert_array_equal(codes(path), expected)
    np.testing.assert_array_equal(np.load(entry), expected)


def test_prepare_encodes_what_is_missing_and_leaves_no_unfinished_file(
    tmp_path: Path, codec: Any, sample: VoiceSample, other: VoiceSample
) -> None:
    paths = [path for one in (sample, other, sample) for path in (one.reference_audio, one.target_audio) if path]
    codes = CodeCache(tmp_path / "codes", codec)
    codes.put(paths[0], np.zeros((3, 5), dtype=np.int64))
    assert codes.prepare(paths).encoded == 3
    assert codes.prepare(paths).encoded == 0
    assert not list((tmp_path / "codes").rglob("*.tmp"))


def test_all_clips_of_a_dialogue_are_encoded_before_training(
    tmp_path: Path, codec: Any, sample: VoiceSample, other: VoiceSample
) -> None:
    assert sample.target_audio and other.reference_audio and other.target_audio
    dialogue = replace(
        sample,
        more_references=(Utterance(text="two", audio=other.reference_audio),),
        more_targets=(Utterance(text="three", audio=other.target_audio),),
    )
    codes = CodeCache(tmp_path / "codes", codec)
    assert codes.prepare_samples([[dialogue]]).encoded == 4
    assert codes.prepare_samples([[sample, other]]).encoded == 0


def test_many_writers_leave_one_whole_entry(tmp_path: Path, codec: Any, sample: VoiceSample) -> None:
    path = sample.target_audio
    assert path is not None
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: CodeCache(tmp_path / "codes", codec)(path), range(16)))
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    assert len(list((tmp_path / "codes").rglob("*.npy"))) == 1


def test_a_clip_that_vanished_is_named(tmp_path: Path, codec: Any) -> None:
    with pytest.raises(DataError, match=r"gone\.wav: the audio file cannot be read"):
        CodeCache(tmp_path / "codes", codec)(tmp_path / "gone.wav")


def test_codes_that_cannot_be_kept_are_returned_and_reported_once(
    tmp_path: Path, codec: Any, sample: VoiceSample, other: VoiceSample, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk may fill up during a training."""
    assert sample.target_audio is not None and other.target_audio is not None
    (tmp_path / "file").write_text("in the way")
    codes = CodeCache(tmp_path / "file" / "codes", codec)
    for path in (sample.target_audio, other.target_audio, sample.target_audio):
        np.testing.assert_array_equal(codes(path), CodeCache(tmp_path / "codes", codec)(path))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "codes of clips cannot be kept there (Not a directory)" in caplog.text
    assert "--code_cache" in caplog.text and "computed again" in caplog.text


def test_a_cache_that_cannot_be_written_is_refused_before_training(
    tmp_path: Path, codec: Any, sample: VoiceSample
) -> None:
    (tmp_path / "file").write_text("in the way")
    codes = CodeCache(tmp_path / "file" / "codes", codec)
    for skip_bad in (False, True):
        with pytest.raises(DataError, match=r"cannot be kept there \(Not a directory\). .* --code_cache"):
            codes.prepare_samples([[sample]], skip_bad=skip_bad)
