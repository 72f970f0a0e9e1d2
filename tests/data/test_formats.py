"""What single formats refuse or hold, beyond the examples of docs/data.md."""

from __future__ import annotations

import base64
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tracker_logging.data.convert import convert
from tracker_logging.data.formats import containers, find_format, open_samples, read_samples
from tracker_logging.data.sample import DataError, Utterance


@pytest.fixture(autouse=True)
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recordings in `tmp_path`, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("ref.wav", "target.wav"):
        soundfile.write(tmp_path / name, np.linspace(-0.1, 0.1, 2400, dtype=np.float32), 24_000)


def lines(path: Path, *items: Any) -> Path:
    path.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    return path


def chatml(**changes: Any) -> dict[str, Any]:
    user = [
        {"type": "text", "text": "The reference."},
        {"type": "audio", "audio_url": "ref.wav"},
        {"type": "text", "text": "Please generate speech for given text in reference audio's voice: At 10:30."},
    ]
    said = [{"role": "user", "content": user}]
    return {
        "messages": [*said, {"role": "assistant", "content": [{"type": "audio", "audio_url": "target.wav"}]}],
        **changes,
    }


def turns(*, end: bool = True) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"role": "user", "content": "The reference."},
        {"role": "assistant", "content": {"type": "audio", "audio_url": "ref.wav"}},
        {"role": "user", "content": ["At 10:30."]},
    ]
    return [*found, {"role": "assistant", "content": [{"type": "audio", "audio_url": "target.wav"}]}][: 4 if end else 3]


PAIR = {
    "ref_audio_path": "ref.wav",
    "ref_transcript": "The reference.",
    "target_audio_path": "target.wav",
    "target_transcript": "At 10:30.",
}


@pytest.mark.parametrize("offset", [3.0, "3.0", 0, "0.0", None])
def test_an_offset_of_a_pair_is_refused_unless_it_is_0(tmp_path: Path, offset: float | str | None) -> None:
    row = {**PAIR, "offset": offset}
    table = tmp_path / "pairs.csv"
    table.write_text("".join(f"{','.join(str(cell or '') for cell in cells)}\n" for cells in (row, row.values())))
    metadata = tmp_path / "folder" / "metadata.json"
    metadata.parent.mkdir()
    metadata.write_text(json.dumps([{"audio_file": "target.wav", "transcript": "At ten.", "offset": offset}]))
    for path in (lines(tmp_path / "pairs.jsonl", row), table, metadata):
        if not offset or offset == "0.0":
            assert read_samples(path)[0].target_audio == tmp_path / "target.wav"
            continue
        with pytest.raises(DataError, match=rf"{path.name}\[0\]\.offset is not applied; cut the clips into files"):
            read_samples(path)


def test_an_offset_in_an_audio_object_is_refused(tmp_path: Path) -> None:
    row = {"audio": {"path": "target.wav", "offset": 1.5}, "text": "At 10:30."}
    with pytest.raises(DataError, match=r"\[0\]\.audio has an `offset`, which is not applied; cut the clip"):
        read_samples(lines(tmp_path / "a.jsonl", row))


def test_a_conversation_that_ends_with_the_user_is_a_prompt_without_target(tmp_path: Path) -> None:
    (sample,) = read_samples(lines(tmp_path / "prompts.jsonl", {"messages": turns(end=False)}))
    assert (sample.reference_text, sample.target_text, sample.target_audio) == ("The reference.", "At 10:30.", None)
    assert sample.reference_audio == tmp_path / "ref.wav"


def test_raw_audio_of_boson_goes_before_its_placeholder(tmp_path: Path) -> None:
    messages = turns()
    raw = base64.b64encode((tmp_path / "ref.wav").read_bytes()).decode()
    messages[1]["content"] = {"type": "audio", "audio_url": "placeholder", "raw_audio": raw}
    (sample,) = read_samples(lines(tmp_path / "a.jsonl", {"messages": messages}))
    assert sample.reference_audio is not None
    assert sample.reference_audio.read_bytes() == (tmp_path / "ref.wav").read_bytes()


