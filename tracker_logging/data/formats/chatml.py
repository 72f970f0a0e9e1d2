"""ChatML JSON (F1): a list of conversations, each a voice-cloning example.

    [{"messages": [
        {"role": "system", "content": "Generate speech in the given voice."},
        {"role": "user", "content": [
            {"type": "text", "text": "What the reference says."},
            {"type": "audio", "audio_url": "clips/reference.wav"},
            {"type": "text", "text": "Please generate speech for given text in reference audio's voice: …"}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "What to say."},
            {"type": "audio", "audio_url": "clips/target.wav"}]}],
      "speaker": "slt", "misc": {"sample_id": "a1", "ref_transcript": "…", "target_transcript": "…"}}]

Guarantees
- Target text: `misc.target_transcript`, else the assistant's text, else the user's last text without the known
  instruction. Text is never split on ":", so "at 10:30." stays whole.
- Reference text: `misc.ref_transcript`, else the user's first text before the reference audio.
- A relative path is looked for beside the JSON file, in its parent and grandparent, then in the working directory.
- Unknown keys are kept in `extra`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tracker_logging.data.sample import DataError, VoiceSample, shown

INSTRUCTION = "Please generate speech for given text in reference audio's voice:"

_KNOWN_KEYS = {"messages", "speaker", "language", "scene", "misc"}
_KNOWN_MISC = {"sample_id", "ref_transcript", "target_transcript"}


def recognises(path: Path) -> bool:
    """A `.json` file. What is inside is checked by `read`, which can say what is wrong with it."""
    return path.is_file() and path.suffix.lower() == ".json"


def read(path: Path) -> Iterator[VoiceSample | DataError]:
    """The samples in file order; an error in the place of each that cannot be used. Raises if it is not a JSON list."""
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)}: not valid JSON ({error}). Repair the file or write it again.") from error
    if not isinstance(items, list):
        raise DataError(f"{shown(path)}: holds a JSON {type(items).__name__}, not a list of samples. Wrap it in [ ].")
    for index, item in enumerate(items):
        try:
            yield _Item(path, index, item).sample()
        except DataError as error:
            yield error


class _Item:
    """One entry of the list, with the place to name in messages."""

    def __init__(self, path: Path, index: int, item: Any) -> None:
        self.path = path
        self.index = index
        self.origin = f"{path.name}[{index}]"
        if not isinstance(item, Mapping):
            raise self.error("", f"is a JSON {type(item).__name__}, not an object with `messages`")
        self.item = item
        misc = item.get("misc") or {}
        if not isinstance(misc, Mapping):
            raise self.error("misc", "is not an object; remove it or write it as { }")
        self.misc = misc

    def error(self, field: str, problem: str) -> DataError:
        return DataError(f"{shown(self.path)}[{self.index}]{f'.{field}' if field else ''} {problem}.")

    def sample(self) -> VoiceSample:
        system = self._parts("system", required=False)
        user = self._parts("user", required=True)
        assistant = self._parts("assistant", required=True)
        reference = self._audio(user, "user")
        target = self._audio(assistant, "assistant")
        return VoiceSample(
            sample_id=self._string("sample_id", self.misc) or f"{self.path.stem}-{self.index:05d}",
            reference_text=self._reference_text(user) if reference is not None else "",
            reference_audio=reference,
            target_text=self._target_text(user, assistant),
            target_audio=target,
            speaker=self._string("speaker", self.item),
            language=self._string("language", self.item) or self._string("language", self.misc),
            system_text="\n".join(_texts(system)),
            scene=self._string("scene", self.item) or self._string("scene", self.misc),
            extra=self._extra(),
            origin=self.origin,
        )

    def _parts(self, role: str, *, required: bool) -> list[Mapping[str, Any]]:
        """The content of the only message of `role`, as a list of parts; a plain string is one text part."""
        messages = self.item.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
            raise self.error("messages", "is missing or not a list of messages; write system, user and assistant there")
        found = [message for message in messages if message.get("role") == role]
        if not found and not required:
            return []
        if len(found) != 1:
            raise self.error("messages", f"has {len(found)} messages of role {role!r} where one is expected")
        content = found[0].get("content")
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
            raise self.error(f"messages ({role}).content", "is neither text nor a list of text and audio parts")
        return content

    def _audio(self, parts: list[Mapping[str, Any]], role: str) -> Path | None:
        field = f"messages ({role}).audio_url"
        clips = [part for part in parts if part.get("type") == "audio"]
        if not clips:
            return None
        if len(clips) > 1:
            raise self.error(field, f"names {len(clips)} clips where one is expected; split the sample")
        clip = clips[0]
        if clip.get("offset"):
            raise self.error(field, "has an `offset`, which is not applied here; cut the clip into its own file")
        url = clip.get("audio_url")
        if not isinstance(url, str) or not url:
            inline = " (`raw_audio` is not read; write it to a file)" if clip.get("raw_audio") else ""
            raise self.error(field, f"is empty{inline}; name an audio file")
        return self._resolve(url, field)

    def _resolve(self, url: str, field: str) -> Path:
        here = self.path.resolve().parent
        for base in (here, here.parent, here.parent.parent, Path.cwd()):
            candidate = base / url  # an absolute `url` wins over any base
            if candidate.is_file():
                return candidate
        where = (
            ""
            if Path(url).is_absolute()
            else " beside the JSON file, in its parent, grandparent or the working directory"
        )
        raise self.error(field, f"names {url!r}, which does not exist{where}; correct the path")

    def _reference_text(self, user: list[Mapping[str, Any]]) -> str:
        text = self._string("ref_transcript", self.misc)
        if text is None:
            before = [part for part in user[: _first_audio(user)] if part.get("type") == "text"]
            text = next(iter(_texts(before)), None)
        if text is None:
            raise self.error("messages (user)", "has no text of the reference audio; add it before the audio part")
        return text

    def _target_text(self, user: list[Mapping[str, Any]], assistant: list[Mapping[str, Any]]) -> str:
        text = self._string("target_transcript", self.misc) or next(iter(_texts(assistant)), None)
        if text is None:
            text = next(iter(reversed(_texts(user[_first_audio(user) :]))), "")
            text = text.removeprefix(INSTRUCTION).strip()
        if not text:
            raise self.error(
                "messages (assistant)", "has no text to speak; add `misc.target_transcript` or a text part"
            )
        return text

    def _string(self, key: str, where: Mapping[str, Any]) -> str | None:
        value = where.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str | int):
            raise self.error(key, f"is a {type(value).__name__}, not text")
        return str(value).strip() or None

    def _extra(self) -> dict[str, object]:
        extra: dict[str, object] = {key: value for key, value in self.item.items() if key not in _KNOWN_KEYS}
        misc = {key: value for key, value in self.misc.items() if key not in _KNOWN_MISC}
        return {**extra, "misc": misc} if misc else extra


def _first_audio(parts: list[Mapping[str, Any]]) -> int:
    """Index of the first audio part, or 0 if there is none (all texts then come after it)."""
    return next((index for index, part in enumerate(parts) if part.get("type") == "audio"), 0)


def _texts(parts: list[Mapping[str, Any]]) -> list[str]:
    """The texts of the parts that hold any, stripped."""
    texts = [part.get("text") for part in parts if part.get("type") == "text"]
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]
