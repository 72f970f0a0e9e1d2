"""Data that is opened and not loaded: what is parsed when, and what becomes of a sample that is bad."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from torch.utils.data import DataLoader

from tracker_logging.data import formats
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.facts import MOST_READ, dataset_facts
from tracker_logging.data.formats import json_files, open_samples
from tracker_logging.data.sample import DataError
from tracker_logging.data.samples import Samples, evenly, spread
from tracker_logging.families.higgs_v2.processor import SpeechProcessor

WAVE = np.linspace(-0.1, 0.1, 9_600, dtype=np.float32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each line was parsed from now on."""
    counts: Counter[int] = Counter()
    parse = json_files.JsonLines._parse

    def counting(self: json_files.JsonLines, line: bytes, index: int) -> object:
        counts[index] += 1
        return parse(self, line, index)

    monkeypatch.setattr(json_files.JsonLines, "_parse", counting)
    return counts


def item(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "audio": "clip.wav",
        "text": "word " * (number % 100 + 1),
        "speaker": f"s{number % 3}",
    } | changes


def write(path: Path, count: int, *, bad: frozenset[int] = frozenset()) -> Path:
    """`count` lines that name one recording; the numbers in `bad` name none."""
    soundfile.write(path.parent / "clip.wav", WAVE, 24_000)
    rows = (item(number, audio="gone.wav") if number in bad else item(number) for number in range(count))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_opening_many_lines_parses_an_even_choice_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parsed: Counter[int]
) -> None:
    monkeypatch.setattr(formats, "CHECKED", 50)
    samples = open_samples(write(tmp_path / "a.jsonl", 5_000))
    assert len(samples) == 5_000
    assert len(parsed) == 50
    assert {0, 4_999} < parsed.keys()
    assert max(parsed.values()) == 1
    assert samples[1_234].sample_id == "1234"
    assert parsed[1_234] == 1


def test_opening_few_lines_checks_each(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", 300, bad=frozenset({217}))
    with pytest.raises(DataError, match=r"a\.jsonl\[217\]\.audio names 'gone\.wav'"):
        open_samples(path)
    samples = open_samples(path, skip_bad=True)
    assert len(samples) == 299
    assert [sample.sample_id for sample in samples] == [str(number) for number in range(300) if number != 217]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_items_of_a_list_are_found_again_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setattr(json_files, "_CHUNK", 64)
    rows = [item(number, text="Grüße, 世界 🎙 " * (number % 7)) for number in range(200)]
    texts = [json.dumps(row, ensure_ascii=number % 3 == 0, indent=number % 2) for number, row in enumerate(rows)]
    path = tmp_path / "a.json"
    path.write_text(f"{mark} [\r\n\t" + " ,\n  ".join(texts) + " ]\n", encoding="utf-8")
    found = json_files.JsonList(path)
    assert list(found) == rows
    assert found[-1] == rows[-1]
    assert pickle.loads(pickle.dumps(found))[17] == rows[17]
    assert len(pickle.dumps(found)) < path.stat().st_size / 5
    path.write_text(path.read_text(encoding="utf-8").replace("世", "Welt"), encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.json\[199\] .*has changed since it was opened"):
        found[199]


def test_training_and_evaluation_are_split_without_parsing(tmp_path: Path, parsed: Counter[int]) -> None:
    samples = open_samples(write(tmp_path / "a.jsonl", 400))
    parsed.clear()
    train, evaluation = samples.split(share=0.1, seed=7)
    assert (len(train), len(evaluation)) == (360, 40)
    assert not parsed
    names = [sample.sample_id for part in (train, evaluation) for sample in part]
    assert sorted(names, key=int) == [str(number) for number in range(400)]
    assert names != sorted(names, key=int)
    again, _ = samples.split(share=0.1, seed=7)
    np.testing.assert_array_equal(again.indices, train.indices)


def test_samples_behave_like_a_sequence(tmp_path: Path) -> None:
    samples = open_samples(write(tmp_path / "a.jsonl", 30))
    assert [one.sample_id for one in samples[3:9:2]] == ["3", "5", "7"]
    assert samples[-1].sample_id == "29"
    assert [one.sample_id for one in samples.take([5, 2])[:1]] == ["5"]
    assert not samples[:0]
    with pytest.raises(IndexError):
        samples[30]
    copy = pickle.loads(pickle.dumps(samples))
    assert list(copy) == list(samples)


def test_a_spread_holds_both_ends_and_no_number_twice() -> None:
    for count, most in ((0, 5), (1, 5), (5, 5), (7, 5), (1_000, 7), (3, 1)):
        chosen = spread(count, most)
        assert len(chosen) == min(count, most)
        assert chosen == sorted(set(chosen))
        if len(chosen) > 1:
            assert (chosen[0], chosen[-1]) == (0, count - 1)


def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, skip_bad: bool) -> Samples:
    """40 samples of which only the ends are checked at opening; numbers 3, 4 and 20 are bad."""
    monkeypatch.setattr(formats, "CHECKED", 2)
    return open_samples(write(tmp_path / "a.jsonl", 40, bad=frozenset({3, 4, 20})), skip_bad=skip_bad)


def test_a_bad_sample_met_in_training_ends_it_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processor: SpeechProcessor
) -> None:
    dataset = VoiceCloningDataset(late(tmp_path, monkeypatch, skip_bad=False), processor)
    assert "audio_labels" in dataset[2]
    with pytest.raises(DataError, match=r"a\.jsonl\[3\]\.audio names 'gone\.wav'"):
        dataset[3]
    (tmp_path / "clip.wav").write_bytes(b"RIFF no sound")
    with pytest.raises(DataError, match=r"a\.jsonl\[5\]: .*clip\.wav: not a readable audio file"):
        dataset[5]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_next_sample_takes_the_place_of_a_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processor: SpeechProcessor, workers: int
) -> None:
    dataset = VoiceCloningDataset(late(tmp_path, monkeypatch, skip_bad=True), processor, skip_bad=True)
    rows = list(DataLoader(dataset, batch_size=None, num_workers=workers))
    words = [len(row["input_ids"]) - len(rows[0]["input_ids"]) for row in rows]
    assert words == [{3: 5, 4: 5, 20: 21}.get(number, number) for number in range(40)]
    if workers == 0:
        assert dataset.skipped == {3, 4, 20}


