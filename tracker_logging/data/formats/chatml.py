"""F1, ChatML JSON: reference and text in one turn of the user, the target in the assistant's.

    {"messages": [
        {"role": "system", "content": "Generate speech in the given voice."},
        {"role": "user", "content": [
            {"type": "text", "text": "What the reference says."},
            {"type": "audio", "audio_url": "clips/reference.wav"},
            {"type": "text", "text": "Please generate speech for given text in reference audio's voice: …"}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "What to say."},
            {"type": "audio", "audio_url": "clips/target.wav"}]}],
      "speaker": "slt", "misc": {"sample_id": "a1", "ref_transcript": "…", "target_transcript": "…"}}

What is the target's text, and what the reference's: see `conversation.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker_logging.data.formats.conversation import INSTRUCTION, conversation_sample, seen_audio, seen_messages
from tracker_logging.data.formats.record import REFERENCE_TEXT, TARGET_TEXT
from tracker_logging.data.formats.record_file import RecordFormat, Values
from tracker_logging.data.formats.writing import with_extra, written_path
from tracker_logging.data.sample import VoiceSample

_READ_IN_MISC = {"sample_id", "language", "scene", *REFERENCE_TEXT, *TARGET_TEXT}

__all__ = ["CHATML", "INSTRUCTION", "chatml_item"]


def _fits(values: Values) -> bool:
    messages, audio = seen_messages(values), list(seen_audio(values))
    once = all(sum(message["role"] == role for message in messages) <= 1 for role in ("user", "assistant"))
    plain = not any(isinstance(message.get("content"), Mapping) for message in messages)
    keyed = all("audio_url" in part or "raw_audio" in part for _, part in audio)
    return bool(audio) and once and plain and keyed and "audios" not in values


CHATML = RecordFormat("ChatML JSON", _fits, conversation_sample)


def chatml_item(sample: VoiceSample, folder: Path) -> dict[str, Any]:
    """`sample` as F1 writes it, in a file of `folder`."""
    user: list[dict[str, str]] = [{"type": "text", "text": f"{INSTRUCTION} {sample.target_text}"}]
    if sample.reference_audio is not None:
        reference = {"type": "audio", "audio_url": written_path(sample.reference_audio, folder)}
        user = [{"type": "text", "text": sample.reference_text}, reference, *user]
    assistant = [{"type": "text", "text": sample.target_text}]
    if sample.target_audio is not None:
        assistant.append({"type": "audio", "audio_url": written_path(sample.target_audio, folder)})
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
    return with_extra({"messages": messages, "misc": misc}, sample, extra)
