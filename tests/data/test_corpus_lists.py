"""Corpora and tables as people have them: read, or refused once with what is there and what to do."""

from __future__ import annotations

import io
import json
import tarfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tracker_logging.data.formats import open_samples, read_samples
from tracker_logging.data.references import Pairing
from tracker_logging.data.sample import DataError

TEXTS = ["The old man painted a red boat.", "Her silver watch is gone.", "We meet at half past ten."]


def clips(folder: Path, names: Sequence[str], *, seconds: float = 1.0) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, 0.1 * np.sin(np.arange(int(16_000 * seconds)) / 9), 16_000)
    return [folder / name for name in names]


def write(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


KOREAN = ["그는 괜찮은 척하려고 애쓰는 것 같았다.", "1년 동안 용돈을 아껴 써라.", "그는 아내를 많이 아낀다."]
EXPANDED = [KOREAN[0], "일 년 동안 용돈을 아껴 써라.", KOREAN[2]]
ENGLISH = ["He seemed to be pretending to be okay.", "Save your money for one year.", "He cherishes his wife a lot."]
DECOMPOSED = [unicodedata.normalize("NFD", text) for text in EXPANDED]
KSS = [f"1/1_000{n}.wav|{KOREAN[n]}|{EXPANDED[n]}|{DECOMPOSED[n]}|3.{n}|{ENGLISH[n]}" for n in range(3)]

LISTS = {
    "ESD": ("0011/Neutral/0011_{0}.wav", "0011/0011.txt", "0011_{0}\t{1}\tNeutral"),
    "MLS": ("train/audio/10/20/10_20_{0}.flac", "train/transcripts.txt", "10_20_{0}\t{1}"),
    "JSUT": ("basic5000/wav/BASIC_{0}.wav", "basic5000/transcript_utf8.txt", "BASIC_{0}:{1}"),
    "ARCTIC": ("wav/arctic_a{0}.wav", "etc/txt.done.data", '( arctic_a{0} "{1}" )'),
    "AISHELL": ("wav/S1/B_{0}.wav", "transcript/t.txt", "B_{0} {1}"),
}


@pytest.mark.parametrize("corpus", LISTS)
def test_texts_are_found_in_the_list_of_a_corpus(corpus: str, tmp_path: Path) -> None:
    audio, name, line = LISTS[corpus]
    clips(tmp_path, [audio.format(number) for number in range(3)])
    write(tmp_path / name, [line.format(number, text) for number, text in enumerate(TEXTS)])
    write(tmp_path / "README.txt", ["This corpus was recorded in a quiet room.", "See the license."])
    samples = read_samples(tmp_path)
    assert [(sample.target_audio, sample.target_text) for sample in samples] == [
        (tmp_path / audio.format(number), text) for number, text in enumerate(TEXTS)
    ]


def test_a_list_belongs_to_the_recordings_below_it(tmp_path: Path) -> None:
    """JVS: the same names for each speaker."""
    for speaker in ("jvs001", "jvs002"):
        clips(tmp_path, [f"{speaker}/parallel/wav/VOICE_{number}.wav" for number in range(3)])
        lines = [f"VOICE_{number}:{speaker} {text}" for number, text in enumerate(TEXTS)]
        write(tmp_path / f"{speaker}/parallel/transcripts_utf8.txt", lines)
    assert [sample.target_text for sample in read_samples(tmp_path)] == [
        f"{speaker} {text}" for speaker in ("jvs001", "jvs002") for text in TEXTS
    ]


def list_texts(folder: Path, lines: Sequence[str], *, name: str = "wav/a{0}.wav") -> list[str]:
    """The texts of as many recordings as there are lines, in the list of these lines above them."""
    clips(folder, [name.format(number) for number in range(len(lines))])
    write(folder / "content.txt", lines)
    return [sample.target_text for sample in read_samples(folder)]


def test_the_pinyin_of_aishell_3_is_no_text(tmp_path: Path) -> None:
    lines = [
        "SSB00050.wav\t广 guang3 州 zhou1 女 nv3 大 da4 学 xue2 生 sheng1",
        "SSB00051.wav\t尊 zhun1 重 zhong4 科 ke1 学 xue2 规 gui1 律 lv4 的 de5 要 yao1 求 qiu2",
    ]
    read = list_texts(tmp_path / "train", lines, name="wav/SSB0005/SSB0005{0}.wav")
    assert read == ["广州女大学生", "尊重科学规律的要求"]


def test_a_version_after_a_chinese_word_stays(tmp_path: Path) -> None:
    texts = ["这是版本 v2 的说明", "我们明天见", "请你等一下"]
    assert list_texts(tmp_path, [f"a{number}\t{text}" for number, text in enumerate(texts)]) == texts


LIST_COLUMNS = {
    "ESD": (["Come on.", "I see.", "No!", "The nine the eggs, I keep."], ["Surprise"] * 4),
    "ESD, Chinese": (["打远一看，它们的确很是美丽。", "好吗？", "他对谁都那么友好。", "真可爱。"], ["中立"] * 4),
    "an id": (TEXTS, ["UCk8GzjMOrta8yxDcKfylJYwUCk8GzjMOrta8yxD"] * 3),
}


@pytest.mark.parametrize("corpus", LIST_COLUMNS)
def test_the_text_of_a_list_is_one_column(corpus: str, tmp_path: Path) -> None:
    texts, others = LIST_COLUMNS[corpus]
    rows = enumerate(zip(texts, others, strict=True))
    assert list_texts(tmp_path, [f"a{number}\t{text}\t{other}" for number, (text, other) in rows]) == texts


def test_the_list_of_kss_is_its_expanded_script(tmp_path: Path) -> None:
    assert list_texts(tmp_path, KSS, name="1/1_000{0}.wav") == EXPANDED


def test_a_list_with_two_columns_that_may_be_the_text_is_refused(tmp_path: Path) -> None:
    rows = enumerate(zip(TEXTS, ENGLISH, strict=True))
    with pytest.raises(
        DataError, match=r"content\.txt: columns 2 \('The old .* and 3 \('He .*may both be the text\. Keep only"
    ):
        list_texts(tmp_path, [f"a{number}\t{text}\t{other}" for number, (text, other) in rows])


def test_a_line_of_a_list_without_a_text_has_none(tmp_path: Path) -> None:
    lines = [f"a{number}\t{text}\tNeutral" for number, text in enumerate(["Come on.", "", "I see it."])]
    with pytest.raises(DataError, match=r"a1\.wav: no a1\.txt with its text"):
        list_texts(tmp_path, lines)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["84_121.trans.tsv", "84_121.trans.txt", "content.txt"])
