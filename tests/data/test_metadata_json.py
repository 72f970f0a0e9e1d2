"""A `metadata.json` is recognised by its samples, not by its name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_formats import chatml, clips  # noqa: F401 - `clips` is a fixture

from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import DataError

ROW = {"audio": "target.wav", "text": "At 10:30.", "speaker": "slt"}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([ROW]),
        f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n",
        json.dumps([chatml(speaker="slt")]),
        json.dumps([{"audio_file": "target.wav", "transcript": "At 10:30.", "speaker_id": "slt"}]),
        json.dumps({"samples": [{"audio_file": "target.wav", "transcript": "At 10:30.", "speaker_id": "slt"}]}),
        f"{json.dumps({'audio_file': 'target.wav', 'transcript_file': 'a.txt', 'speaker_id': 'slt'})}\n" * 2,
    ],
)
def test_a_file_called_metadata_json_is_read_by_its_content(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.txt").write_text("At 10:30.")
    (tmp_path / "metadata.json").write_text(content)
    for path in (tmp_path, tmp_path / "metadata.json"):
        for sample in read_samples(path):
            assert (sample.target_audio, sample.target_text) == (tmp_path / "target.wav", "At 10:30.")
            assert sample.speaker == "slt" and "audio" not in sample.extra


def test_a_metadata_json_without_samples_hides_no_data_and_one_that_is_broken_is_named(tmp_path: Path) -> None:
    metadata = tmp_path / "metadata.json"
    (tmp_path / "metadata.csv").write_text("file_name,transcription\ntarget.wav,At 10:30.\n")
    metadata.write_text(json.dumps({"name": "my voices", "license": "cc-by"}))
    (sample,) = read_samples(tmp_path)
    assert sample.target_text == "At 10:30."
    metadata.write_text(json.dumps([ROW]))
    with pytest.raises(DataError, match=r"several data files \(metadata\.csv, metadata\.json\)"):
        read_samples(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    for name in ("target", "ref"):  # recordings with texts, which are not read in place of what was meant
        (tmp_path / f"{name}.txt").write_text("Beside it.")
    for content, problem in (
        ('{"samples": [{"audio_file": "target.wav", ', "not valid JSON"),
        ('[{"audio": "target.wav", ', "not valid JSON"),
        ('{"samples": {"a": 1}}', "has no list `samples`"),
        (json.dumps({"samples": [ROW]}), "a list under 'samples'. Write that list alone"),
        ("", "neither valid JSON nor a table"),
    ):
        metadata.write_text(content)
        with pytest.raises(DataError, match=rf"metadata\.json.*{re.escape(problem)}"):
            read_samples(tmp_path)
    metadata.write_bytes(json.dumps([ROW]).encode("utf-16"))
    with pytest.raises(DataError, match=r"metadata\.json: is UTF-16"):
        read_samples(tmp_path)
