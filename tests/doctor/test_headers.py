"""Headers are read as libsndfile reads them, and as training does."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker_logging.data.audio import check_audio
from tracker_logging.data.sample import DataError
from tracker_logging.doctor.data_checks.headers import read_header


@pytest.mark.parametrize(("container", "subtype"), [
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_U8"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAV", "ULAW"),
    ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"),
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_a_header_is_read_as_libsndfile_reads_it(tmp_path: Path, container: str, subtype: str, channels: int) -> None:
    path = tmp_path / "a.audio"
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (24_001, channels))
    soundfile.write(path, noise, 24_000, format=container, subtype=subtype)
    expected = soundfile.info(path)
    clip = read_header(path)
    assert (clip.frames, clip.sample_rate, clip.channels) == (expected.frames, 24_000, channels)
    assert (clip.problem, clip.missing_bytes, clip.size) == (None, 0, path.stat().st_size)


def wav(frames: int, *, declared: int | None = None, riff: int | None = None, before: bytes = b"") -> bytes:
    """A 16-bit mono WAV file whose sizes may be wrong; `before`: chunks before the samples."""
    data = bytes(2 * frames)
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16) + before
    body += b"data" + struct.pack("<I", 2 * frames if declared is None else declared) + data
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 44, 0x7FFFFFFF - 36])
def test_a_clip_of_a_stream_encoder_has_its_real_length_and_is_not_truncated(tmp_path: Path, size: int) -> None:
    path = tmp_path / "streamed.wav"
    path.write_bytes(wav(16_000, declared=size, riff=size))
    clip = read_header(path)
    assert (clip.seconds, clip.missing_bytes, clip.problem) == (1.0, 0, None)
    assert check_audio(path) == 1.0


def test_a_clip_that_was_cut_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(wav(16_000)[:-8_000])
    clip = read_header(path)
    assert (clip.frames, clip.missing_bytes) == (12_000, 8_000)


def test_links_to_one_file_are_one_clip(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(16_000))
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    (tmp_path / "c.wav").hardlink_to(tmp_path / "a.wav")
    (tmp_path / "d.wav").write_bytes(wav(16_000))
    first, *others = [read_header(tmp_path / f"{name}.wav").identity for name in "abcd"]
    assert [other == first for other in others] == [True, True, False]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_training_reads_has_the_same_length_and_what_it_refuses_has_a_problem(
    tmp_path: Path, data: st.DataObject
) -> None:
    """A WAV with any three bytes of its header changed, or cut off."""
    content = bytearray(wav(400, before=b"LIST" + struct.pack("<I", 4) + b"INFO"))
    for _ in range(3):
        content[data.draw(st.integers(0, 63))] = data.draw(st.integers(0, 255))
    path = tmp_path / "changed.wav"
    path.write_bytes(bytes(content)[: data.draw(st.sampled_from([20, 50, 64, 500, 10_000]))])
    clip = read_header(path)
    try:
        seconds = check_audio(path)
    except DataError:
        assert clip.problem is not None
    else:
        assert (clip.problem, clip.seconds) == (None, pytest.approx(seconds))
