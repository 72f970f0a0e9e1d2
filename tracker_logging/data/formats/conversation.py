"""A conversation as a voice-cloning sample: the roles of texts and clips follow from where the audio stands.

The target is the audio of the last turn, if that is the assistant's. With `start_index` above 0 (as in boson's
`ChatMLSample`) every audio of the assistant from that message on is a target. References are all other audio: in a
user's turn (each after its text), in earlier turns of the assistant (the text is the user's turn before), or in the
system message or scene, where each follows its label `SPEAKER0:`, `SPEAKER1:`, …

Guarantees
- Target text: `target_transcript` (in `misc` or beside it), else the text of the assistant's turn, else the last user
  text after the audio before it, without the known instruction. Texts are never split at ":".
- Reference text: `ref_transcript`, else as above; a reference without text is refused, except in the system message.
- A transcript without the tag of a voice has that of the text in its message.
- A scene between the scene tokens of the system text becomes the sample's scene.
- No clip is dropped silently: a reference after a target, references in several places (system message, user,
  assistant) and labels out of order are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

from tracker_logging.data.chat_tokens import SCENE_END, SCENE_START
from tracker_logging.data.formats.columns import REFERENCE_TEXT, TARGET_TEXT
from tracker_logging.data.formats.record import Record
from tracker_logging.data.sample import Utterance, VoiceSample
from tracker_logging.data.voices import in_voice_of

INSTRUCTION = "Please generate speech for given text in reference audio's voice:"
MESSAGES = ("messages", "conversation")
_ROLES = ("system", "scene", "user", "assistant")
_IN_DIALOGUE = ("user", "assistant")

_LABEL = re.compile(r"\s*SPEAKER(\d+):\s*\Z")  # before a clip of the system message

Part: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """`texts` and `clips` of a message, each with its position among the parts."""

    role: str
    texts: list[tuple[int, str]] = field(default_factory=list)
    clips: list[tuple[int, Part]] = field(default_factory=list)

    def text(self) -> str | None:
        return self.texts[0][1] if self.texts else None

    def text_between(self, after: int, before: int) -> str | None:
        """The first text at a position between the two."""
        return next((text for at, text in self.texts if after < at < before), None)


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
    targets = _target_turns(record, turns)
    references = _references(record, misc, turns, targets)
    more = tuple(
        Utterance(_target_text(record, turns, at, previous), _clip(record, turns[at], 0))
        for previous, at in pairwise(targets)
    )
    reference_text = _reference_text(record, misc)
    target_text = misc.text(*TARGET_TEXT) or record.text(*TARGET_TEXT)
    system, scene, of_system = _system(record, turns)
    if of_system and references:
        raise record.error("messages", "has references in the system message and in turns; put all into one place")
    sample_id = misc.text("sample_id")
    language, misc_scene = misc.text("language"), misc.text("scene")
    rest = misc.rest()
    first = references[0] if references else of_system[0] if of_system else Utterance("", None)
    if reference_text and len(references) == 1:
        first = replace(first, text=in_voice_of(reference_text, [first.text]))
    said = _first_target_text(turns, targets)
    return record.sample(
        reference_text=first.text,
        reference_audio=first.audio,
        target_text=in_voice_of(target_text, [said or ""]) if target_text else said,
        target_audio=_clip(record, turns[targets[0]], 0) if targets else None,
        system_text=system,
        scene=scene or misc_scene,
        sample_id=sample_id,
        language=language,
        extra={"misc": rest} if rest else {},
        more_references=(references or of_system)[1:],
        more_targets=more,
        references_in="system" if of_system else "turns",
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
    if len(turn.clips) > 1 and turn.role == "assistant":
        raise record.error(where, f"names {len(turn.clips)} clips where one is expected; split the sample")
    return turn


def _target_turns(record: Record, turns: Sequence[Turn]) -> list[int]:
    """The indices of the turns whose audio is trained; empty for a prompt to generate from."""
    last = max((at for at, turn in enumerate(turns) if turn.role in _IN_DIALOGUE), default=-1)
    if last < 0 or turns[last].role != "assistant" or not turns[last].clips:
        return []
    start = record.peek("start_index")
    if not isinstance(start, int) or isinstance(start, bool) or start <= 0:
        return [last]
    targets = [at for at, turn in enumerate(turns) if turn.role == "assistant" and turn.clips and at >= start]
    if len(targets) > 1:
        record.get("start_index")  # it is part of the sample then, not an unknown key
    return targets or [last]


def _references(record: Record, misc: Record, turns: Sequence[Turn], targets: Sequence[int]) -> tuple[Utterance, ...]:
    """The references of the turns, in order."""
    first_target = targets[0] if targets else len(turns)
    roles = [
        turn.role
        for at, turn in enumerate(turns)
        if turn.role in _IN_DIALOGUE and at not in targets
        for _ in turn.clips
    ]
    if len(set(roles)) > 1:
        raise record.error(
            "messages",
            f"names {len(roles)} clips before the target in turns of both roles; give all in turns of one role",
        )
    references: list[Utterance] = []
    for index, turn in enumerate(turns):
        if turn.role not in _IN_DIALOGUE or index in targets:
            continue
        for number, (at, _) in enumerate(turn.clips):
            if index > first_target:
                raise record.error(f"messages ({turn.role})", "has a reference after a target; put references first")
            before = turn.clips[number - 1][0] if number else -1
            text = turn.text_between(before, at) if turn.role == "user" else _text_of_answer(turns, index)
            if text is None and not (len(turn.clips) == 1 and _reference_text(record, misc)):
                raise record.error(
                    f"messages ({turn.role})", "has no text of the reference audio; add it before the audio part"
                )
            references.append(Utterance(text or "", _clip(record, turn, number)))
    return tuple(references)


def _reference_text(record: Record, misc: Record) -> str | None:
    return misc.text(*REFERENCE_TEXT) or record.text(*REFERENCE_TEXT)


def _text_of_answer(turns: Sequence[Turn], index: int) -> str | None:
    """The text of an audio of the assistant: the user's turn before it, else its own."""
    before = turns[index - 1].text() if index > 0 and turns[index - 1].role == "user" else None
    return before or turns[index].text()


