"""Recordings whose header does not know their length are read to their real end."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_hostile_data import WAVE, clips, flac_with_claimed_samples  # noqa: F401 - `clips` is a fixture

from tracker_logging.data.audio import check_audio, load_audio
from tracker_logging.data.sample import DataError


@pytest.mark.parametrize("data_size", [0, 0x7FFFFFFF, 0xFFFFFFFF, None], ids=str)
@pytest.mark.parametrize("riff_size", [0, 36, 0x7FFFFFFF, 0xFFFFFFFF, None], ids=str)
def test_a_streamed_wav_is_read_to_its_real_end(tmp_path: Path, riff_size: int | None, data_size: int | None) -> None:
    content = bytearray((tmp_path / "a.wav").read_bytes())
    data_at = content.index(b"data") + 4
    if riff_size is not None:
        content[4:8] = struct.pack("<I", riff_size)
    if data_size is not None:
        content[data_at : data_at + 4] = struct.pack("<I", data_size)
    (tmp_path / "streamed.wav").write_bytes(content)
    assert check_audio(tmp_path / "streamed.wav") == pytest.approx(0.4)
    np.testing.assert_allclose(load_audio(tmp_path / "streamed.wav", 24_000), WAVE, atol=1e-4)


def test_a_flac_of_unknown_length_is_read_to_its_real_end(tmp_path: Path) -> None:
    path = flac_with_claimed_samples(tmp_path / "streamed.flac", 0)
    assert check_audio(path) == pytest.approx(0.4)
    np.testing.assert_allclose(load_audio(path, 24_000), WAVE, atol=1e-4)


def test_a_wav_without_samples_stays_empty(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 24_000)
    listed = (tmp_path / "empty.wav").read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO"
    (tmp_path / "listed.wav").write_bytes(listed)
    for name in ("empty.wav", "listed.wav"):
        with pytest.raises(DataError, match="is empty"):
            check_audio(tmp_path / name)


def test_a_clip_that_decodes_to_fewer_samples_than_its_header_is_refused(tmp_path: Path) -> None:
    path = flac_with_claimed_samples(tmp_path / "cut.flac", 20_000)
    with pytest.raises(DataError, match=r"cut\.flac.*9,?600 of 20,?000"):
        load_audio(path, 24_000)
