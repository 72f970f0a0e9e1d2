"""A conversation as a voice-cloning sample: the roles of texts and clips follow from where the audio stands.

The target is the audio of the last turn, if that is the assistant's. The reference is the other audio: in the user's
turn (after its text), or in an earlier turn of the assistant (its text is the user's turn before it).

Guarantees
- Target text: `target_transcript` (in `misc` or beside it), else the text of the assistant's last turn, else the last
  user text after the reference, without the known instruction. Texts are never split at ":".
- Reference text: `ref_transcript`, else as above; a reference without text is refused.
- A scene between the scene tokens of the system text becomes the sample's scene.
- More than one reference or target is refused; no clip is dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tracker_logging.data.chat_tokens import SCENE_END, SCENE_START
from tracker_logging.data.formats.columns import REFERENCE_TEXT, TARGET_TEXT
from tracker_logging.data.formats.record import Record
from tracker_logging.data.sample import VoiceSample

INSTRUCTION = "Please generate speech for given text in reference audio's voice:"
MESSAGES = ("messages", "conversation")
_ROLES = ("system", "scene", "user", "assistant")

Part: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """`texts` and `clips` of a message, each with its position among the parts."""

    role: str
    texts: list[tuple[int, str]] = field(default_factory=list)
    clips: list[tuple[int, Part]] = field(default_factory=list)

    def text(self) -> str | None:
        return self.texts[0][1] if self.texts else None


def seen_messages(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The messages of a record that have a role; does not raise."""
    messages: list[Any] = next((values[name] for name in MESSAGES if isinstance(values.get(name), list)), [])
    return [message for message in messages if isinstance(message, Mapping) and isinstance(message.get("role"), str)]


def seen_audio(values: Mapping[str, Any]) -> Iterator[tuple[str, Part]]:
    """Role and part of every audio in a record; does not raise."""
    for message in seen_messages(values):
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, Mapping) and part.get("type") == "audio":
                yield message["role"], part


def conversation_sample(record: Record, messages: Sequence[Mapping[str, Any]] | None = None) -> VoiceSample:
    """The sample of `record`; `messages` replaces the messages in the record. Raises `DataError`."""
    misc = record.part("misc")
    turns = [_turn(record, message) for message in (messages if messages is not None else _messages(record))]
    dialogue = [turn for turn in turns if turn.role in ("user", "assistant")]
    for turn in turns:
        if turn.clips and turn not in dialogue:
            raise record.error(
                f"messages ({turn.role})", "has audio; give the reference as a user's text and an assistant's audio"
            )
    target = dialogue.pop() if dialogue and dialogue[-1].role == "assistant" else None
    reference = _reference(record, dialogue)
    reference_text = misc.text(*REFERENCE_TEXT) or record.text(*REFERENCE_TEXT)
    target_text = misc.text(*TARGET_TEXT) or record.text(*TARGET_TEXT)
    system, scene = _system(turns)
    sample_id = misc.text("sample_id")
    language, misc_scene = misc.text("language"), misc.text("scene")
    rest = misc.rest()
    return record.sample(
        reference_text=reference_text or _reference_text(record, dialogue, reference),
        reference_audio=None if reference is None else _clip(record, dialogue[reference]),
        target_text=target_text or (target.text() if target else None) or _requested_text(dialogue, reference),
        target_audio=_clip(record, target) if target else None,
        system_text=system,
        scene=scene or misc_scene,
        sample_id=sample_id,
        language=language,
        extra={"misc": rest} if rest else {},
    )


def _messages(record: Record) -> list[Mapping[str, Any]]:
    name, messages = record.get(*MESSAGES)
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        raise record.error(name, "is missing or not a list; write the system, user and assistant messages there")
    return messages


def _turn(record: Record, message: Mapping[str, Any]) -> Turn:
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        raise record.error("messages", f"has a role {str(role)[:40]!r}; use {', '.join(_ROLES)}")
    turn, where = Turn(str(role)), f"messages ({role}).content"
    for index, part in enumerate(content if isinstance(content, list) else [content]):
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        if not isinstance(part, Mapping):
            raise record.error(where, "is neither text nor a list of text and audio parts; write it as one of them")
        if part.get("type") == "audio":
            turn.clips.append((index, part))
        elif isinstance(part.get("text"), str):
            if text := record.plain(part["text"], where):
                turn.texts.append((index, text))
        else:
            raise record.error(where, f"has a part of type {str(part.get('type'))[:40]!r}; remove it")
    if len(turn.clips) > 1:
        raise record.error(where, f"names {len(turn.clips)} clips where one is expected; split the sample")
    return turn


def _reference(record: Record, dialogue: Sequence[Turn]) -> int | None:
    """The index of the turn that has the reference."""
    with_clips = [index for index, turn in enumerate(dialogue) if turn.clips]
    if len(with_clips) > 1:
        raise record.error(
            "messages", f"names {len(with_clips)} clips before the target where one is expected; split the sample"
        )
    return with_clips[0] if with_clips else None


def _reference_text(record: Record, dialogue: Sequence[Turn], reference: int | None) -> str | None:
    if reference is None:
        return None
    turn = dialogue[reference]
    clip_at = turn.clips[0][0]
    if turn.role == "user":
        text = next((text for at, text in turn.texts if at < clip_at), None)
    else:
        before = dialogue[reference - 1].text() if reference > 0 and dialogue[reference - 1].role == "user" else None
        text = before or turn.text()
    if text is None:
        raise record.error(
            f"messages ({turn.role})", "has no text of the reference audio; add it before the audio part"
        )
    return text


def _requested_text(dialogue: Sequence[Turn], reference: int | None) -> str | None:
    """The last user text after the reference, without the instruction."""
    texts = [
        text
        for index, turn in enumerate(dialogue)
        for at, text in turn.texts
        if turn.role == "user" and (reference is None or (index, at) > (reference, dialogue[reference].clips[0][0]))
    ]
    return texts[-1].removeprefix(INSTRUCTION).strip() if texts else None


def _system(turns: Sequence[Turn]) -> tuple[str, str | None]:
    """The system text without its scene, and the scene."""
    system = "\n".join(text for turn in turns if turn.role == "system" for _, text in turn.texts)
    scene = "\n".join(text for turn in turns if turn.role == "scene" for _, text in turn.texts)
    before, mark, rest = system.partition(SCENE_START)
    inner, end, after = rest.partition(SCENE_END)
    if mark and end and not scene:
        return f"{before.strip()}\n{after.strip()}".strip(), inner.strip() or None
    return system, scene or None


def _clip(record: Record, turn: Turn) -> Any:
    if not turn.clips:
        return None
    _, part = turn.clips[0]
    name = next((name for name in ("audio_url", "url", "path", "audio") if name in part), "audio")
    where = f"messages ({turn.role}).{name}"
    if part.get("offset"):
        raise record.error(where, "has an `offset`, which is not applied; cut the clip into a file of its own")
    return record.audio({key: value for key, value in part.items() if key != "type"}, where)