def test_a_line_separator_of_unicode_ends_no_line_of_a_list(name: str, end: str, tmp_path: Path) -> None:
    texts = ["He came back.\u2028Then he left.", "One\x85two three.", "A page\x0cand a half."]
    stems = [f"84_121_{number}_0" for number in range(3)]
    clips(tmp_path / "84/121", [f"{stem}.wav" for stem in stems])
    mark = " " if name.endswith("trans.txt") else "\t"
    lines = (f"{stem}{mark}{text}{end}" for stem, text in zip(stems, texts, strict=True))
    (tmp_path / "84/121" / name).write_bytes("".join(lines).encode())
    assert [sample.target_text for sample in read_samples(tmp_path)] == texts


SPEAKERS = {  # (audio, list, line), of which {0} is the speaker and {1} the number
    "MLS": ("train/audio/{0}/10108/{0}_10108_00000{1}.wav", "train/transcripts.txt", "{0}_10108_00000{1}", "10214 87"),
    "ESD": ("{0}/Angry/{0}_00000{1}.wav", "{0}/{0}.txt", "{0}_00000{1}", "0001 0011"),
    "AISHELL": ("wav/train/{0}/BAC009{0}W012{1}.wav", "transcript/t.txt", "BAC009{0}W012{1}", "S0002 S0003"),
    "AISHELL-3": ("train/wav/{0}/{0}035{1}.wav", "train/content.txt", "{0}035{1}.wav", "SSB0005 SSB0009"),
    "JVS": ("{0}/parallel100/wav/VOICE_{1}.wav", "{0}/parallel100/transcripts_utf8.txt", "VOICE_{1}", "jvs001 jvs002"),
    "ARCTIC": ("{0}/wav/a{1}.wav", "{0}/etc/txt.done.data", "a{1}", "cmu_us_slt_arctic cmu_us_awb_arctic"),
}


