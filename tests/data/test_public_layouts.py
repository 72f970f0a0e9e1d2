"""Layouts met in public corpora and test data: each is read, or refused with what is wrong in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tracker_logging.data.formats import open_samples, read_samples
from tracker_logging.data.sample import DataError
from tracker_logging.doctor.data_checks.checks import Place
from tracker_logging.doctor.data_checks.report import check_files
from tracker_logging.doctor.data_checks.structure import structure_findings

TEXTS = ["The old man painted a red boat.", "Her silver watch is gone."]


def clip(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(16_000) / 9), 16_000)
    return path


def write(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_of_two_recordings_and_two_texts_the_first_pair_is_the_reference(tmp_path: Path) -> None:
    """LibriSpeech-PC "cross sentence" lists: reference, its seconds and text, then the same of the target."""
    for name in ("r0", "r1", "t0", "t1"):
        clip(tmp_path / f"{name}.wav")
    rows = [f"r{n}\t4.3{n}\t{TEXTS[n]}\tt{n}\t6.6{n}\tWe meet at ten, said voice {n}." for n in range(2)]
    for number, sample in enumerate(read_samples(write(tmp_path / "test.lst", rows))):
        assert (sample.reference_audio, sample.target_audio) == (
            tmp_path / f"r{number}.wav",
            tmp_path / f"t{number}.wav",
        )
        assert sample.reference_text == TEXTS[number]
        assert sample.target_text == f"We meet at ten, said voice {number}."
        assert sample.speaker is None


@pytest.mark.parametrize("folder", ["", "D:\\corpus\\slt/"])
def test_a_speaker_who_is_called_like_a_recording_stays_the_speaker(tmp_path: Path, folder: str) -> None:
    clip(tmp_path / "slt.wav")
    path = write(tmp_path / "train.list", [f"{folder}slt.wav|slt|en|{TEXTS[0]}"])
    if folder:
        with pytest.raises(DataError, match=r"corpus.*does not exist"):
            read_samples(path)
    else:
        (sample,) = read_samples(path)
        assert (sample.speaker, sample.language, sample.target_audio) == ("slt", "en", tmp_path / "slt.wav")


def test_libritts_is_read_by_its_tables_where_the_text_files_are_missing(tmp_path: Path) -> None:
    chapter = tmp_path / "dev-clean" / "84" / "121123"
    stems = [f"84_121123_00000{n}_000000" for n in range(2)]
    for stem in stems:
        clip(chapter / f"{stem}.wav")
    write(
        chapter / "84_121123.trans.tsv",
        [f"{stem}\t{text.upper()}\t{text}" for stem, text in zip(stems, TEXTS, strict=True)],
    )
    samples = read_samples(tmp_path)
    assert [sample.target_text for sample in samples] == TEXTS
    assert [sample.speaker for sample in samples] == ["84", "84"]


@pytest.mark.parametrize("text", ["Hello there", "Hello there, friend"])
def test_a_list_separated_by_spaces_is_answered_with_what_to_write(tmp_path: Path, text: str) -> None:
    clip(tmp_path / "wavs" / "a.wav")
    path = write(tmp_path / "train.txt", [f"wavs/a.wav {text}", f"wavs/a.wav {text} again"])
    with pytest.raises(DataError, match=rf"first line \('wavs/a.wav {text}'\).*by a space.*[Rr]eplace the first space"):
        open_samples(path)


def test_the_table_of_a_librispeech_chapter_is_answered_with_its_directory(tmp_path: Path) -> None:
    clip(tmp_path / "13-03-0000.flac")
    path = write(tmp_path / "13-03.trans.txt", ["13-03-0000 SAY IT AGAIN"])
    with pytest.raises(DataError, match=r"by a space.*Give the directory"):
        open_samples(path)
    assert read_samples(tmp_path)[0].target_text == "SAY IT AGAIN"


def test_a_row_with_too_few_cells_is_not_answered_with_quotes(tmp_path: Path) -> None:
    clip(tmp_path / "a.wav")
    path = write(tmp_path / "train.tsv", ["path\tsentence\tage\taccent", f"a.wav\t{TEXTS[0]}\tteens"])
    with pytest.raises(DataError, match=r"\(line 2\): 3 cells under 4 column names; add the missing cells") as refusal:
        read_samples(path)
    assert "quotes" not in str(refusal.value)


def test_text_under_no_name_is_shown_as_a_text_that_was_split(tmp_path: Path) -> None:
    clip(tmp_path / "a.wav")
    path = write(tmp_path / "train.csv", ["audio,text,", f"a.wav,{TEXTS[0]},", "a.wav,At ten, or later."])
    (found,) = (finding for finding in check_files(path).findings if finding.name == "unknown_key")
    assert found.field == "column 3"
    assert found.seen.startswith("in 1 of 2 samples, under no name in the header: a text that was split")


def cut(**changes: Any) -> dict[str, Any]:
    return {
        "id": "c", "start": 0.0, "duration": 1.0, "channel": 0, "type": "MonoCut", "features": {"type": "fbank"},
        "supervisions": [{"id": "s", "start": 0, "duration": 1.0, "text": TEXTS[0], "speaker": "slt"}],
        "recording": {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "rec.wav"}]},
    } | changes  # fmt: skip


def test_lhotse_features_are_known_and_cuts_without_audio_or_text_are_refused_as_cuts(tmp_path: Path) -> None:
    clip(tmp_path / "rec.wav")
    (sample,) = read_samples(write(tmp_path / "good.json", [json.dumps([cut()])]))
    assert "features" not in sample.extra
    features_only = {name: value for name, value in cut().items() if name != "recording"}
    mixed = {"id": "m", "type": "MixedCut", "tracks": [{"cut": cut(), "type": "MonoCut"}]}
    for row, message in (
        (features_only, r"recording is missing"),
        (mixed, r"tracks is a mix of cuts"),
        (cut(supervisions=[]), r"supervisions .*no text"),
    ):
        with pytest.raises(DataError, match=message):
            read_samples(write(tmp_path / "bad.json", [json.dumps([row])]))


def test_the_columns_of_a_folder_can_be_named(tmp_path: Path) -> None:
    columns = {"audio": "file_name", "text": "caption"}
    clip(tmp_path / "af" / "0001.wav")
    write(tmp_path / "af" / "metadata.csv", ["file_name,caption", f"0001.wav,{TEXTS[0]}"])
    assert read_samples(tmp_path / "af", columns=columns)[0].target_text == TEXTS[0]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"a directory without columns.*path of its data file"):
        read_samples(tmp_path / "none", columns=columns)
    pa = pytest.importorskip("pyarrow")
    saved = tmp_path / "saved"
    saved.mkdir()
    rows = pa.Table.from_pylist([{"file_name": str(tmp_path / "af" / "0001.wav"), "caption": TEXTS[1]}])
    with pa.OSFile(str(saved / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    assert read_samples(saved, columns=columns)[0].target_text == TEXTS[1]


def test_the_only_clip_of_an_ms_swift_assistant_needs_no_user() -> None:
    """train-higgs-audio documents such lines as its input."""
    told = {"role": "assistant", "content": "<audio>We meet at ten."}
    place = Place("train.jsonl")
    assert list(structure_findings(place, {"messages": [told], "audios": ["a.wav"]})) == []
    assert "role_missing" in [finding.name for finding in structure_findings(place, {"messages": [told]})]


def test_a_row_without_a_column_for_the_text_of_its_reference_has_it_in_the_system_message(tmp_path: Path) -> None:
    """Qwen3-TTS; an empty cell in such a column is still an error."""
    for name in ("utt1", "ref"):
        clip(tmp_path / f"data/{name}.wav")
    row = {"audio": "./data/utt1.wav", "text": TEXTS[0], "ref_audio": "./data/ref.wav"}
    (sample,) = read_samples(write(tmp_path / "train_raw.jsonl", [json.dumps(row)]))
    assert (sample.target_text, sample.target_audio) == (TEXTS[0], tmp_path / "data/utt1.wav")
    assert (sample.reference_audio, sample.reference_text) == (tmp_path / "data/ref.wav", "")
    assert sample.references_in == "system"
    with pytest.raises(DataError, match="is missing: the text of the reference audio"):
        read_samples(write(tmp_path / "empty.jsonl", [json.dumps(row | {"ref_text": ""})]))


@pytest.mark.parametrize("name", ["train.list", "metadata.txt", "filelist.csv"])
def test_a_list_without_a_delimiter_is_refused_with_its_first_line_and_the_flag(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, ["a0——今天天气", "a1——你好"])
    with pytest.raises(
        DataError, match=r"first line \('a0——今天天气'\) has no delimiter .*--columns audio=1,text=2"
    ) as told:
        read_samples(path)
    assert len(str(told.value)) < 300


def test_what_is_in_no_format_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "zips").mkdir()
    for number in range(3):
        (tmp_path / f"zips/{number}.zip").write_bytes(b"PK")
    (tmp_path / "train.bin").write_bytes(b"\x00\x01binary")
    with pytest.raises(DataError, match=r"holds 3 × \.zip") as of_folder:
        read_samples(tmp_path / "zips")
    with pytest.raises(DataError, match=r"it begins with '\\\\x00\\\\x01binary'") as of_file:
        read_samples(tmp_path / "train.bin")
    assert max(len(str(told.value)) for told in (of_folder, of_file)) < 250 + len(str(tmp_path))
