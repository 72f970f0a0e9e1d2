"""F7, ms-swift JSONL: `<audio>` in the text stands for the next of `audios`.

    {"messages": [{"role": "user", "content": "What the reference says.<audio>What to say."},
                  {"role": "assistant", "content": "<audio>"}], "audios": ["ref.wav", "target.wav"]}

Where no `<audio>` stands anywhere and there is one clip, it is what the assistant says.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from tracker_logging.data.formats.conversation import conversation_sample, seen_messages
from tracker_logging.data.formats.record import Record
from tracker_logging.data.formats.record_file import RecordFormat, Values
from tracker_logging.data.sample import VoiceSample

_TAG = "<audio>"


def _fits(values: Values) -> bool:
    said = seen_messages(values)
    return bool(said) and ("audios" in values or any(_TAG in str(message.get("content")) for message in said))


def _sample(record: Record) -> VoiceSample:
    _, clips = record.get("audios")
    _, messages = record.get("messages", "conversation")
    if isinstance(clips, str | Mapping):
        clips = [clips]
    if clips is None:
        clips = []
    if not isinstance(clips, list) or not isinstance(messages, list):
        raise record.error("audios", "is not a list of clips beside a list of `messages`; write both as lists")
    if not all(isinstance(one, Mapping) and _is_text(one.get("content")) for one in messages):
        raise record.error("messages", "holds a content that is not text; mark the audio of `audios` by <audio>")
    tags = sum(one["content"].count(_TAG) for one in messages)
    if tags == 0 and len(clips) == 1 and messages and messages[-1].get("role") == "assistant":
        messages = [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + _TAG}]
    elif tags != len(clips):
        raise record.error("audios", f"names {len(clips)} clips for {tags} <audio> in the messages; make them agree")
    rest = iter(clips)
    return conversation_sample(record, [{**one, "content": list(_parts(one["content"], rest))} for one in messages])


def _parts(content: str, clips: Iterator[Any]) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(content.split(_TAG)):
        if number:
            for clip in itertools.islice(clips, 1):
                yield {"type": "audio", "audio": clip} if isinstance(clip, str) else {**_object(clip), "type": "audio"}
        if text.strip():
            yield {"type": "text", "text": text}


def _object(clip: object) -> Mapping[str, Any]:
    return clip if isinstance(clip, Mapping) else {}


def _is_text(content: object) -> bool:
    return isinstance(content, str)


MS_SWIFT = RecordFormat("ms-swift JSONL", _fits, _sample)