@pytest.mark.parametrize("corpus", SPEAKERS)
def test_speakers_of_a_corpus_with_lists_are_in_its_names_and_can_be_paired(corpus: str, tmp_path: Path) -> None:
    audio, name, key, speakers = SPEAKERS[corpus]
    lines: dict[str, list[str]] = {}
    for speaker in speakers.split():
        clips(tmp_path, [audio.format(speaker, number) for number in range(3)])
        listed = [f"{key.format(speaker, number)}\t{text}" for number, text in enumerate(TEXTS)]
        lines.setdefault(name.format(speaker), []).extend(listed)
    for place, listed in lines.items():
        write(tmp_path / place, listed)
    samples = open_samples(tmp_path, pairing=Pairing())
    assert sorted(str(sample.speaker) for sample in samples) == sorted(speakers.split() * 3)
    for sample in samples:
        assert sample.reference_audio is not None and sample.speaker in sample.reference_audio.parts
    if name.startswith("{0}"):  # the folder of a speaker can be given alone
        one = tmp_path / speakers.split()[0]
        assert {sample.speaker for sample in read_samples(one)} == {one.name}


@pytest.mark.parametrize(
    "audio", ["train/train_{0}.wav", "1/1_{0}.wav", "BASIC5000_{0}.wav", "20240105_1030_00000{0}.wav"]
)
def test_a_folder_or_number_that_may_be_anything_is_no_speaker(
    audio: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = clips(tmp_path, [audio.format(number) for number in range(3)])
    write(tmp_path / "transcripts.txt", [f"{path.stem}\t{text}" for path, text in zip(paths, TEXTS, strict=True)])
    assert {sample.speaker for sample in open_samples(tmp_path, pairing=Pairing())} == {None}
    assert "3 of 3 samples name no speaker" in caplog.text
    assert "tracker-logging convert DIRECTORY OUT.csv --to manifest" in caplog.text


def test_columns_of_a_directory_of_recordings_are_refused_with_what_can_be_done(tmp_path: Path) -> None:
    clips(tmp_path, ["a.wav"])
    write(tmp_path / "a.txt", TEXTS[:1])
    with pytest.raises(DataError, match=r"convert DIRECTORY OUT\.csv --to manifest.*fill in"):
        read_samples(tmp_path, columns={"audio": "1", "text": "2", "speaker": "3"})


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("gbk", r"0001\.txt: not UTF-8 \(.*GB18030 \(GBK\), which reads it as '打远一看"),
        ("utf-16", r"0001\.txt: is UTF-16, not UTF-8\. Convert it: iconv -f UTF-16"),
        ("utf-16-le", r"0001\.txt: is UTF-16LE, not UTF-8\. Convert it: iconv -f UTF-16LE"),
    ],
)
def test_a_list_in_another_encoding_is_named_with_its_encoding(encoding: str, message: str, tmp_path: Path) -> None:
    """ESD as it is distributed."""
    for speaker in ("0001", "0011"):
        clips(tmp_path, [f"{speaker}/Angry/{speaker}_{number:06}.wav" for number in range(3)])
    listed = "".join(f"0001_{number:06}\t打远一看，它们上的确很是美丽。\t生气\n" for number in range(3))
    (tmp_path / "0001/0001.txt").write_bytes(listed.encode(encoding))
    write(tmp_path / "0011/0011.txt", [f"0011_{n:06}\t{text}\tAngry" for n, text in enumerate(TEXTS)])
    assert [sample.target_text for sample in read_samples(tmp_path, skip_bad=True)] == TEXTS
    with pytest.raises(DataError, match=message):
        read_samples(tmp_path)
    write(tmp_path / "0001/new.txt", [f"0001_{n:06}\t{text}\tAngry" for n, text in enumerate(TEXTS)])
    assert [sample.target_text for sample in read_samples(tmp_path)] == [*TEXTS, *TEXTS]


def test_a_recording_that_is_not_in_the_list_is_named(tmp_path: Path) -> None:
    clips(tmp_path, [f"wav/a{number}.wav" for number in range(3)])
    write(tmp_path / "transcripts.txt", [f"a{number}\t{TEXTS[number]}" for number in range(2)])
    assert len(read_samples(tmp_path, skip_bad=True)) == 2
    with pytest.raises(DataError, match=r"a2\.wav: no a2\.txt with its text"):
        read_samples(tmp_path)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("data/train/metadata.jsonl", "data/train/metadata.jsonl"),
        ("92_manifest_clean_train.json", "92_manifest_clean_train.json"),
        ("data/train/wav.scp", "data/train"),
        ("lists/ESD/train.list", "lists/ESD/train.list"),
    ],
)
def test_data_files_deep_in_a_directory_are_named_once(name: str, named: str, tmp_path: Path) -> None:
    clips(tmp_path, ["data/train/a.wav", "data/train/b.wav"])
    write(tmp_path / name, ["a"])
    if name.endswith("wav.scp"):
        write(tmp_path / "data/train/text", ["a Text."])
    with pytest.raises(DataError, match=rf"no recording has a text beside it, .*\({named}\)\. Give the path"):
        read_samples(tmp_path)


