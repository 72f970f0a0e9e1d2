"""Malformed data files and samples: how each is made, and the finding it must have.

`MALFORMED[name]` is (make, finding, status): `make(folder)` writes it and returns the path to check.
"""

from __future__ import annotations

import copy
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from data_examples import RATE, Items, clip_of, healthy_items, sentence, set_target_text, write_items

Make = Callable[[Path], Path]
BROKEN, FLAWED, FINE = 2, 1, 0


def whole(content: bytes | str, name: str = "train.json") -> Make:
    """A file of this content."""

    def make(folder: Path) -> Path:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)
        return folder / name

    return make


def encoded(change: Callable[[str], bytes], name: str = "train.json") -> Make:
    """A healthy file, its text turned into other bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(change(json.dumps(healthy_items(folder, 3))))
        return folder / name

    return make


def items(change: Callable[[Items, Path], Any], count: int = 3) -> Make:
    """A healthy file of `count` samples, changed."""

    def make(folder: Path) -> Path:
        healthy = healthy_items(folder, count)
        change(healthy, folder)
        return write_items(folder / "train.json", healthy)

    return make


def first(**changes: Any) -> Make:
    """The first of three samples with other values."""
    return items(lambda found, _: found[0].update(changes))


def content(message: int, value: Any) -> Make:
    """The first of three samples with another content of one message."""
    return items(lambda found, _: found[0]["messages"][message].update(content=value))


def role(value: Any) -> Make:
    """The first of three samples with another role of the assistant."""
    return items(lambda found, _: found[0]["messages"][2].update(role=value))


def misc(**changes: Any) -> Make:
    """The first of three samples with other values in `misc`."""
    return items(lambda found, _: found[0]["misc"].update(changes))


def target_text(text: str) -> Make:
    """The first of three samples with another text to speak."""
    return items(lambda found, _: set_target_text(found[0], text))


def audio(value: Any) -> Make:
    """The first of three samples with another `audio_url`."""
    return items(lambda found, _: found[0]["messages"][2]["content"][0].update(audio_url=value))


def clip(data: bytes) -> Make:
    """The first of three samples, its target's file of these bytes."""
    return items(lambda found, folder: clip_of(found[0], "target", folder).write_bytes(data))


def raw(before: str, after: str) -> Make:
    """A healthy file with a piece of its JSON text replaced."""
    return encoded(lambda text: text.replace(before, after, 1).encode("utf-8", "surrogatepass"))


def link(target: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / "train.json").symlink_to(target)
        return folder / "train.json"

    return make


def folder_for_file(folder: Path) -> Path:
    (folder / "train.json").mkdir()
    return folder / "train.json"


def pipe_for_file(folder: Path) -> Path:
    os.mkfifo(folder / "train.json")
    return folder / "train.json"


def folder_for_clip(found: Items, folder: Path) -> None:
    clip_of(found[0], "target", folder).unlink()
    clip_of(found[0], "target", folder).mkdir()


def circular_clip(found: Items, folder: Path) -> None:
    path = clip_of(found[0], "target", folder)
    path.unlink()
    path.symlink_to(path.name)


def wav(frames: int, *, declared: int | None = None, rate: int = RATE) -> bytes:
    """A 16-bit mono WAV file of a constant, whose header may declare another number of bytes."""
    data = struct.pack("<h", 3000) * frames
    size = len(data) if declared is None else declared
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size) + data


def without(key: str, message: int | None = None) -> Make:
    def change(found: Items, folder: Path) -> None:
        del (found[0] if message is None else found[0]["messages"][message])[key]

    return items(change)


def twice(role_at: int) -> Callable[[Items, Path], None]:
    return lambda found, _: found[0]["messages"].insert(role_at, copy.deepcopy(found[0]["messages"][role_at]))


def all_clips_gone(found: Items, folder: Path) -> None:
    for path in (folder / "clips").iterdir():
        path.unlink()