def test_skipping_says_what_and_ends_when_nothing_is_left(
    tmp_path: Path, processor: SpeechProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    samples = open_samples(write(tmp_path / "a.jsonl", 8))
    dataset = VoiceCloningDataset(samples, processor, skip_bad=True)
    (tmp_path / "clip.wav").unlink()
    with pytest.raises(DataError, match="No sample can be used"):
        dataset[0]
    assert len(dataset.skipped) == 8
    assert caplog.text.count("the next one replaces it: ") == 5
    assert "a.jsonl[0]" in caplog.text


def test_an_even_choice_leaves_out_what_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = late(tmp_path, monkeypatch, skip_bad=True)
    assert [one.sample_id for one in evenly(samples[:6], 6)] == ["0", "1", "2", "5"]
    with pytest.raises(DataError, match=r"a\.jsonl\[3\]"):
        evenly(Samples(samples.source, samples.indices), 40)


def test_facts_of_much_data_are_of_what_was_read(tmp_path: Path, parsed: Counter[int]) -> None:
    samples = open_samples(write(tmp_path / "a.jsonl", MOST_READ + 500))
    parsed.clear()
    facts = dataset_facts("train", samples)
    assert facts["train_samples"] == MOST_READ + 500
    assert "train_speakers" not in facts
    assert len(parsed) == MOST_READ
    assert facts == dataset_facts("train", list(samples))
    assert facts["train_fingerprint"] != dataset_facts("train", samples[:-1])["train_fingerprint"]
    assert dataset_facts("train", samples[:9])["train_speakers"] == 3


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def sound(ending: str, *, level: float = 1.0) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, WAVE * level, 24_000, format=ending.upper())
    return content.getvalue()


def test_shards_are_read_where_they_lie(tmp_path: Path, processor: SpeechProcessor) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    described = json.dumps(
        {"text": "Second.", "ref_transcript": "Reference.", "speaker": "slt", "mood": "calm"}
    ).encode()
    shard(folder / "0.tar", {"x/a.wav": sound("wav"), "x/a.txt": b"First."})
    shard(folder / "1.tar", {"b.flac": sound("flac"), "b.ref.wav": sound("wav", level=0.5), "b.json": described})
    samples = open_samples(folder, training=True)
    first, second = samples
    assert (first.sample_id, first.target_text, first.reference_audio) == ("x/a", "First.", None)
    assert (second.target_text, second.reference_text, second.speaker) == ("Second.", "Reference.", "slt")
    assert dict(second.extra) == {"mood": "calm"}
    assert second.target_audio is not None and second.target_audio.read_bytes() == sound("flac")
    assert second.reference_audio is not None and second.reference_audio.read_bytes() == sound("wav", level=0.5)
    assert pickle.loads(pickle.dumps(samples))[1] == second
    assert "audio_labels" in VoiceCloningDataset(samples, processor)[1]


def test_bad_shards_and_members_are_named(tmp_path: Path) -> None:
    good = {"a.wav": sound("wav"), "a.txt": b"First."}
    bad = {"../b.wav": sound("wav"), "../b.txt": b"B.", "c.txt": b"C.", "d.wav": sound("wav"), "d.json": b"{"}
    path = shard(tmp_path / "a.tar", good | bad | {"e.wav": b"no sound", "e.txt": b"E."})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("f.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    outcomes = [str(one) for one in formats.find_format(path).read(path)]
    assert "First." in outcomes[0]
    for outcome, message in zip(
        outcomes[1:],
        ["is not a plain relative name", "has no recording", "is not valid JSON", "is not WAV, FLAC, Ogg or MP3"],
        strict=True,
    ):
        assert message in outcome
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(DataError, match=r"a\.tar: not a whole, uncompressed tar file"):
        open_samples(path)
