"""The ChatML JSON format: what is read from it, and how bad samples are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import DataError

PREFIX = "Please generate speech for given text in reference audio's voice: "


def clip(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.linspace(-0.1, 0.1, 4800, dtype=np.float32), 24_000)
    return path


def item(**changes: Any) -> dict[str, Any]:
    user = [
        {"type": "text", "text": "The reference."},
        {"type": "audio", "audio_url": "ref.wav", "raw_audio": "", "duration": None, "offset": None},
        {"type": "text", "text": f"{PREFIX}We meet at 10:30."},
    ]
    assistant = [{"type": "audio", "audio_url": "target.wav"}]
    messages = [
        {"role": "system", "content": "Speak."},
        {"role": "user", "content": user},
        {"role": "assistant", "content": assistant},
    ]
    return {"messages": messages, "start_index": 0, "speaker": "slt", "misc": {"sample_id": "a1"}, **changes}


def write(directory: Path, *items: Any) -> Path:
    clip(directory / "ref.wav")
    clip(directory / "target.wav")
    path = directory / "train.json"
    path.write_text(json.dumps(list(items)))
    return path


def test_a_sample_is_read_whole(tmp_path: Path) -> None:
    (sample,) = read_samples(write(tmp_path, item()))
    assert (sample.sample_id, sample.speaker, sample.system_text) == ("a1", "slt", "Speak.")
    assert sample.reference_text == "The reference."
    assert sample.reference_audio == (tmp_path / "ref.wav").resolve()
    assert sample.target_audio == (tmp_path / "target.wav").resolve()
    assert sample.origin == "train.json[0]"
    assert sample.extra == {"start_index": 0}


def test_target_text_is_never_split_on_a_colon(tmp_path: Path) -> None:
    (sample,) = read_samples(write(tmp_path, item()))
    assert sample.target_text == "We meet at 10:30."


def test_target_text_prefers_misc_then_the_assistant(tmp_path: Path) -> None:
    spoken = item()
    spoken["messages"][2]["content"].insert(0, {"type": "text", "text": "Said by the assistant."})
    named = json.loads(json.dumps(spoken))
    named["misc"]["target_transcript"] = "Named in misc: here."
    first, second = read_samples(write(tmp_path, spoken, named))
    assert first.target_text == "Said by the assistant."
    assert second.target_text == "Named in misc: here."


def test_a_sample_without_speaker_or_misc_gets_a_stable_id_and_no_speaker(tmp_path: Path) -> None:
    bare = item()
    del bare["speaker"], bare["misc"]
    (sample,) = read_samples(write(tmp_path, bare))
    assert sample.speaker is None
    assert sample.sample_id == "train-00000"


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    odd = item(mood="calm")
    odd["misc"]["duration"] = 2.5
    (sample,) = read_samples(write(tmp_path, odd))
    assert sample.extra == {"start_index": 0, "mood": "calm", "misc": {"duration": 2.5}}


@pytest.mark.parametrize("place", ["json", "json/..", "json/../..", "elsewhere"])
def test_a_relative_path_is_found_in_each_of_four_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    directory = tmp_path / "a" / "b"
    path = write(directory, item())
    (directory / "ref.wav").unlink()
    base = tmp_path / "elsewhere" if place == "elsewhere" else (directory / place.removeprefix("json").lstrip("/"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    wanted = clip(base.resolve() / "ref.wav")
    (sample,) = read_samples(path)
    assert sample.reference_audio is not None
    assert sample.reference_audio.resolve() == wanted


def without(key: str) -> dict[str, Any]:
    changed = item()
    del changed[key]
    return changed


def with_content(message: int, content: Any) -> dict[str, Any]:
    changed = item()
    changed["messages"][message]["content"] = content
    return changed


BAD = {
    "no messages": (without("messages"), r"train\.json\[0\]\.messages is missing"),
    "a number for an object": (7, r"train\.json\[0\] is a JSON int"),
    "two users": (item(messages=[*item()["messages"], item()["messages"][1]]), "names 3 clips before the target"),
    "content is a number": (with_content(1, 3), r"\(user\)\.content is neither text nor a list"),
    "missing clip": (
        with_content(2, [{"type": "audio", "audio_url": "gone.wav"}]),
        r"\(assistant\)\.audio_url names 'gone\.wav', which does not exist beside the data file",
    ),
    "inline audio": (
        with_content(2, [{"type": "audio", "audio_url": "", "raw_audio": "UklGR"}]),
        r"\(assistant\)\.audio_url is not valid base64",
    ),
    "offset": (with_content(2, [{"type": "audio", "audio_url": "target.wav", "offset": 1.5}]), r"has an `offset`"),
    "no reference text": (with_content(1, [{"type": "audio", "audio_url": "ref.wav"}]), "has no text of the reference"),
    "nothing to say": (
        with_content(1, [{"type": "text", "text": "Ref."}, {"type": "audio", "audio_url": "ref.wav"}]),
        r"target_transcript is missing: the text of the target; add it",
    ),
    "speaker is a list": (item(speaker=["slt"]), r"\.speaker is a list, not text"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sample_is_refused_with_its_place_and_field(tmp_path: Path, name: str) -> None:
    bad, message = BAD[name]
    with pytest.raises(DataError, match=message):
        read_samples(write(tmp_path, bad))


def test_skip_bad_keeps_the_good_and_reports_the_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, *[bad for bad, _ in BAD.values()], item())
    samples = read_samples(path, skip_bad=True)
    assert [sample.origin for sample in samples] == [f"train.json[{len(BAD)}]"]
    assert f"skipped {len(BAD)} of {len(BAD) + 1} samples" in caplog.text


def test_a_broken_clip_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    path = write(tmp_path, item())
    (tmp_path / "target.wav").write_text("not audio")
    with pytest.raises(DataError, match=r"train\.json\[0\], target audio: .*not a readable audio file"):
        read_samples(path)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid JSON"), ("{}", "is a JSON dict"), ("[]", "no usable sample")]
)
def test_a_file_that_is_not_a_list_of_samples_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_samples(path)


def test_a_missing_file_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such data file"):
        read_samples(tmp_path / "gone.json")
    (tmp_path / "data.xyz").write_text("")
    with pytest.raises(DataError, match="not in a format"):
        read_samples(tmp_path / "data.xyz")