def not_a_number(found: Items, folder: Path) -> None:
    soundfile.write(clip_of(found[0], "target", folder), np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")


DEEP = "[" * 100_000 + "]" * 100_000
FILES: dict[str, tuple[Make, str, int]] = {
    "nothing there": (lambda folder: folder / "train.json", "file_missing", BROKEN),
    "a link to nowhere": (link("gone.json"), "file_missing", BROKEN),
    "a link to itself": (link("train.json"), "file_missing", BROKEN),
    "a name that is too long": (lambda folder: folder / ("a" * 5000), "file_unreadable", BROKEN),
    "an empty folder": (folder_for_file, "file_unknown", BROKEN),
    "a named pipe": (pipe_for_file, "file_unknown", BROKEN),
    "another ending": (whole("hello", "data.xyz"), "file_unknown", BROKEN),
    "no bytes": (whole(b""), "file_unreadable", BROKEN),
    "spaces only": (whole(" \n\t "), "file_unreadable", BROKEN),
    "prose": (whole("Dear reader: this is no JSON."), "file_unreadable", BROKEN),
    "an empty list": (whole("[]"), "no_usable_sample", BROKEN),
    "a number": (whole("17"), "file_unreadable", BROKEN),
    "a string": (whole('"train"'), "file_unreadable", BROKEN),
    "null": (whole("null"), "file_unreadable", BROKEN),
    "an object": (whole('{"a": 1}'), "file_unreadable", BROKEN),
    "NUL bytes": (whole(b"\0" * 4096), "file_unreadable", BROKEN),
    "a NUL byte in the text": (raw("river", "ri\0er"), "file_unreadable", BROKEN),
    "UTF-16": (encoded(lambda text: text.encode("utf-16")), "file_unreadable", BROKEN),
    "UTF-16 without a mark": (encoded(lambda text: text.encode("utf-16-le")), "file_unreadable", BROKEN),
    "Latin-1": (encoded(lambda text: text.replace("river", "rivière").encode("latin-1")), "file_unreadable", BROKEN),
    "cut in the middle": (encoded(lambda text: text[: len(text) // 2].encode()), "file_unreadable", BROKEN),
    "cut before the last bracket": (encoded(lambda text: text[:-1].encode()), "file_unreadable", BROKEN),
    "text after the list": (encoded(lambda text: text.encode() + b"]"), "file_unreadable", BROKEN),
    "a comma too many": (encoded(lambda text: text[:-1].encode() + b",]"), "file_unreadable", BROKEN),
    "single quotes": (encoded(lambda text: text.replace('"', "'").encode()), "file_unreadable", BROKEN),
    "nested without end": (whole(DEEP), "file_unreadable", BROKEN),
    "a deep sample": (raw('"speaker0"', DEEP), "file_unreadable", BROKEN),
    "a number of 5,000 digits": (raw('"speaker0"', "1" * 5000), "file_unreadable", BROKEN),
    "only nulls": (whole("[null, null]"), "no_usable_sample", BROKEN),
    "only empty objects": (whole("[{}, {}]"), "no_usable_sample", BROKEN),
    "every clip is gone": (items(all_clips_gone), "no_usable_sample", BROKEN),
}  # fmt: skip

SAMPLES: dict[str, tuple[Make, str, int]] = {
    "a number for a sample": (items(lambda found, _: found.insert(0, 7)), "sample_refused", FLAWED),  # type: ignore[arg-type]
    "a string for a sample": (items(lambda found, _: found.insert(0, "x")), "sample_refused", FLAWED),  # type: ignore[arg-type]
    "no messages": (without("messages"), "sample_refused", FLAWED),
    "messages is text": (first(messages="hello"), "messages_malformed", FLAWED),
    "messages is null": (first(messages=None), "messages_malformed", FLAWED),
    "messages holds numbers": (first(messages=[1, 2]), "messages_malformed", FLAWED),
    "messages is empty": (first(messages=[]), "role_missing", FLAWED),
    "no role": (without("role", 2), "role_missing", FLAWED),
    "a role that is a list": (role(["assistant"]), "role_unknown", FLAWED),
    "another role": (role("bot"), "role_unknown", FLAWED),
    "assistant twice": (items(twice(2)), "role_repeated", FLAWED),
    "user twice": (items(twice(1)), "role_repeated", FLAWED),
    "assistant before user": (items(lambda found, _: found[0]["messages"].reverse()), "role_order", FLAWED),
    "no content": (without("content", 2), "content_malformed", FLAWED),
    "content is a number": (content(1, 3), "content_malformed", FLAWED),
    "content is null": (content(2, None), "content_malformed", FLAWED),
    "a part is a number": (content(1, [1, 2]), "content_malformed", FLAWED),
    "a part without a type": (content(1, [{"data": "x"}]), "content_malformed", FLAWED),
    "a part of another type": (content(2, [{"type": "video", "video_url": "a.mp4"}]), "content_malformed", FLAWED),
    "text is an object": (content(1, [{"type": "text", "text": {"a": 1}}]), "content_malformed", FLAWED),
    "no audio at all": (content(2, sentence(0)), "target_missing", FLAWED),
    "misc is a list": (first(misc=[1]), "sample_refused", FLAWED),
    "speaker is an object": (first(speaker={"name": "a"}), "sample_refused", FLAWED),
    "speaker is NaN": (first(speaker=float("nan")), "sample_refused", FLAWED),
    "speaker is infinite": (raw('"speaker0"', "1e999"), "sample_refused", FLAWED),
    "speaker is a list": (first(speaker=[True]), "sample_refused", FLAWED),
    "a target text that is a number": (misc(target_transcript=1.5), "sample_refused", FLAWED),
    "audio_url is a number": (audio(5), "sample_refused", FLAWED),
    "audio_url is empty": (audio(""), "sample_refused", FLAWED),
    "audio_url is a list": (audio(["a.wav"]), "sample_refused", FLAWED),
    "audio_url leads nowhere": (audio("gone/away.wav"), "audio_missing", FLAWED),
    "the clip is a folder": (items(folder_for_clip), "audio_missing", FLAWED),
    "the clip is a link to itself": (items(circular_clip), "audio_missing", FLAWED),
    "the clip is text": (clip(b"Please find the sound attached."), "audio_unreadable", FLAWED),
    "the clip is a zip": (clip(b"PK\3\4" + b"\0" * 500), "audio_unreadable", FLAWED),
    "the clip has no bytes": (clip(b""), "audio_empty", FLAWED),
    "the clip is a header": (clip(wav(0)), "audio_empty", FLAWED),
    "the clip is half a header": (clip(wav(0)[:20]), "audio_unreadable", FLAWED),
    "the clip has one sample": (clip(wav(1)), "audio_too_short", FLAWED),
    "the clip was cut": (clip(wav(2 * RATE, declared=8 * RATE)), "audio_truncated", FLAWED),
    "the clip has a rate of 1 Hz": (clip(wav(30, rate=1)), "rate_low", FLAWED),
    "the clip is not a number": (items(not_a_number), "audio_not_finite", FLAWED),
    "an escape sequence in the text": (target_text("They saw \x1b[31mthe river."), "text_encoding", FLAWED),
    "a replacement character": (target_text("They saw the \ufffdiver."), "text_encoding", FLAWED),
    "a text of one dash": (target_text("—"), "text_without_words", FLAWED),
    "a text of 100,000 letters": (target_text("so " * 33_333), "text_too_long", FLAWED),
    "a duration beyond all bounds": (misc(duration=1e8), "duration_declared", FLAWED),
}  # fmt: skip

MALFORMED = {**FILES, **SAMPLES}
