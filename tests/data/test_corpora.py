"""The manifests and directories that speech corpora and other projects write are read as they are."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tracker_logging.data.formats import find_format, open_samples, read_samples
from tracker_logging.data.formats.columns import parse_columns
from tracker_logging.data.sample import DataError, VoiceSample

TEXTS = ["The old man painted a red boat.", "Her silver watch is gone.", "We meet at half past ten."]
RATE = 16_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def clip(path: Path, seconds: float = 1.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.sin(np.arange(int(seconds * RATE)) / 9)
    soundfile.write(path, wave, RATE, format="FLAC" if path.suffix == ".flac" else "WAV")
    return path


def write(path: Path, content: str | Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else "".join(f"{line}\n" for line in content), encoding="utf-8")
    return path


def texts(samples: Sequence[VoiceSample]) -> list[str]:
    return [sample.target_text for sample in samples]


def speakers(samples: Sequence[VoiceSample]) -> list[str | None]:
    return [sample.speaker for sample in samples]


def seconds(path: Path | None) -> float:
    assert path is not None
    return float(soundfile.info(path).duration)


# --- tables ---------------------------------------------------------------------------------------------------------

HEADERLESS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "LJSpeech": ("metadata.csv", [f"a{n}|{text} no. 1|{text}" for n, text in enumerate(TEXTS)], {}),
    "Piper, one speaker": ("metadata.csv", [f"a{n}|{text}" for n, text in enumerate(TEXTS)], {}),
    "Piper, speakers": (
        "metadata.csv",
        [f"a{n}|p{n % 2}|{text}" for n, text in enumerate(TEXTS)],
        {"speaker": ["p0", "p1", "p0"]},
    ),
    "VITS filelist": (
        "train.txt",
        [f"wavs/a{n}.wav|{n % 2}|{text}" for n, text in enumerate(TEXTS)],
        {"speaker": ["0", "1", "0"]},
    ),
    "StyleTTS2": (
        "train_list.txt",
        [f"wavs/a{n}.wav|{text}|{n % 2}" for n, text in enumerate(TEXTS)],
        {"speaker": ["0", "1", "0"]},
    ),
    "GPT-SoVITS": (
        "slicer_opt.list",
        [f"wavs/a{n}.wav|slt|en|{text}" for n, text in enumerate(TEXTS)],
        {"speaker": ["slt"] * 3, "language": ["en"] * 3},
    ),
    "MeloTTS after preprocessing": (
        "train.list",
        [f"wavs/a{n}.wav|EN-new|EN|{text}|_ dh ah ow l d m ae n _|0 0 1 2 0 0|1 2 3" for n, text in enumerate(TEXTS)],
        {"speaker": ["EN-new"] * 3, "language": ["EN"] * 3},
    ),
    "tabs": ("train.tsv", [f"wavs/a{n}.wav\t{text}" for n, text in enumerate(TEXTS)], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERLESS)
def test_a_table_without_a_header_is_read_by_what_its_cells_are(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    file, rows, expected = HEADERLESS[name]
    for number in range(3):
        clip(tmp_path / "wavs" / f"a{number}.wav")
    path = write(tmp_path / file, rows)
    samples = read_samples(path)
    assert texts(samples) == TEXTS
    assert [sample.target_audio for sample in samples] == [tmp_path / "wavs" / f"a{n}.wav" for n in range(3)]
    assert speakers(samples) == expected.get("speaker", [None] * 3)
    assert [sample.language for sample in samples] == expected.get("language", [None] * 3)
    assert "no header" in caplog.text and "audio=1" in caplog.text


@pytest.mark.parametrize("with_target", [False, True])
def test_seed_tts_eval_lists_are_voice_prompts(tmp_path: Path, with_target: bool) -> None:
    rows = []
    for n in range(2):
        clip(tmp_path / "prompt-wavs" / f"p{n}.wav")
        clip(tmp_path / "wavs" / f"t{n}.wav")
        row = [f"x{n}-y{n}", TEXTS[n], f"prompt-wavs/p{n}.wav", TEXTS[2]]
        rows.append("|".join([*row, f"wavs/t{n}.wav"] if with_target else row))
    samples = read_samples(write(tmp_path / "meta.lst", rows))
    assert [sample.sample_id for sample in samples] == ["x0-y0", "x1-y1"]
    assert [sample.reference_text for sample in samples] == TEXTS[:2]
    assert [sample.reference_audio for sample in samples] == [tmp_path / "prompt-wavs" / f"p{n}.wav" for n in range(2)]
    assert texts(samples) == [TEXTS[2]] * 2
    assert [sample.target_audio is not None for sample in samples] == [with_target] * 2
    assert texts(read_samples(tmp_path)) == [TEXTS[2]] * 2  # the directory is as good


def test_common_voice_is_read_and_its_directory_asks_for_a_split(tmp_path: Path) -> None:
    clip(tmp_path / "clips" / "common_voice_en_1.wav")
    header = ["client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "locale", "segment"]
    row = ["ab12", "common_voice_en_1.wav", "s1", '"Yes," he said.', "", "2", "en", ""]
    for name in ("train.tsv", "test.tsv"):
        write(tmp_path / name, ["\t".join(header), "\t".join(row)])
    (sample,) = read_samples(tmp_path / "train.tsv")
    assert (sample.target_text, sample.speaker, sample.language) == ('"Yes," he said.', "ab12", "en")
    with pytest.raises(DataError, match=r"several data files \(test\.tsv, train\.tsv\)"):
        read_samples(tmp_path)
    (tmp_path / "test.tsv").unlink()
    assert len(read_samples(tmp_path)) == 1


def test_nemo_manifests_have_context_and_offsets(tmp_path: Path) -> None:
    clip(tmp_path / "wavs" / "long.wav", seconds=4.0)
    clip(tmp_path / "wavs" / "context.wav")
    rows = [
        {"audio_filepath": "wavs/long.wav", "offset": 0.5, "duration": 1.25, "text": TEXTS[0], "speaker": 7},
        {"audio_filepath": "wavs/long.wav", "duration": 4.0, "text": TEXTS[1],
         "context_audio_filepath": "wavs/context.wav", "context_audio_text": TEXTS[2]},
        {"audio_filepath": "wavs/long.wav", "offset": 9.0, "duration": 1.0, "text": TEXTS[2]},
    ]  # fmt: skip
    path = write(tmp_path / "manifest.json", [json.dumps(row) for row in rows])
    first, second, beyond = find_format(path).read(path)
    assert isinstance(first, VoiceSample) and isinstance(second, VoiceSample)
    assert (first.speaker, first.reference_audio) == ("7", None)
    assert seconds(first.target_audio) == pytest.approx(1.25)
    whole, _ = soundfile.read(tmp_path / "wavs" / "long.wav", dtype="float32")
    part, _ = soundfile.read(first.target_audio, dtype="float32")
    np.testing.assert_array_equal(part, whole[RATE // 2 : RATE // 2 + int(1.25 * RATE)])
    assert second.target_audio == tmp_path / "wavs" / "long.wav"
    assert (second.reference_text, second.reference_audio) == (TEXTS[2], tmp_path / "wavs" / "context.wav")
    assert "manifest.json[2].offset is cut from 9 s, but the recording has 4 s" in str(beyond)
    assert len(read_samples(tmp_path, skip_bad=True)) == 2


@pytest.mark.parametrize("names", [("audio_file", "text"), ("wav_path", "normalized_text"), ("Audio", "Sentence")])
def test_other_names_of_columns_are_known(tmp_path: Path, names: tuple[str, str]) -> None:
    clip(tmp_path / "wavs" / "a.wav")
    (sample,) = read_samples(write(tmp_path / "a.csv", ["|".join(names), f"wavs/a.wav|{TEXTS[0]}"]))
    assert (sample.target_text, sample.target_audio) == (TEXTS[0], tmp_path / "wavs" / "a.wav")


def test_any_names_of_columns_can_be_given(tmp_path: Path) -> None:
    clip(tmp_path / "a.wav")
    columns = {"audio": "Datei", "text": "Satz", "speaker": "Wer"}
    row = {"Datei": "a.wav", "Satz": TEXTS[0], "Wer": "slt", "text": "not this", "Stimmung": "calm"}
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()])
    write(tmp_path / "a.jsonl", [json.dumps(row)])
    write(tmp_path / "plain.csv", [f"a.wav;{TEXTS[0]};slt"])
    numbered = {"audio": "1", "text": "2", "speaker": "3"}
    for name, given in (("a.csv", columns), ("a.jsonl", columns), ("plain.csv", numbered)):
        (sample,) = read_samples(tmp_path / name, columns=given)
        assert (sample.target_text, sample.speaker, sample.target_audio) == (TEXTS[0], "slt", tmp_path / "a.wav")
        if name != "plain.csv":
            assert sample.extra["Stimmung"] == "calm"
    with pytest.raises(DataError, match=r"no column Sprecher\. Name one of Datei, Satz, Wer, text, Stimmung"):
        open_samples(tmp_path / "a.csv", columns={**columns, "speaker": "Sprecher"})
    assert parse_columns("audio=Datei, text=Satz,speaker=Wer") == columns
    for text, message in (("audio=a", "audio and text are needed"), ("audio=a,text=b,mood=c", "roles are audio, text")):
        with pytest.raises(DataError, match=message):
            parse_columns(text)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_columns_that_no_given_role_replaces_keep_their_meaning(tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        clip(tmp_path / f"{name}.wav")
    row = {
        "Datei": "a.wav", "Satz": TEXTS[0], "sample_id": "u1", "speaker": "slt", "language": "de", "group": "unseen",
        "ref_audio_path": "b.wav", "ref_transcript": TEXTS[1], "transcription": "not this",
    }  # fmt: skip
    path = tmp_path / f"a.{ending}"
    write(path, [",".join(row), ",".join(row.values())] if ending == "csv" else [json.dumps(row)])
    (sample,) = read_samples(path, columns={"audio": "Datei", "text": "Satz"})
    assert (sample.target_text, sample.target_audio) == (TEXTS[0], tmp_path / "a.wav")
    assert (sample.sample_id, sample.speaker, sample.language) == ("u1", "slt", "de")
    assert (sample.reference_audio, sample.reference_text) == (tmp_path / "b.wav", TEXTS[1])
    assert sample.extra == {"group": "unseen"}
    (sample,) = read_samples(path, columns={"audio": "Datei", "text": "Satz", "speaker": "language"})
    assert (sample.speaker, sample.language) == ("de", None)


def test_a_table_of_unknown_columns_is_answered_with_the_flag_that_names_them(tmp_path: Path) -> None:
    clip(tmp_path / "a.wav")
    with pytest.raises(
        DataError, match=r"first line \('x1\|Some text\.'\).*audio\|text\|speaker.*--columns audio=1,text=2"
    ):
        open_samples(write(tmp_path / "a.csv", ["x1|Some text.", "x2|More text."]))
    with pytest.raises(DataError, match=r"columns text, mood have none known as audio\..*--columns"):
        open_samples(write(tmp_path / "b.csv", ["text,mood", "Some text.,calm"]))
    with pytest.raises(DataError, match=r"first line \('# 2024, mine'\) is a comment\. Remove it"):
        open_samples(write(tmp_path / "c.csv", ["# 2024, mine", "audio|text", "a.wav|Some text."]))


# --- directories ----------------------------------------------------------------------------------------------------


def test_vctk_is_read_with_its_speakers_and_one_microphone(tmp_path: Path) -> None:
    for speaker in ("p225", "p226"):
        for n in (1, 2):
            for mic in (1, 2):
                clip(tmp_path / "wav48_silence_trimmed" / speaker / f"{speaker}_00{n}_mic{mic}.flac")
            write(tmp_path / "txt" / speaker / f"{speaker}_00{n}.txt", f"{TEXTS[n]}\n")
    samples = read_samples(tmp_path)
    assert texts(samples) == [TEXTS[1], TEXTS[2]] * 2
    assert speakers(samples) == ["p225", "p225", "p226", "p226"]
    assert all(sample.target_audio and sample.target_audio.stem.endswith("_mic1") for sample in samples)


def test_libritts_and_librispeech_are_read_with_their_speakers(tmp_path: Path) -> None:
    chapter = tmp_path / "LibriTTS" / "84" / "121123"
    for n in range(2):
        stem = f"84_121123_00000{n}_000000"
        clip(chapter / f"{stem}.wav")
        write(chapter / f"{stem}.original.txt", "Original.")
        write(chapter / f"{stem}.normalized.txt", TEXTS[n])
    samples = read_samples(tmp_path / "LibriTTS")
    assert (texts(samples), speakers(samples)) == (TEXTS[:2], ["84", "84"])
    chapter = tmp_path / "LibriSpeech" / "dev-clean" / "1272" / "128104"
    for n in range(2):
        clip(chapter / f"1272-128104-000{n}.flac")
    write(chapter / "1272-128104.trans.txt", [f"1272-128104-000{n} {TEXTS[n].upper()}" for n in range(2)])
    samples = read_samples(tmp_path / "LibriSpeech")
    assert (texts(samples), speakers(samples)) == ([text.upper() for text in TEXTS[:2]], ["1272", "1272"])


def test_lab_files_name_the_speaker_by_their_folder_and_endings_may_be_capitals(tmp_path: Path) -> None:
    clip(tmp_path / "SPK1" / "21.15-26.44.wav")
    write(tmp_path / "SPK1" / "21.15-26.44.lab", TEXTS[0])
    clip(tmp_path / "SPK2" / "A.WAV")
    write(tmp_path / "SPK2" / "A.TXT", TEXTS[1])
    samples = read_samples(tmp_path)
    assert (texts(samples), speakers(samples)) == (TEXTS[:2], ["SPK1", None])


def arrow_folder(folder: Path, rows: Sequence[Mapping[str, Any]], *, indices: Sequence[int] | None = None) -> Path:
    """What `datasets.Dataset.save_to_disk` writes: Arrow streams named by `state.json`."""
    pa = pytest.importorskip("pyarrow")
    folder.mkdir(parents=True)

    def stream(name: str, table: Any) -> dict[str, str]:
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        return {"filename": name}

    data = [
        stream("data-00000-of-00002.arrow", pa.Table.from_pylist(list(rows[:2]))),
        stream("data-00001-of-00002.arrow", pa.Table.from_pylist(list(rows[2:]))),
    ]
    chosen = (
        None if indices is None else [stream("indices.arrow", pa.table({"indices": pa.array(indices, pa.uint64())}))]
    )
    write(folder / "state.json", json.dumps({"_data_files": data, "_indices_files": chosen, "_split": "train"}))
    write(folder / "dataset_info.json", "{}")
    return folder


def test_hugging_face_datasets_on_disk_are_read(tmp_path: Path) -> None:
    content = clip(tmp_path / "a.wav").read_bytes()
    rows = [
        {"audio": {"bytes": content, "path": "a.wav"}, "text": text, "speaker_id": str(n)}
        for n, text in enumerate(TEXTS)
    ]
    samples = open_samples(arrow_folder(tmp_path / "set", rows), training=True)
    assert (texts(samples), speakers(samples)) == (TEXTS, ["0", "1", "2"])
    assert samples[2].target_audio is not None and samples[2].target_audio.read_bytes() == content
    shuffled = open_samples(arrow_folder(tmp_path / "shuffled", rows, indices=[2, 0]))
    assert texts(shuffled) == [TEXTS[2], TEXTS[0]]
    both = tmp_path / "both"
    write(both / "dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    for split in ("train", "test"):
        arrow_folder(both / split, rows)
    with pytest.raises(DataError, match=r"splits train, test\. Give the path of one"):
        read_samples(both)
    write(both / "dataset_dict.json", json.dumps({"splits": ["train"]}))
    assert texts(read_samples(both)) == TEXTS


def test_audiofolders_and_downloaded_parquet_are_read_by_their_directory(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for n in range(3):
        clip(tmp_path / "folder" / "data" / f"a{n}.wav")
    rows = [{"file_name": f"data/a{n}.wav", "transcription": text} for n, text in enumerate(TEXTS)]
    metadata = tmp_path / "folder" / "metadata.csv"
    with metadata.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert texts(read_samples(tmp_path / "folder")) == TEXTS
    metadata.unlink()
    write(metadata.with_suffix(".jsonl"), [json.dumps(row) for row in rows])
    assert texts(read_samples(tmp_path / "folder")) == TEXTS
    content = (tmp_path / "folder" / "data" / "a0.wav").read_bytes()
    for n in range(3):
        table = pa.Table.from_pylist([{"audio": {"bytes": content, "path": None}, "text": TEXTS[n]}])
        (tmp_path / "hub" / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, tmp_path / "hub" / "data" / f"train-0000{n}-of-00003.parquet")
    assert texts(read_samples(tmp_path / "hub")) == TEXTS
    pq.write_table(table, tmp_path / "hub" / "data" / "test-00000-of-00001.parquet")
    with pytest.raises(DataError, match="several data files"):
        read_samples(tmp_path / "hub")


@pytest.mark.parametrize("ending", ["", "-1f2e3d4c5b6a7988"], ids=["plain", "with a fingerprint"])
def test_parquet_files_that_are_missing_by_the_names_of_the_others_are_counted(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    content = clip(tmp_path / "a.wav").read_bytes()
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    for n in (0, 2, 1):
        table = pa.Table.from_pylist([{"audio": {"bytes": content, "path": None}, "text": TEXTS[n]}])
        pq.write_table(table, folder / f"train-0000{n}-of-00003{ending}.parquet")
        caplog.clear()
        samples = read_samples(tmp_path / "hub")
        warnings = [record.getMessage() for record in caplog.records if "of 3 files" in record.getMessage()]
        if n != 1:
            assert warnings == [
                f"{tmp_path / 'hub'}: {len(samples)} of 3 files are here, by the name of train-00000-of-00003{ending}"
                ".parquet; the samples in the others are missing. Download these, unless the part is intended."
            ]
    assert (texts(samples), warnings) == (TEXTS, [])


def test_of_a_table_and_tar_files_the_one_with_the_texts_is_read(tmp_path: Path) -> None:
    table, part = tmp_path / "metadata.csv", tmp_path / "part"
    rows = ["file_name|transcription", *(f"wavs/a{n}.wav|{text}" for n, text in enumerate(TEXTS))]
    for n, text in enumerate(TEXTS):
        clip(tmp_path / "wavs" / f"a{n}.wav")
        write(part / f"a{n}.txt", f"{text} (tar)")
    with tarfile.open(tmp_path / "wavs.tar", "w") as tar:
        tar.add(tmp_path / "wavs", "wavs")
    assert find_format(tmp_path).name == "tar shards"
    assert "text of the target" in str(next(iter(find_format(tmp_path).read(tmp_path))))
    write(table, rows)
    assert texts(read_samples(tmp_path)) == TEXTS
    with tarfile.open(tmp_path / "wavs.tar", "a") as tar:
        tar.add(write(tmp_path / "notes.json", "{}"), "wavs/notes.json")
    assert texts(read_samples(tmp_path)) == TEXTS
    with tarfile.open(tmp_path / "wavs.tar", "a") as tar:
        tar.add(part, "wavs")
    assert texts(read_samples(tmp_path, skip_bad=True)) == [f"{text} (tar)" for text in TEXTS]
    (tmp_path / "wavs.tar").write_bytes(b"no tar file")
    assert texts(read_samples(tmp_path)) == TEXTS
    table.unlink()
    with pytest.raises(DataError, match=r"wavs\.tar: not a whole, uncompressed tar file"):
        read_samples(tmp_path)


def test_webdataset_members_have_their_common_names(tmp_path: Path) -> None:
    sound = clip(tmp_path / "a.wav")
    described = {
        "id": "EN_1",
        "wav": "EN_1.mp3",
        "text": TEXTS[0],
        "duration": 1.5,
        "speaker": "EN_B0",
        "language": "en",
    }
    write(tmp_path / "a.json", json.dumps(described))
    for ending, content in (("text", TEXTS[1]), ("spk", "slt"), ("lang", "en")):
        write(tmp_path / f"b.{ending}", content)
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(sound, "EN_1.flac")
        tar.add(tmp_path / "a.json", "EN_1.json")
        tar.add(sound, "b.audio")
        for ending in ("text", "spk", "lang"):
            tar.add(tmp_path / f"b.{ending}", f"b.{ending}")
    samples = read_samples(tmp_path / "shard.tar")
    assert (texts(samples), speakers(samples)) == (TEXTS[:2], ["EN_B0", "slt"])
    assert [sample.language for sample in samples] == ["en", "en"]
