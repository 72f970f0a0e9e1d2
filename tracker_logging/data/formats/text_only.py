"""F10, ChatML without audio: the texts of a conversation, and nothing to train a voice on.

    {"messages": [{"role": "user", "content": "What to say."}, {"role": "assistant", "content": "What to say."}]}

It is read, with a warning; training refuses it.
"""

from __future__ import annotations

from tracker_logging.data.formats.conversation import conversation_sample, seen_audio, seen_messages
from tracker_logging.data.formats.record_file import RecordFormat, Values


def _fits(values: Values) -> bool:
    said = seen_messages(values)
    tagged = any("<audio>" in str(message.get("content")) for message in said)
    return bool(said) and not tagged and "audios" not in values and not any(True for _ in seen_audio(values))


TEXT_ONLY = RecordFormat("text-only ChatML", _fits, conversation_sample)
