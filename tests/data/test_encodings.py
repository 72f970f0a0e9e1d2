"""Text that is not UTF-8 is refused with its likely encoding and how that reads it; no command can destroy text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tracker_logging.data.formats import open_samples, read_samples
from tracker_logging.data.sample import DataError

TEXTS = {
    "gb18030": ("今天天气很好我们去公园玩吧", "GB18030"),
    "big5": ("今天天氣很好我們去公園玩吧", "Big5"),
    "shift_jis": ("今日はとても天気がいいですね", "Shift-JIS"),
    "euc_jp": ("今日はとても天気がいいですね", "EUC-JP"),
    "euc_kr": ("오늘은 날씨가 정말 좋네요", "EUC-KR"),
    "cp1251": ("Сегодня хорошая погода, пойдём в парк.", "cp1251"),
    "koi8_r": ("Сегодня хорошая погода, пойдём в парк.", "KOI8-R"),
    "cp1252": ("It’s “fine”, she said.", "cp1252"),
    "latin-1": ("El niño comió una piña.", "cp1252"),
    "cp1250": ("Příliš žluťoučký kůň úpěl.", "cp1250"),
    "cp1253": ("Ο καιρός είναι καλός σήμερα.", "cp1253"),
}
PLACES = ["a.txt beside a.wav", "a.list", "a.csv", "a.jsonl", "a.json"]


def written(folder: Path, place: str, text: str, encoding: str) -> Path:
    """A data file with `text` in `encoding`; the path to give."""
    soundfile.write(folder / "a.wav", np.full(2_400, 0.1), 24_000)
    content = {
        "a.list": f"a.wav|slt|en|{text}\n",
        "a.csv": f'audio,text\na.wav,"{text}"\n',
        "a.jsonl": json.dumps({"audio": "a.wav", "text": text}, ensure_ascii=False) + "\n",
        "a.json": json.dumps([{"audio": "a.wav", "text": text}], ensure_ascii=False),
    }.get(place, text)
    name = "a.txt" if " " in place else place
    (folder / name).write_bytes(content.encode(encoding))
    return folder if name == "a.txt" else folder / name


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("encoding", TEXTS)
def test_the_encoding_is_named_with_its_reading_and_without_a_command(
    tmp_path: Path, encoding: str, place: str
) -> None:
    text, name = TEXTS[encoding]
    with pytest.raises(DataError) as refusal:
        open_samples(written(tmp_path, place, text, encoding))
    message = str(refusal.value)
    first_foreign = next(index for index, character in enumerate(text) if not character.isascii())
    assert "not UTF-8" in message and name in message
    assert text[first_foreign : first_foreign + 8] in message
    assert "iconv" not in message and "Save it as UTF-8" in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("place", PLACES)
def test_utf_16_and_32_come_with_the_command_that_converts_them(tmp_path: Path, encoding: str, place: str) -> None:
    path = written(tmp_path, place, "We meet at half past ten, don't we?", encoding)
    with pytest.raises(DataError, match=r"iconv -f UTF-(16|16LE|16BE|32) -t UTF-8 OLD > NEW") as refusal:
        open_samples(path)
    named = re.search(r"iconv -f (\S+)", str(refusal.value))
    file = path / "a.txt" if path.is_dir() else path
    assert named is not None
    file.write_text(file.read_bytes().decode(named[1]), encoding="utf-8")  # what iconv does
    assert read_samples(path)[0].target_text == "We meet at half past ten, don't we?"


def test_an_encoding_is_recognised_by_all_files_of_a_folder(tmp_path: Path) -> None:
    """A short word of Western text alone could be of many encodings."""
    words = ["naïve", "café", "señor", "über", "Москва"]
    for number, word in enumerate(words[:4] * 5):
        soundfile.write(tmp_path / f"{number:02}.wav", np.full(2_400, 0.1), 24_000)
        (tmp_path / f"{number:02}.txt").write_bytes(f"{word} no. {number}".encode("cp1252"))
    with pytest.raises(DataError, match=r"00\.txt: not UTF-8 .*cp1252"):
        open_samples(tmp_path)


def test_a_mark_of_utf_8_is_no_part_of_the_text(tmp_path: Path) -> None:
    for place in PLACES:
        folder = tmp_path / place.replace(" ", "-")
        folder.mkdir()
        path = written(folder, place, "Grüße, 世界", "utf-8-sig")
        assert read_samples(path)[0].target_text == "Grüße, 世界", place


def test_a_short_turkish_text_is_not_taken_for_baltic_alone(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    text = "Yaşlı adam kırmızı tekneyi boyadı.\nGümüş saati kayboldu dedi."
    (tmp_path / "a.txt").write_bytes(text.encode("cp1254"))
    with pytest.raises(DataError, match=r"cp1254 \(Turkish\), which reads it as 'şlı adam"):
        read_samples(tmp_path)
