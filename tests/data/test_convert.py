"""What is converted reads back as the same samples."""

from __future__ import annotations

import base64
import errno
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker_logging.cli import main
from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.convert import ITEMS, _outcomes, _writer, convert
from tracker_logging.data.formats import Format, Source, find_format, read_samples
from tracker_logging.data.formats.conversation import INSTRUCTION
from tracker_logging.data.formats.writing import READ
from tracker_logging.data.sample import DataError, Utterance, VoiceSample

WAYS = [("chatml", ".json"), ("chatml", ".jsonl"), ("native", ".json"), ("native", ".jsonl"), ("manifest", ".jsonl")]
TABLES = [("manifest", ".csv"), ("manifest", ".tsv")]

said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).map(str.strip).filter(bool)
known = st.fixed_dictionaries(
    {"sample_id": said, "target_text": said},
    optional={"speaker": said, "language": said, "scene": said, "system_text": said},
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
extras = st.dictionaries(st.text(max_size=6) | st.sampled_from(sorted(READ - {"extra"})), json_values, max_size=4)
number = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("convert").resolve()
    for name in ("ref.wav", "target.wav"):
        soundfile.write(folder / name, np.linspace(-0.1, 0.1, 2400, dtype=np.float32), 24_000)
    return folder


def sample_of(folder: Path, fields: dict[str, Any], *, audio: int, reference_text: str, extra: Any) -> VoiceSample:
    return VoiceSample(
        **fields,
        reference_text=reference_text if audio & 1 else "",
        reference_audio=folder / "ref.wav" if audio & 1 else None,
        target_audio=folder / "target.wav" if audio & 2 else None,
        extra=extra,
    )


def read_back(path: Path) -> list[VoiceSample]:
    return [replace(sample, origin="") for sample in read_samples(path)]


@settings(max_examples=60, deadline=None)
@given(fields=known, audio=st.integers(0, 3), reference_text=said, extra=extras)
def test_what_is_written_in_any_format_is_read_back(
    folder: Path, fields: dict[str, Any], audio: int, reference_text: str, extra: Any
) -> None:
    sample = sample_of(folder, fields, audio=audio, reference_text=reference_text, extra=extra)
    for to, ending in WAYS:
        path = folder / f"{next(number)}{ending}"
        with _writer(path) as put:
            put(ITEMS[to](sample, folder))
        assert read_back(path) == [sample], (to, ending)
        path.unlink()


@pytest.mark.parametrize("audio", range(4))
@pytest.mark.parametrize("text", [f"{INSTRUCTION} At ten.", f"{INSTRUCTION}At ten.", INSTRUCTION])
def test_texts_that_begin_with_the_instruction_are_read_back(folder: Path, text: str, audio: int) -> None:
    fields = {"sample_id": "a1", "target_text": text}
    sample = sample_of(folder, fields, audio=audio, reference_text=text, extra={})
    cases = [(sample, to, ending) for to, ending in (*WAYS, *TABLES)]
    if sample.target_audio is not None:
        later = Utterance(text, sample.target_audio)
        cases.append((replace(sample, more_targets=(later, later)), "native", ".json"))
    for written, to, ending in cases:
        path = folder / f"{next(number)}{ending}"
        with _writer(path) as put:
            put(ITEMS[to](written, folder))
        assert read_back(path) == [written], (to, ending)
        path.unlink()


@settings(max_examples=60, deadline=None)
@given(fields=known, audio=st.integers(0, 3), reference_text=said)
def test_what_is_written_as_a_text_table_is_read_back(
    folder: Path, fields: dict[str, Any], audio: int, reference_text: str
) -> None:
    sample = sample_of(folder, fields, audio=audio, reference_text=reference_text, extra={})
    for to, ending in TABLES:
        path = folder / f"{next(number)}{ending}"
        with _writer(path) as put:
            put(ITEMS[to](sample, folder))
        assert read_back(path) == [sample], ending
        path.unlink()


def chatml(index: int) -> dict[str, Any]:
    user = [
        {"type": "text", "text": "Reference."},
        {"type": "audio", "audio_url": "ref.wav"},
        {"type": "text", "text": "x"},
    ]
    target = {"type": "audio", "audio_url": "target.wav"}
    said = [{"role": "user", "content": user}, {"role": "assistant", "content": [target]}]
    return {
        "messages": said,
        "speaker": "slt",
        "mood": index,
        "misc": {"target_transcript": f"At {index}:30.", "n": index},
    }


def test_data_goes_through_all_formats_and_comes_back(tmp_path: Path, folder: Path) -> None:
    first = folder / "first.json"
    first.write_text(json.dumps([chatml(index) for index in range(5)]))
    path = first
    for to, ending in [*WAYS, ("chatml", ".json")]:
        out = tmp_path / f"{next(number)}{ending}"
        assert convert(path, out, to=to).written == 5
        path = out
    ours, theirs = read_back(path), read_back(first)
    assert [replace(one, sample_id="") for one in ours] == [replace(one, sample_id="") for one in theirs]
    assert [one.sample_id for one in ours] == [one.sample_id for one in theirs]


def test_an_unknown_key_that_another_format_would_apply_comes_back(tmp_path: Path, folder: Path) -> None:
    path = folder / "offset.jsonl"
    path.write_text(json.dumps({**chatml(0), "offset": 3.0}))
    convert(path, tmp_path / "out.jsonl", to="manifest")
    (sample,) = read_samples(tmp_path / "out.jsonl")
    assert sample.extra["offset"] == 3.0


def test_a_moved_folder_still_finds_its_audio(tmp_path: Path) -> None:
    old = tmp_path / "old"
    (old / "clips").mkdir(parents=True)
    soundfile.write(old / "clips" / "a.wav", np.zeros(100, dtype=np.float32), 24_000)
    raw = base64.b64encode((old / "clips" / "a.wav").read_bytes()).decode()
    row = {"audio": "clips/a.wav", "text": "Hello.", "ref_audio": {"raw_audio": raw}, "ref_transcript": "Bye."}
    (old / "a.jsonl").write_text(json.dumps(row))
    convert(old / "a.jsonl", old / "b.jsonl", to="chatml")
    old.rename(tmp_path / "new")
    (sample,) = read_samples(tmp_path / "new" / "b.jsonl")
    assert sample.target_audio == tmp_path / "new" / "clips" / "a.wav"
    assert sample.reference_audio is not None and sample.reference_audio.is_relative_to(tmp_path / "new" / "b_audio")


def test_the_command_says_what_it_wrote_skipped_and_left_out(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "some.jsonl"
    path.write_text("".join(f"{json.dumps(item)}\n" for item in (chatml(0), {"messages": 3}, chatml(1))))
    out = tmp_path / "pairs.tsv"
    command = ["convert", str(path), str(out), "--to", "manifest"]
    assert main(command) == 2
    assert "some.jsonl[1].messages is missing" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main([*command, "--skip_bad_samples"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Wrote 2 samples of ") and "skipped 1." in printed.out
    assert "some.jsonl[1].messages is missing" in printed.err
    assert "a text table has no column for it: mood, extra" in printed.err
    assert [one.target_text for one in read_samples(out)] == ["At 0:30.", "At 1:30."]
    assert main([*command, "--skip_bad_samples"]) == 2
    assert "exists already. Name another file" in capsys.readouterr().err
    assert main([*command[:2], str(tmp_path / "a.csv"), "--to", "native"]) == 2
    assert "native is written as .jsonl or .json" in capsys.readouterr().err


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "cut.json"
    text = json.dumps([chatml(0), chatml(1)])[:-30]
    for name in ("ref.wav", "target.wav"):
        text = text.replace(f'"{name}"', json.dumps(str(folder / name)))
    path.write_text(text)
    with pytest.raises(DataError, match="ends within sample 1"):
        convert(path, tmp_path / "out.jsonl", to="chatml")
    assert list(tmp_path.iterdir()) == [path]
    assert len([one for one in itertools.islice(find_format(path).read(path), 1) if isinstance(one, VoiceSample)]) == 1


class Unreadable(Format):
    name = "on a disk that fails"

    def recognises(self, path: Path) -> bool:
        return True

    def open(self, path: Path, shelf: AudioShelf) -> Source:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def test_a_failure_to_read_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match=r"in\.json: cannot be read \(Input/output error\)"),
        _writer(tmp_path / "out.jsonl"),
    ):
        list(_outcomes(Unreadable(), tmp_path / "in.json", AudioShelf()))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"out\.jsonl: cannot be written"), _writer(tmp_path / "file" / "out.jsonl"):
        pass


def test_columns_of_other_names_are_converted(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "german.csv").write_text("Datei;Satz;speaker\nref.wav;At 10:30.;slt\n")
    out = tmp_path / "train.jsonl"
    command = ["convert", str(folder / "german.csv"), str(out), "--to", "chatml"]
    assert main([*command, "--columns", "audio=Datei"]) == 2
    assert "audio and text are needed" in capsys.readouterr().err
    assert main([*command, "--columns", "audio=Datei,text=Satz"]) == 0
    (sample,) = read_samples(out)
    assert (sample.target_text, sample.target_audio) == ("At 10:30.", folder / "ref.wav")
    assert sample.speaker == "slt"