def _first_target_text(turns: Sequence[Turn], targets: Sequence[int]) -> str | None:
    in_dialogue = [at for at, turn in enumerate(turns) if turn.role in _IN_DIALOGUE]
    at = targets[0] if targets else in_dialogue[-1] if in_dialogue else 0
    text = turns[at].text() if in_dialogue and turns[at].role == "assistant" else None
    return text or _requested_text(turns[: at if targets else at + 1])


def _target_text(record: Record, turns: Sequence[Turn], at: int, previous: int) -> str:
    text = turns[at].text() or _requested_text(turns[previous + 1 : at])
    if not text:
        raise record.error("messages (assistant)", "has a target without a text; add it to the user's turn before")
    return text


def _requested_text(turns: Sequence[Turn]) -> str | None:
    """The last user text after the last audio, without the instruction."""
    clips = [(index, at) for index, turn in enumerate(turns) if turn.role in _IN_DIALOGUE for at, _ in turn.clips]
    after = max(clips, default=(-1, -1))
    texts = [
        text
        for index, turn in enumerate(turns)
        for at, text in turn.texts
        if turn.role == "user" and (index, at) > after
    ]
    return texts[-1].removeprefix(INSTRUCTION).strip() if texts else None


def _system(record: Record, turns: Sequence[Turn]) -> tuple[str, str | None, tuple[Utterance, ...]]:
    """The system text without its scene, the scene, and the references in them."""
    (system, *of_system), (scene, *of_scene) = (_text_and_labels(turns, role) for role in ("system", "scene"))
    labels = [*of_system, *of_scene]
    holders = [turn for role in ("system", "scene") for turn in turns if turn.role == role]
    clips = [Utterance("", _clip(record, turn, number)) for turn in holders for number in range(len(turn.clips))]
    if len(clips) > 1 and labels != [str(number) for number in range(len(clips))]:
        raise record.error(
            "messages (system)", "has several clips whose labels are not SPEAKER0:, SPEAKER1:, … in order; add them"
        )
    before, mark, rest = system.partition(SCENE_START)
    inner, end, after = rest.partition(SCENE_END)
    if mark and end and not scene:
        return f"{before.strip()}\n{after.strip()}".strip(), inner.strip() or None, tuple(clips)
    return system, scene or None, tuple(clips)


def _text_and_labels(turns: Sequence[Turn], role: str) -> list[str]:
    """The text of the turns of `role` without the labels of their clips, then the number in each label ("" without)."""
    texts: list[str] = []
    labels: list[str] = []
    for turn in (turn for turn in turns if turn.role == role):
        clips = {at for at, _ in turn.clips}
        for at, text in sorted([*turn.texts, *((at, "") for at in clips)]):
            if at not in clips:
                texts.append(text)
                continue
            match = _LABEL.search(texts[-1]) if texts else None
            labels.append("" if match is None else match.group(1))
            if match is not None:
                texts[-1] = texts[-1][: match.start()]
    return ["\n".join(text for text in texts if text), *labels]


def _clip(record: Record, turn: Turn, number: int) -> Any:
    _, part = turn.clips[number]
    name = next((name for name in ("audio_url", "url", "path", "audio") if name in part), "audio")
    where = f"messages ({turn.role}).{name}"
    return record.audio({key: value for key, value in part.items() if key != "type"}, where)
