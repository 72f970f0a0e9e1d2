"""F3, a conversation for transformers' `apply_chat_template`: like F2, with a scene turn and `url`, `path` or `audio`.

    {"messages": [
        {"role": "system", "content": [{"type": "text", "text": "Generate audio following instruction."}]},
        {"role": "scene", "content": [{"type": "text", "text": "Audio is recorded from a quiet room."}]},
        {"role": "user", "content": [{"type": "text", "text": "What the reference says."}]},
        {"role": "assistant", "content": [{"type": "audio", "path": "ref.wav"}]},
        {"role": "user", "content": [{"type": "text", "text": "What to say."}]},
        {"role": "assistant", "content": [{"type": "audio", "path": "target.wav"}]}]}

`conversation` may stand for `messages`, and the list of messages for the whole object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker_logging.data.formats.conversation import conversation_sample, seen_audio
from tracker_logging.data.formats.record_file import RecordFormat, Values
from tracker_logging.data.formats.writing import with_extra, written_path
from tracker_logging.data.sample import VoiceSample

_NAMES = ("url", "path", "audio", "base64")


def _fits(values: Values) -> bool:
    audio = list(seen_audio(values))
    keyed = all(any(name in part for name in _NAMES) and "audio_url" not in part for _, part in audio)
    return bool(audio) and keyed and "audios" not in values


TRANSFORMERS = RecordFormat("transformers conversation", _fits, conversation_sample)


def transformers_item(sample: VoiceSample, folder: Path) -> dict[str, Any]:
    """`sample` as F3 writes it, in a file of `folder`."""

    def said(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "content": [{"type": "text", "text": text}]}

    def spoken(path: Path) -> dict[str, Any]:
        return {"role": "assistant", "content": [{"type": "audio", "path": written_path(path, folder)}]}

    messages = [said("system", sample.system_text)] if sample.system_text else []
    if sample.scene is not None:
        messages.append(said("scene", sample.scene))
    if sample.reference_audio is not None:
        messages += [said("user", sample.reference_text), spoken(sample.reference_audio)]
    messages.append(said("user", sample.target_text))
    if sample.target_audio is not None:
        messages.append(spoken(sample.target_audio))
    item = with_extra({"id": sample.sample_id, "messages": messages}, sample, sample.extra)
    return {name: value for name, value in item.items() if name != "scene"}