def test_a_bare_list_of_messages_is_a_conversation(tmp_path: Path) -> None:
    path = tmp_path / "bare.json"
    path.write_text(json.dumps([turns()]))
    (sample,) = read_samples(path)
    assert sample.target_text == "At 10:30."


def test_every_tagged_voice_of_a_dialogue_is_a_reference_and_one_voice_is_chosen_by_its_tag(tmp_path: Path) -> None:
    voices = [
        {
            "speaker_tag": f"[SPEAKER{n}]",
            "speaker_id": f"s{n}",
            "ref_audio_file": "ref.wav",
            "ref_transcript": f"Ref {n}.",
        }
        for n in (1, 0)
    ]
    both = {"audio_file": "target.wav", "transcript": "[SPEAKER0] Hello. [SPEAKER1] Bye.", "ref_speakers": voices}
    one = {**both, "transcript": "[SPEAKER1] Bye."}
    unclear = {**both, "transcript": "Bye."}
    system = {**both, "ref_audio_in_system_message": True}
    silent = {**both, "ref_speakers": [voices[1], {"speaker_tag": "[SPEAKER1]", "ref_audio_file": "ref.wav"}]}
    (tmp_path / "metadata.json").write_text(json.dumps({"samples": [one, both, unclear, system, silent]}))
    first, second, third, fourth, fifth = find_format(tmp_path).read(tmp_path)
    assert not isinstance(first, DataError) and not isinstance(second, DataError) and not isinstance(fourth, DataError)
    assert first.reference_text == "Ref 1." and first.is_pair and first.voices == 1
    ref = tmp_path / "ref.wav"
    assert second.references == (Utterance("[SPEAKER0] Ref 0.", ref), Utterance("[SPEAKER1] Ref 1.", ref))
    assert (second.voices, second.references_in) == (2, "turns")
    assert fourth.references == (Utterance("", ref), Utterance("", ref))
    assert (fourth.voices, fourth.references_in) == (2, "system")
    assert "name the target's voice in `speaker_id`" in str(third)
    assert "each voice of a dialogue needs both" in str(fifth)


@pytest.mark.parametrize("given", ["{}", "[SPEAKER2] {}"])
def test_a_transcript_without_a_tag_has_that_of_the_message(given: str, tmp_path: Path) -> None:
    messages = turns()
    messages[0]["content"], messages[2]["content"] = "[SPEAKER1] The reference.", "[SPEAKER1] At 10:30."
    transcripts = {"ref_transcript": given.format("The  reference"), "target_transcript": given.format("At ten thirty")}
    (sample,) = read_samples(lines(tmp_path / "a.jsonl", {"messages": messages, "misc": transcripts}))
    tag = "[SPEAKER1]" if given == "{}" else "[SPEAKER2]"
    assert (sample.reference_text, sample.target_text) == (f"{tag} The  reference", f"{tag} At ten thirty")
    messages[0]["content"] = "The reference."
    (sample,) = read_samples(lines(tmp_path / "b.jsonl", {"messages": messages, "misc": transcripts}))
    assert sample.reference_text == transcripts["ref_transcript"]


def answer(text: str, audio: str, *, index: int) -> list[dict[str, Any]]:
    user = {"role": "user", "content": f"[SPEAKER{index}] {text}"}
    return [user, {"role": "assistant", "content": [{"type": "audio", "path": audio}]}]


SCENE = {
    "role": "scene",
    "content": [
        {"type": "text", "text": "A quiet room."},
        {"type": "text", "text": "SPEAKER0:"},
        {"type": "audio", "path": "ref.wav"},
        {"type": "text", "text": "SPEAKER1:"},
        {"type": "audio", "path": "other.wav"},
    ],
}


