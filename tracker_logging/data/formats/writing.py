"""Samples as records of the three formats that can be written: ChatML (F1), transformers (F3) and manifest (F8).

What a record holds reads back as the same sample, unknown keys included.

    chatml_item(sample, Path("data"))      # for a file in the folder `data`
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracker_logging.data.formats.columns import (
    EXTRA,
    KNOWN,
    REFERENCE_AUDIO,
    REFERENCE_TEXT,
    TARGET_AUDIO,
    TARGET_TEXT,
)
from tracker_logging.data.formats.conversation import INSTRUCTION
from tracker_logging.data.sample import DataError, VoiceSample

# Names that the reader of some format interprets: as unknown keys they are written below `extra`.
READ = KNOWN | {EXTRA, "messages", "conversation", "misc", "audios", "ref_speakers", "start_index", "offset"}
COLUMNS = (
    "id",
    REFERENCE_AUDIO[0],
    REFERENCE_TEXT[0],
    TARGET_AUDIO[0],
    TARGET_TEXT[0],
    "speaker",
    "language",
    "scene",
    "system",
)
_READ_IN_MISC = {"sample_id", "language", "scene", *REFERENCE_TEXT, *TARGET_TEXT}


def chatml_item(sample: VoiceSample, folder: Path) -> dict[str, Any]:
    """`sample` as F1, for a file in `folder`. Raises `DataError` for several references or targets."""
    _check_pair(sample, "ChatML")
    user: list[dict[str, str]] = [{"type": "text", "text": f"{INSTRUCTION} {sample.target_text}"}]
    if sample.reference_audio is not None:
        reference = {"type": "audio", "audio_url": _written_path(sample.reference_audio, folder)}
        user = [{"type": "text", "text": sample.reference_text}, reference, *user]
    assistant = [{"type": "text", "text": sample.target_text}]
    if sample.target_audio is not None:
        assistant.append({"type": "audio", "audio_url": _written_path(sample.target_audio, folder)})
    messages: list[dict[str, Any]] = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    if sample.system_text:
        messages.insert(0, {"role": "system", "content": sample.system_text})
    misc: dict[str, Any] = {"sample_id": sample.sample_id, "target_transcript": sample.target_text}
    if sample.reference_text:
        misc["ref_transcript"] = sample.reference_text
    extra = dict(sample.extra)
    more = extra.get("misc")
    if isinstance(more, Mapping) and more and not _READ_IN_MISC & more.keys():
        misc |= more
        del extra["misc"]
    return _with_extra({"messages": messages, "misc": misc}, sample, extra)


def transformers_item(sample: VoiceSample, folder: Path) -> dict[str, Any]:
    """`sample` as F3, for a file in `folder`."""

    def text_turn(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "content": [{"type": "text", "text": text}]}

    def audio_turn(path: Path) -> dict[str, Any]:
        return {"role": "assistant", "content": [{"type": "audio", "path": _written_path(path, folder)}]}

    messages = [text_turn("system", sample.system_text)] if sample.system_text else []
    scene = [] if sample.scene is None else [{"type": "text", "text": sample.scene}]
    if sample.references_in == "system":
        for number, path in enumerate(each.audio for each in sample.references if each.audio is not None):
            label = {"type": "text", "text": f"SPEAKER{number}:"}
            scene += [label, {"type": "audio", "path": _written_path(path, folder)}]
    if scene:
        messages.append({"role": "scene", "content": scene})
    start = len(messages)
    targets = [replace(target, text=_with_instruction(target.text)) for target in sample.targets]
    turns = [*(sample.references if sample.references_in == "turns" else ()), *targets]
    for turn in turns:
        messages.append(text_turn("user", turn.text))
        if turn.audio is not None:
            messages.append(audio_turn(turn.audio))
    item = _with_extra({"id": sample.sample_id, "messages": messages}, sample, sample.extra)
    if sample.more_targets:
        item["start_index"] = start + 2 * (len(turns) - len(sample.targets)) + 1
    return {name: value for name, value in item.items() if name != "scene"}


def _with_instruction(text: str) -> str:
    """What is asked for `text`: itself, or with the instruction before it where the reader would take that off."""
    return f"{INSTRUCTION} {text}" if text.startswith(INSTRUCTION) else text


def manifest_item(sample: VoiceSample, folder: Path) -> dict[str, Any]:
    """`sample` as F8, for a file in `folder`. Raises `DataError` for several references or targets."""
    _check_pair(sample, "A manifest")
    reference, target = sample.reference_audio, sample.target_audio
    item = {
        "id": sample.sample_id,
        REFERENCE_AUDIO[0]: None if reference is None else _written_path(reference, folder),
        REFERENCE_TEXT[0]: sample.reference_text or None,
        TARGET_AUDIO[0]: None if target is None else _written_path(target, folder),
        TARGET_TEXT[0]: sample.target_text,
        **({"system": sample.system_text} if sample.system_text else {}),
    }
    return _with_extra(item, sample, sample.extra)


def _check_pair(sample: VoiceSample, what: str) -> None:
    if not sample.is_pair:
        raise DataError(
            f"{sample.origin}: {what} holds one reference and one target, the sample has {len(sample.references)} and "
            f"{len(sample.targets)}. Convert with --to native."
        )


def _written_path(path: Path, folder: Path) -> str:
    """`path` as a file in `folder` names it: relative where it lies below `folder`, else absolute."""
    absolute, base = Path.cwd() / path, folder.resolve()
    for candidate in (Path(os.path.normpath(absolute)), absolute.resolve()):
        if candidate.is_relative_to(base):
            return candidate.relative_to(base).as_posix()
    return str(absolute)


def _with_extra(item: Mapping[str, Any], sample: VoiceSample, extra: Mapping[str, object]) -> dict[str, Any]:
    """`item` with the fields that every format has, and with `extra`."""
    named = {"speaker": sample.speaker, "language": sample.language, "scene": sample.scene}
    beside = {name: value for name, value in extra.items() if name not in READ}
    below = {name: value for name, value in extra.items() if name in READ}
    whole = dict(item) | {name: value for name, value in named.items() if value is not None} | beside
    return whole | ({EXTRA: below} if below else {})
