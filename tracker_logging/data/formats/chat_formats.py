"""Conversations: what each of five chat layouts looks like, and how it is told from the others.

How a conversation becomes a sample (which audio is the reference, which text the target) is in `conversation.py`; the
layouts differ in where they write the audio.

F1, ChatML JSON: reference and text in one user turn, the target in the assistant's turn.

    {"messages": [
        {"role": "system", "content": "Generate speech in the given voice."},
        {"role": "user", "content": [
            {"type": "text", "text": "The reference text."},
            {"type": "audio", "audio_url": "clips/reference.wav"},
            {"type": "text", "text": "Please generate speech for given text in reference audio's voice: …"}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "The target text."},
            {"type": "audio", "audio_url": "clips/target.wav"}]}],
      "speaker": "slt", "misc": {"sample_id": "a1", "ref_transcript": "…", "target_transcript": "…"}}

F2, `ChatMLSample` of boson_multimodal: turn by turn, the reference in an earlier assistant turn. `content` is text, one
part, or a list of texts and parts. `raw_audio` (base64 of an audio file) goes before `audio_url`, which upstream then
sets to "placeholder".

    {"messages": [
        {"role": "user", "content": "The reference text.", "recipient": null},
        {"role": "assistant", "content": {"type": "audio", "audio_url": "ref.wav", "raw_audio": null}},
        {"role": "user", "content": "The target text."},
        {"role": "assistant", "content": [{"type": "audio", "audio_url": "target.wav"}]}],
      "start_index": 3, "speaker": "belinda", "misc": null}

F3, a conversation for transformers' `apply_chat_template`: like F2, with a scene turn and `url`, `path` or `audio`.
`conversation` may replace `messages`, and the list of messages the whole object.

F7, ms-swift: each `<audio>` in the text stands for the next of `audios`. With one clip and no `<audio>` anywhere, the
clip is the target.

    {"messages": [{"role": "user", "content": "The reference text.<audio>The target text."},
                  {"role": "assistant", "content": "<audio>"}], "audios": ["ref.wav", "target.wav"]}

F10, ChatML without audio. It is read, with a warning; training refuses it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from tracker_logging.data.formats.conversation import conversation_sample, seen_audio, seen_messages
from tracker_logging.data.formats.record import Record
from tracker_logging.data.formats.record_file import RecordFormat, Values
from tracker_logging.data.sample import VoiceSample

_TRANSFORMERS_NAMES = ("url", "path", "audio", "base64")
_TAG = "<audio>"


def _uses_boson_names(values: Values) -> bool:
    """Whether the record holds audio, and names each clip by `audio_url` or `raw_audio`."""
    audio = [part for _, part in seen_audio(values)]
    return bool(audio) and all("audio_url" in part or "raw_audio" in part for part in audio)


def _is_chatml(values: Values) -> bool:
    messages = seen_messages(values)
    one_each = all(sum(message["role"] == role for message in messages) <= 1 for role in ("user", "assistant"))
    plain = not any(isinstance(message.get("content"), Mapping) for message in messages)
    return _uses_boson_names(values) and one_each and plain and "audios" not in values


def _is_boson(values: Values) -> bool:
    no_user_audio = all(role != "user" for role, _ in seen_audio(values))
    return _uses_boson_names(values) and no_user_audio and "audios" not in values


def _is_transformers(values: Values) -> bool:
    audio = [part for _, part in seen_audio(values)]
    named = all(any(name in part for name in _TRANSFORMERS_NAMES) and "audio_url" not in part for part in audio)
    return bool(audio) and named and "audios" not in values


def _has_tag(values: Values) -> bool:
    return any(_TAG in str(message.get("content")) for message in seen_messages(values))


def _is_ms_swift(values: Values) -> bool:
    return bool(seen_messages(values)) and ("audios" in values or _has_tag(values))


def _is_text_only(values: Values) -> bool:
    has_audio = any(True for _ in seen_audio(values))
    return bool(seen_messages(values)) and not has_audio and not _has_tag(values) and "audios" not in values


def _ms_swift_sample(record: Record) -> VoiceSample:
    _, clips = record.get("audios")
    _, messages = record.get("messages", "conversation")
    if isinstance(clips, str | Mapping):
        clips = [clips]
    if clips is None:
        clips = []
    if not isinstance(clips, list) or not isinstance(messages, list):
        raise record.error("audios", "is not a list of clips beside a list of `messages`; write both as lists")
    if not all(isinstance(message, Mapping) and isinstance(message.get("content"), str) for message in messages):
        raise record.error("messages", "holds a content that is not text; mark the audio of `audios` by <audio>")
    tags = sum(message["content"].count(_TAG) for message in messages)
    if tags == 0 and len(clips) == 1 and messages and messages[-1].get("role") == "assistant":
        messages = [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + _TAG}]
    elif tags != len(clips):
        raise record.error("audios", f"names {len(clips)} clips for {tags} <audio> in the messages; make them agree")
    remaining = iter(clips)
    return conversation_sample(
        record, [{**message, "content": list(_parts(message["content"], remaining))} for message in messages]
    )


def _parts(content: str, clips: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """The parts of an ms-swift message; each `<audio>` takes the next of `clips`."""
    for number, text in enumerate(content.split(_TAG)):
        if number:
            for clip in itertools.islice(clips, 1):
                clip_part = clip if isinstance(clip, Mapping) else {}
                yield {"type": "audio", "audio": clip} if isinstance(clip, str) else {**clip_part, "type": "audio"}
        if text.strip():
            yield {"type": "text", "text": text}


CHATML = RecordFormat("ChatML JSON", _is_chatml, conversation_sample)
BOSON = RecordFormat("boson ChatMLSample", _is_boson, conversation_sample)
TRANSFORMERS = RecordFormat("transformers conversation", _is_transformers, conversation_sample)
MS_SWIFT = RecordFormat("ms-swift JSONL", _is_ms_swift, _ms_swift_sample)
TEXT_ONLY = RecordFormat("text-only ChatML", _is_text_only, conversation_sample)