def test_the_scene_of_the_documents_of_transformers_holds_references(tmp_path: Path) -> None:
    (tmp_path / "other.wav").write_bytes((tmp_path / "ref.wav").read_bytes())
    system = {"role": "system", "content": "Generate audio."}
    path = lines(tmp_path / "a.jsonl", {"messages": [system, SCENE, *answer("Hello.", "target.wav", index=0)]})
    (sample,) = read_samples(path)
    assert [one.audio for one in sample.references] == [tmp_path / "ref.wav", tmp_path / "other.wav"]
    assert (sample.references_in, sample.voices) == ("system", 2)
    assert (sample.system_text, sample.scene, sample.target_text) == (
        "Generate audio.",
        "A quiet room.",
        "[SPEAKER0] Hello.",
    )
    boson = "Generate audio.\n\n<|scene_desc_start|>\nA quiet room.\n\nSPEAKER0: "
    parts = [
        boson, {"type": "audio", "audio_url": "ref.wav"}, "\nSPEAKER1: ", {"type": "audio", "audio_url": "other.wav"},
        "\n<|scene_desc_end|>",
    ]  # fmt: skip
    target = {"role": "assistant", "content": {"type": "audio", "audio_url": "target.wav"}}
    messages = [{"role": "system", "content": parts}, {"role": "user", "content": "[SPEAKER0] Hello."}, target]
    (same,) = read_samples(lines(tmp_path / "b.jsonl", {"messages": messages}))
    assert (same.references, same.scene, same.system_text) == (sample.references, sample.scene, sample.system_text)


def test_start_index_tells_targets_from_references(tmp_path: Path) -> None:
    messages = [part for at, name in enumerate(("ref.wav", "target.wav", "target.wav"))
                for part in answer(f"Text {at}.", name, index=at % 2)]  # fmt: skip
    path = lines(tmp_path / "a.jsonl", {"messages": messages}, {"messages": messages, "start_index": 3})
    one, two = read_samples(path)
    assert [use.text for use in one.references] == ["[SPEAKER0] Text 0.", "[SPEAKER1] Text 1."]
    assert one.more_targets == () and one.target_text == "[SPEAKER0] Text 2."
    assert [use.text for use in two.references] == ["[SPEAKER0] Text 0."] and two.extra == {}
    assert [use.text for use in two.targets] == ["[SPEAKER1] Text 1.", "[SPEAKER0] Text 2."]
    assert two.clips == tuple(tmp_path / name for name in ("ref.wav", "target.wav", "target.wav"))


def test_several_clips_of_a_user_are_references_each_after_its_text(tmp_path: Path) -> None:
    item = chatml()
    extra = [{"type": "text", "text": "Once more."}, {"type": "audio", "audio_url": "target.wav"}]
    item["messages"][0]["content"][2:2] = extra
    (sample,) = read_samples(lines(tmp_path / "a.jsonl", item))
    assert [use.text for use in sample.references] == ["The reference.", "Once more."]
    assert sample.target_text == "At 10:30." and sample.voices == 1


WRONG_STRUCTURE = {
    "a reference after a target": (
        {"messages": [*answer("A.", "ref.wav", index=0), {"role": "user", "content": ["B.", {"type": "audio",
         "path": "ref.wav"}]}, {"role": "assistant", "content": [{"type": "audio", "path": "target.wav"}]}],
         "start_index": 1},
        "has a reference after a target",
    ),
    "both places": (
        {"messages": [SCENE, *answer("A.", "ref.wav", index=0), *answer("B.", "target.wav", index=0)]},
        "references in the system message and in turns",
    ),
    "labels out of order": (
        {"messages": [{**SCENE, "content": [*SCENE["content"][3:], *SCENE["content"][1:3]]},
                      *answer("B.", "target.wav", index=0)]},
        "labels are not SPEAKER0:, SPEAKER1:",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_STRUCTURE)
def test_a_structure_that_cannot_be_kept_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "other.wav").write_bytes((tmp_path / "ref.wav").read_bytes())
    item, message = WRONG_STRUCTURE[name]
    with pytest.raises(DataError, match=message):
        read_samples(lines(tmp_path / "a.jsonl", item))


def test_samples_of_several_references_and_targets_convert_to_native_and_back(tmp_path: Path) -> None:
    (tmp_path / "other.wav").write_bytes((tmp_path / "ref.wav").read_bytes())
    messages = [
        *answer("A.", "ref.wav", index=0),
        *answer("B.", "target.wav", index=1),
        *answer("C.", "ref.wav", index=0),
    ]
    path = lines(
        tmp_path / "a.jsonl",
        {"messages": messages, "start_index": 3, "mood": "calm"},
        {"messages": messages},
        {"messages": [SCENE, *messages], "start_index": 1},
        {"messages": messages[2:], "start_index": 0},
    )
    out = tmp_path / "b.jsonl"
    convert(path, out, to="native")
    nameless = [replace(one, sample_id="", origin="") for one in read_samples(path)]
    assert [replace(one, sample_id="", origin="") for one in read_samples(out)] == nameless
    assert [len(one.targets) for one in nameless] == [2, 1, 3, 1]
    for to in ("chatml", "manifest"):
        with pytest.raises(DataError, match=r"holds one reference and one target, the sample has 1 and 2.*--to native"):
            convert(path, tmp_path / f"{to}.jsonl", to=to)