def test_records_of_unknown_columns_are_refused_with_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [json.dumps({"source": "a.wav", "target": text}) for text in TEXTS])
    with pytest.raises(
        DataError, match=r"the columns source, target have none known as audio and text.*--columns audio="
    ):
        read_samples(path)
    clips(tmp_path, ["a.wav"])
    assert len(read_samples(path, columns={"audio": "source", "text": "target"})) == 3


def test_columns_of_wenet_and_cosyvoice_are_known(tmp_path: Path) -> None:
    clips(tmp_path, ["a.wav"])
    rows = [{"utt": f"u{number}", "wav": "a.wav", "txt": text, "spk": "slt"} for number, text in enumerate(TEXTS)]
    samples = read_samples(write(tmp_path / "data.list", [json.dumps(row) for row in rows]))
    assert [(one.sample_id, one.speaker, one.target_text) for one in samples] == [
        (f"u{number}", "slt", text) for number, text in enumerate(TEXTS)
    ]


def test_a_header_of_unknown_names_is_no_row_and_the_flag_is_told(tmp_path: Path) -> None:
    clips(tmp_path, [f"wavs/a{number}.wav" for number in range(3)])
    lines = ["clip;words;who", *(f"wavs/a{number}.wav;{text};slt" for number, text in enumerate(TEXTS))]
    path = write(tmp_path / "data.csv", lines)
    with pytest.raises(DataError, match=r"'clip;words;who'.* Set --columns audio=clip,text=words,speaker=who"):
        read_samples(path)
    samples = read_samples(path, columns={"audio": "clip", "text": "words", "speaker": "who"})
    assert [sample.target_text for sample in samples] == TEXTS


@pytest.mark.parametrize(("first", "what"), [("sep=;", "a note for Excel"), ("# my voices", "a comment")])
def test_a_first_line_that_is_no_row_is_named(first: str, what: str, tmp_path: Path) -> None:
    clips(tmp_path, [f"a{number}.wav" for number in range(3)])
    path = write(tmp_path / "metadata.csv", [first, *(f"a{number}.wav;{text}" for number, text in enumerate(TEXTS))])
    with pytest.raises(DataError, match=rf"\('{first}'\) is {what}\. Remove it"):
        read_samples(path)


CHINESE = ["今天天气很好。", "我们明天见。", "请你等一下。"]
CHANNELS = ["UCk8GzjMOrta8yxDcKfylJYwUCk8GzjMOrta8yxD", "UCX6OQ3DkcsbYNE6H8uQQuVAUCX6OQ3DkcsbYNE6", "UC-lHJZR3Gqxm24"]
DATES = ["about 1455, the bible", "In 1465, Sweynheim began", "of the year 1467, which"]
SAID = ["about fourteen fifty-five, the Bible", "In fourteen sixty-five, Sweynheim began", "of the year 1467, which"]


def test_the_text_of_kss_is_its_expanded_script(tmp_path: Path) -> None:
    """Columns of 1.4: script, expanded, decomposed to jamo, seconds, English."""
    clips(tmp_path, [f"1/1_000{number}.wav" for number in range(3)])
    samples = read_samples(write(tmp_path / "transcript.v.1.4.txt", KSS))
    assert [(sample.target_text, sample.extra["raw_text"]) for sample in samples] == list(
        zip(EXPANDED, KOREAN, strict=True)
    )
    assert {sample.speaker for sample in samples} == {None}


