"""Whatever stands in a data file, a reader gives a sample or a `DataError`, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats import FORMATS, find_format
from tracker_logging.data.formats.metadata_folder import METADATA_RECORD
from tracker_logging.data.formats.record import Place, Record
from tracker_logging.data.formats.record_file import RecordFile, RecordFormat
from tracker_logging.data.formats.writing import READ
from tracker_logging.data.sample import DataError, VoiceSample

RECORDS: list[RecordFormat] = [known._format for known in FORMATS if isinstance(known, RecordFile)] + [METADATA_RECORD]
NAMES = sorted(
    READ
    | {"role", "content", "type", "url", "path", "raw_audio", "audio_url", "offset", "bytes", "array", "sampling_rate"}
    | {"ref_audio_file", "transcript_file", "speaker_tag", "samples", "recipient", "start_index"}
)
WORDS = [
    "system",
    "scene",
    "user",
    "assistant",
    "audio",
    "text",
    "clip.wav",
    "note.txt",
    "<audio>",
    "[SPEAKER0]",
    "UklGR",
]

leaves = st.none() | st.booleans() | st.integers(-3, 2**80) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=8)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)
parts = st.dictionaries(
    st.sampled_from(["type", "text", "audio_url", "path", "raw_audio", "audio"]), leaves, max_size=4
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "scene", "user", "assistant"]),
        "content": leaves | parts | st.lists(parts | leaves),
    }
)
records = values | st.builds(
    lambda rest, said, clips: {**rest, "messages": said, **({"audios": clips} if clips else {})},
    st.dictionaries(st.sampled_from(NAMES), leaves, max_size=5),
    st.lists(messages, max_size=5),
    st.lists(leaves, max_size=3),
)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in a folder in a folder, with a recording and a text."""
    folder = tmp_path_factory.mktemp("fuzz") / "a" / "b"
    folder.mkdir(parents=True)
    soundfile.write(folder / "clip.wav", np.zeros(100, dtype=np.float32), 24_000)
    (folder / "note.txt").write_text("A note.")
    return folder


@pytest.fixture(scope="module", autouse=True)
def own_cache(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield


def outcomes(path: Path) -> list[VoiceSample | DataError]:
    try:
        return list(find_format(path).read(path))
    except DataError as error:
        return [error]


@quick
@given(record=records)
def test_any_record_is_a_sample_or_an_error_in_every_format(folder: Path, record: Any) -> None:
    place = Place.in_file(folder / "data.json", 3, AudioShelf(directory=folder / "cache"))
    for one in RECORDS:
        one.fits(record if isinstance(record, dict) else {})
        try:
            sample = one.sample(Record(record, place))
        except DataError as error:
            assert "data.json[3]" in str(error) or "note.txt" in str(error)
        else:
            assert sample.target_text and sample.origin == "data.json[3]"
            assert (sample.reference_audio is None) == (sample.reference_text == "")


@quick
@given(
    items=st.lists(records, max_size=4), ending=st.sampled_from([".json", ".jsonl", ".csv", ""]), cut=st.integers(0, 40)
)
def test_any_list_or_lines_whole_or_cut_off_end_in_samples_and_errors(
    folder: Path, items: list[Any], ending: str, cut: int
) -> None:
    for number, text in enumerate((json.dumps(items), "\n".join(map(json.dumps, items)))):
        path = folder / f"data{number}{ending}"
        path.write_text(text[: len(text) - cut] if cut < 20 else text)
        assert all(isinstance(one, VoiceSample | DataError) for one in outcomes(path))


@quick
@given(
    content=st.binary(max_size=600)
    | st.text(alphabet='[]{}":,\n\r\t;|ab1é\0\ufeff', max_size=60).map(lambda text: text.encode())
    | st.text(max_size=40).map(lambda text: f"audio,text\n{text}".encode("utf-8", "surrogatepass")),
    name=st.sampled_from(["x.json", "x.jsonl", "x.csv", "x.tsv", "x.parquet", "x.tar", "metadata.json", "x"]),
    start=st.sampled_from([b"", b"PAR1", b"\xff\xfe", b"\xef\xbb\xbf", b"[", b"{"]),
)
def test_any_bytes_in_any_file_end_in_samples_and_errors(folder: Path, content: bytes, name: str, start: bytes) -> None:
    path = folder / name
    path.write_bytes(start + content)
    assert all(isinstance(one, VoiceSample | DataError) for one in outcomes(path))


@quick
@given(samples=values)
def test_any_metadata_ends_in_samples_and_errors(folder: Path, samples: Any) -> None:
    inner = folder / "with_metadata"
    inner.mkdir(exist_ok=True)
    (inner / "metadata.json").write_text(json.dumps({"samples": samples}))
    assert all(isinstance(one, VoiceSample | DataError) for one in outcomes(inner))