def test_clips_and_marks_of_ms_swift_must_agree(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Ref.<audio>Say."}, {"role": "assistant", "content": "<audio>"}]
    path = lines(tmp_path / "a.jsonl", {"messages": said, "audios": ["ref.wav"]})
    with pytest.raises(DataError, match=r"a\.jsonl\[0\]\.audios names 1 clips for 2 <audio>"):
        read_samples(path)


def test_a_reference_without_text_is_refused_in_every_format(tmp_path: Path) -> None:
    silent = turns()
    silent[0]["content"] = ""
    swift = [{"role": "user", "content": "<audio>Say."}, {"role": "assistant", "content": "<audio>"}]
    table = {"audio": "target.wav", "text": "At 10:30.", "ref_audio": "ref.wav", "ref_text": ""}
    for item in (
        {**PAIR, "ref_transcript": " "},
        {"messages": silent},
        {"messages": swift, "audios": ["ref.wav", "target.wav"]},
        table,
    ):
        with pytest.raises(DataError, match=r"ref_transcript is missing|has no text of the reference audio"):
            read_samples(lines(tmp_path / "a.jsonl", item))


def test_formats_are_not_mixed_in_one_file(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", chatml(), chatml(), PAIR, {"messages": turns()}, {"messages": []})
    good, again, pair, boson, empty = find_format(path).read(path)
    assert not isinstance(good, DataError) and not isinstance(again, DataError)
    assert "a.jsonl[2] is pair manifest in a file of ChatML JSON; put the two formats into separate files" in str(pair)
    assert "is boson ChatMLSample in a file of ChatML JSON" in str(boson)
    assert "target_transcript is missing" in str(empty)


def test_a_few_samples_without_reference_do_not_change_what_the_file_is(tmp_path: Path) -> None:
    plain = {"messages": turns()[2:]}
    for items, name in (
        ([plain, chatml(), plain], "ChatML JSON"),
        ([plain, {"messages": turns()}, plain], "boson ChatMLSample"),
    ):
        path = lines(tmp_path / "a.jsonl", *items)
        assert find_format(path).name == name
        assert [sample.reference_audio is None for sample in read_samples(path)] == [True, False, True]


WRONG = {
    "utf-16": (json.dumps([PAIR]).encode("utf-16"), "is UTF-16, not UTF-8.*iconv"),
    "utf-16 without mark": (json.dumps([PAIR]).encode("utf-16-le"), "is UTF-16LE, not UTF-8.*iconv -f UTF-16LE"),
    "latin-1": (json.dumps([{**PAIR, "speaker": "é"}], ensure_ascii=False).encode("latin-1"), "not UTF-8 .*cp1252"),
    "cut off": (json.dumps([PAIR, PAIR]).encode()[:-20], "ends within sample 1"),
    "cut off in a number": (b"[1, 2", "ends within sample 2"),
    "broken": (b'[{"a": 1}, {"a" 1}]', "not valid JSON in sample 1"),
    "two lists": (b"[{}] [{}]", "text after the list"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "empty": (b"", "neither valid JSON nor a table"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_wrong_as_a_whole_is_named_with_the_cure(tmp_path: Path, name: str) -> None:
    content, message = WRONG[name]
    path = tmp_path / "data.json"
    path.write_bytes(content)
    for read in (read_samples, open_samples, lambda one: list(find_format(one).read(one))):
        with pytest.raises(DataError, match=message) as refusal:
            read(path)
        assert "data.json" in str(refusal.value)


def test_a_byte_order_mark_of_utf_8_does_no_harm(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    (tmp_path / "a.json").write_bytes(mark + json.dumps([PAIR]).encode())
    (tmp_path / "a.jsonl").write_bytes(mark + json.dumps(PAIR).encode())
    (tmp_path / "a.csv").write_bytes(mark + b"audio,text\ntarget.wav,At 10:30.\n")
    for path in sorted(tmp_path.glob("a.*")):
        assert [sample.target_text for sample in read_samples(path)] == ["At 10:30."], path


def test_one_bad_line_does_not_spoil_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps(PAIR).encode()
    path.write_bytes(good + b'\n\n{"cut": \n' + '{"é": 1}'.encode("latin-1") + b"\r\n" + good)
    outcomes = list(find_format(path).read(path))
    assert [isinstance(one, DataError) for one in outcomes] == [False, True, True, False]
    assert "a.jsonl[1] is not valid JSON" in str(outcomes[1])
    assert "not UTF-8" in str(outcomes[2])
    path.write_bytes(good + b'\n{"n": ' + b"9" * 5_000 + b"}")
    assert "a number has thousands of digits" in str(list(find_format(path).read(path))[1])


def test_a_list_too_large_to_be_read_at_every_start_is_refused_with_the_command_that_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.json"
    path.write_text(json.dumps([PAIR] * 3))
    monkeypatch.setattr(containers, "MAX_READ_BYTES", 100)
    with pytest.raises(
        DataError, match=r"larger than 1e-07 GB.*tracker-logging convert .*large\.json large\.jsonl --to"
    ):
        open_samples(path)
    assert len(list(find_format(path).read(path))) == 3


def test_a_table_with_a_stray_cell_or_a_doubled_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, message in [
        ("audio,text\ntarget.wav,At ten, or later.\n", r"a\.csv\[0\] \(line 2\): 3 cells under 2 column names"),
        ("audio,text,text\ntarget.wav,a,b\n", "names a column twice"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_samples(path)
    path.write_text('audio;text\ntarget.wav;"At ten; or\nlater."\n')
    assert [sample.target_text for sample in read_samples(path)] == ["At ten; or\nlater."]


def test_parquet_without_pyarrow_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").Table.from_pylist(
        [{"audio": "target.wav", "text": str(n)} for n in range(5)]
    )
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    assert [one.target_text for one in reversed(read_samples(tmp_path / "a.parquet"))] == ["4", "3", "2", "1", "0"]
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"pip install 'tracker-logging\[parquet\]'"):
        read_samples(tmp_path / "a.parquet")
    monkeypatch.undo()
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="not a readable parquet file"):
        read_samples(tmp_path / "a.parquet")


def test_a_recording_without_text_and_an_empty_recording_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "loop").symlink_to(folder)
    soundfile.write(folder / "b.wav", np.zeros(0, dtype=np.float32), 24_000)
    (folder / "b.txt").write_text("Nothing.")
    soundfile.write(folder / "a.wav", np.zeros(100, dtype=np.float32), 24_000)
    with pytest.raises(DataError, match=r"a\.wav: no a\.txt with its text beside it"):
        read_samples(folder)
    (folder / "a.txt").write_text("Something.")
    with pytest.raises(DataError, match=r"pairs/b\.wav, target audio: .*the audio file is empty"):
        read_samples(folder)
    assert [sample.sample_id for sample in read_samples(folder, skip_bad=True)] == ["a"]


def test_training_on_text_alone_is_refused_and_reading_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = [{"role": "user", "content": "At 10:30."}, {"role": "assistant", "content": "At 10:30."}]
    path = lines(tmp_path / "a.jsonl", {"messages": said})
    with pytest.raises(DataError, match=r"a\.jsonl\[0\], target audio: missing, so there is nothing to train on"):
        open_samples(path, training=True)
    with pytest.raises(DataError, match="no usable sample"):
        open_samples(path, training=True, skip_bad=True)
    with caplog.at_level(logging.WARNING):
        assert len(read_samples(path)) == 1
    assert "text only" in caplog.text


def test_data_without_any_reference_is_said_to_teach_no_copying(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_samples(lines(tmp_path / "a.jsonl", {"audio": "target.wav", "text": "At 10:30."}), training=True)
    assert "trained on text to speech without voice cloning" in caplog.text