# The columns after the recording, in order, by what they are.
COLUMNS: dict[str, dict[str, Sequence[str]]] = {
    "a long id of the speaker": {"text": TEXTS, "speaker": CHANNELS},
    "a name longer than the text": {"speaker": ["reader_001", "reader_002", "reader_001"], "text": CHINESE},
    "words, not sentences": {"text": ["Yes.", "No", "Stop!"], "speaker": CHANNELS},
    "words of two letters": {"speaker": ["speaker0001"] * 3, "text": ["你好", "再见", "谢谢"]},
    "numbers written out": {"raw_text": DATES, "text": SAID},
    "an emotion of two words": {"emotion": ["very happy"] * 3, "text": TEXTS},
    "a language at the end": {"text": TEXTS, "speaker": ["slt"] * 3, "language": ["en"] * 3},
    "a language after the text": {"text": TEXTS, "language": ["en"] * 3, "speaker": CHANNELS},
    "seconds": {"raw_text": TEXTS, "text": TEXTS, "seconds": ["1.85", "2.31", "9.00"]},
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_the_text_is_told_from_other_columns(kind: str, tmp_path: Path) -> None:
    columns = COLUMNS[kind]
    names = [f"a{number}.wav" for number in range(3)]
    clips(tmp_path, names)
    rows = zip(names, *columns.values(), strict=True)
    samples = read_samples(write(tmp_path / "train.txt", ["|".join(row) for row in rows]))
    assert [sample.target_text for sample in samples] == list(columns["text"])
    assert [sample.extra.get("raw_text") for sample in samples] == list(columns.get("raw_text", [None] * 3))
    assert [sample.speaker for sample in samples] == list(columns.get("speaker", [None] * 3))
    assert [sample.language for sample in samples] == list(columns.get("language", [None] * 3))


@pytest.mark.parametrize(
    "other",
    [
        ["A young woman speaks calmly in a quiet room."] * 3,
        ["ð ə oʊ l d m æ n", "h ɜː s ɪ l v ə", "w iː m iː t"],
        ["Le vieil homme peignait un bateau.", "Sa montre a disparu.", "Nous nous voyons à dix heures."],
        ["おじいさんが船を塗った。", "時計がなくなった。", "十時半に会いましょう。"],
    ],
    ids=["description", "phones", "translation", "script"],
)
@pytest.mark.parametrize("is_first", [False, True])
def test_two_columns_that_may_be_the_text_are_refused_with_both(
    other: list[str], is_first: bool, tmp_path: Path
) -> None:
    clips(tmp_path, [f"a{number}.wav" for number in range(3)])
    pairs = zip(other, TEXTS, strict=True) if is_first else zip(TEXTS, other, strict=True)
    path = write(tmp_path / "train.txt", [f"a{n}.wav|{'|'.join(pair)}|slt" for n, pair in enumerate(pairs)])
    with pytest.raises(DataError, match=r"train\.txt: columns 2 .* and 3 .* may both be the text") as told:
        read_samples(path)
    assert repr(other[0])[1:40] in str(told.value) and TEXTS[0] in str(told.value)
    assert "--columns audio=1,text=2 or --columns audio=1,text=3" in str(told.value)
    samples = read_samples(path, columns={"audio": "1", "text": "3" if is_first else "2", "speaker": "4"})
    assert [sample.target_text for sample in samples] == TEXTS


def test_numbers_of_speakers_are_no_recordings_of_these_names(tmp_path: Path) -> None:
    clips(tmp_path, [f"wavs/{number}.wav" for number in range(3)])
    for row in ("{0}|{1}|{2}", "{1}|{0}|{2}"):
        rows = [row.format(number, number % 2, text) for number, text in enumerate(TEXTS)]
        samples = read_samples(write(tmp_path / "metadata.csv", rows))
        assert [sample.target_audio for sample in samples] == [tmp_path / f"wavs/{number}.wav" for number in range(3)]
        assert [(sample.speaker, sample.target_text) for sample in samples] == list(
            zip(["0", "1", "0"], TEXTS, strict=True)
        )


@pytest.mark.parametrize("value", [{"data": [{"audio": "a.wav", "text": "A."}]}, {"a": {"text": "A."}, "b": {}}])
def test_a_json_object_around_the_samples_is_named(value: object, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(value))
    with pytest.raises(
        DataError, match=r"(a list under 'data'\. Write that list alone|of 2 objects\. Write them as a list)"
    ):
        read_samples(tmp_path / "train.json")


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        ("wavs/café{0}.wav", "café{0}"),
        ("Wavs/A{0}.WAV", "wavs/a{0}.wav"),
        ("my wavs/clip {0}.wav", "my%20wavs/clip%20{0}.wav"),
    ],
)
def test_names_in_a_table_without_header_may_be_of_another_form(stored: str, written: str, tmp_path: Path) -> None:
    names = [unicodedata.normalize("NFD", stored.format(number)) for number in range(3)]
    clips(tmp_path, names)
    path = write(tmp_path / "metadata.csv", [f"{written.format(n)}|{text}" for n, text in enumerate(TEXTS)])
    assert [sample.target_audio for sample in read_samples(path)] == [tmp_path / name for name in names]


@pytest.mark.parametrize(
    ("stored", "written", "nearest"),
    [
        ("wavs/a{0}.wav", "/home/me/corpus/wavs/a{0}.wav", "wavs/a0.wav"),
        ("wavs/a{0}.wav", "D:\\\\corpus\\\\wavs\\\\a{0}.wav", "a0.wav"),
        ("wavs/a{0}.flac", "wavs/a{0}.wav", "wavs/a0.flac"),
    ],
)
def test_rows_of_a_table_whose_recordings_are_elsewhere_name_the_nearest_file(
    stored: str, written: str, nearest: str, tmp_path: Path
) -> None:
    clips(tmp_path, [stored.format(number) for number in range(3)])
    path = write(tmp_path / "train.list", [f"{written.format(n)}|slt|en|{text}" for n, text in enumerate(TEXTS)])
    with pytest.raises(DataError, match=rf"does not exist.*the nearest file is '{nearest}'"):
        read_samples(path)


def kaldi(folder: Path, segment: str) -> Path:
    clips(folder, ["rec.wav"], seconds=2.0)
    write(folder / "wav.scp", ["rec rec.wav"])
    write(folder / "text", ["u0 One two."])
    write(folder / "segments", [f"u0 rec {segment}"])
    return folder


def test_a_segment_of_kaldi_may_end_at_the_end_and_not_far_beyond_it(tmp_path: Path) -> None:
    (sample,) = read_samples(kaldi(tmp_path / "open", "0.5 -1"))
    assert soundfile.info(str(sample.target_audio)).duration == pytest.approx(1.5)
    (sample,) = read_samples(kaldi(tmp_path / "little", "0.5 2.3"))
    assert soundfile.info(str(sample.target_audio)).duration == pytest.approx(1.5)
    with pytest.raises(DataError, match=r"cut from 0\.5 s to 9 s, but the recording has 2 s"):
        read_samples(kaldi(tmp_path / "far", "0.5 9"))


@pytest.mark.parametrize("command", ["flac -c -d -s {0} |", "flac -cd --silent {0} |", "cat {0} |"])
def test_a_command_of_kaldi_that_only_decodes_a_file_is_the_file(command: str, tmp_path: Path) -> None:
    clips(tmp_path, ["sound.flac"])
    write(tmp_path / "wav.scp", [f"u0 {command.format('sound.flac')}"])
    write(tmp_path / "text", ["u0 One two."])
    assert read_samples(tmp_path)[0].target_audio == tmp_path / "sound.flac"


@pytest.mark.parametrize("command", ["sox {0} -t wav - speed 0.9 |", "flac -cd {0} | sox - -t wav - |", "cat {0} x |"])
def test_a_command_of_kaldi_that_does_more_is_refused(command: str, tmp_path: Path) -> None:
    clips(tmp_path, ["sound.flac"])
    write(tmp_path / "wav.scp", [f"u0 {command.format('sound.flac')}"])
    write(tmp_path / "text", ["u0 One two."])
    with pytest.raises(DataError, match=r"is a command in wav\.scp"):
        read_samples(tmp_path)


def shard(path: Path, names: Sequence[str]) -> Path:
    sound = io.BytesIO()
    soundfile.write(sound, 0.1 * np.sin(np.arange(16_000) / 9), 16_000, format="WAV")
    with tarfile.open(path, "w") as tar:
        for name in names:
            content = b"Some words." if name.endswith("txt") else sound.getvalue()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_dots_in_the_names_of_a_shard_lose_no_recording(tmp_path: Path) -> None:
    (sample,) = read_samples(shard(tmp_path / "a.tar", ["0001.audio.wav", "0001.text.txt"]))
    assert sample.target_text == "Some words."
    dotted = shard(tmp_path / "b.tar", ["clip.0.wav", "clip.0.txt", "clip.1.wav", "clip.1.txt"])
    with pytest.raises(DataError, match=r"clip has 2 recordings \(clip\.0\.wav, clip\.1\.wav\)"):
        read_samples(dotted)
