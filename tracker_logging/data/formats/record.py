"""One entry of a data file: typed access to its fields, with errors that name the file, entry, field and fix.

Guarantees
- Fields that no reader asked for are kept: `rest()`.

    record = Record({"id": "a1", "speaker": "slt", "mood": "calm"}, place)
    record.text("speaker", "speaker_id")        # "slt"
    record.rest()                               # {"mood": "calm"} once "id" was asked for
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import find_file, search_folders
from tracker_logging.data.formats.columns import (
    EXTRA,
    LANGUAGE,
    REFERENCE_TEXT,
    SAMPLE_ID,
    SCENE,
    SPEAKER,
    SYSTEM,
    TARGET_TEXT,
)
from tracker_logging.data.sample import DataError, Utterance, VoiceSample, printable, shown

MAX_DEPTH = 64
_LEAVES = (str, int, float, type(None))  # most values; recognised faster than what is neither a list nor a mapping


@dataclass(frozen=True, slots=True)
class Place:
    """The file and index of an entry, and how its audio is resolved."""

    path: Path
    index: int
    folders: tuple[Path, ...]
    shelf: AudioShelf

    @classmethod
    def in_file(cls, path: Path, index: int, shelf: AudioShelf) -> Place:
        return cls(path, index, search_folders(path), shelf)

    @property
    def origin(self) -> str:
        return f"{_name_and_stem(self.path)[0]}[{self.index}]"

    @property
    def number(self) -> str:
        """An id for an entry that has none."""
        return f"{_name_and_stem(self.path)[1]}-{self.index:05d}"

    def error(self, field: str, problem: str) -> DataError:
        return DataError(f"{shown(self.path)}[{self.index}]{f'.{printable(field)}' if field else ''} {problem}.")


class Record:
    """`value`: an object; a list is taken as its `messages`. Raises `DataError` for anything else."""

    def __init__(self, value: object, place: Place, *, name: str = "") -> None:
        self.place = place
        self._name = name
        if isinstance(value, list):
            value = {"messages": value}
        if not isinstance(value, Mapping):
            raise place.error(name, f"is a JSON {type(value).__name__}, not an object; write it as {{ }}")
        if not name and _depth(value) > MAX_DEPTH:
            raise place.error("", f"is nested more than {MAX_DEPTH} levels deep; drop the nested field")
        self._values = value
        self._asked: set[str] = set()

    def error(self, field: str, problem: str) -> DataError:
        """A `DataError` about `field`, to be raised."""
        return self.place.error(f"{self._name}.{field}" if self._name else field, problem)

    def get(self, *names: str) -> tuple[str, object]:
        """The first of `names` that has a value, and the value; `(names[0], None)` if none has. None and empty text
        count as no value."""
        for name in names:
            if name not in self._values:
                continue
            self._asked.add(name)
            value = self._values[name]
            if value is not None and not (isinstance(value, str) and not value.strip()):
                return name, value
        return names[0], None

    def has(self, name: str) -> bool:
        """Whether there is a field `name`, with or without a value."""
        return name in self._values

    def peek(self, name: str) -> object:
        """The value of `name` or None; it stays one of `rest()`."""
        return self._values.get(name)

    def text(self, *names: str) -> str | None:
        """Text, stripped, or a whole number as text. Raises `DataError` for another kind of value."""
        name, value = self.get(*names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.error(name, f"is a {type(value).__name__}, not text; write it as text")
        return self.plain(str(value), name)

    def plain(self, text: str, field: str) -> str:
        """`text` stripped. Raises `DataError` for a lone surrogate, which cannot be written to any file."""
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise self.error(field, "contains a lone surrogate (half a character); write the text again")
        return text.strip()

    def part(self, name: str) -> Record:
        """The object under `name`, empty if there is none."""
        _, value = self.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise self.error(name, "is not an object; remove it or write it as { }")
        return Record(value or {}, self.place, name=name)

    def audio(self, value: object, field: str) -> Path:
        """The file of the clip that `value` gives. Raises `DataError`."""
        try:
            return self.place.shelf.file_of(value, folders=self.place.folders)
        except DataError as error:
            raise self.error(field, str(error)) from error

    def named_audio(self, *names: str) -> Path | None:
        """The file of the clip under the first of `names` that has a value; None if none has. Raises `DataError`."""
        name, value = self.get(*names)
        return None if value is None else self.audio(value, name)

    def segment(self, clip: Path, *, start: str, duration: str, channel: int | None = None) -> Path:
        """The part of `clip` that the fields `start` and `duration` give in seconds, of one `channel` (from 0) or of
        all. Raises `DataError`."""
        seconds: list[float | None] = []
        for name in (start, duration):
            value = self.get(name)[1]
            try:
                seconds.append(None if value is None else float(value))  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError) as error:
                raise self.error(name, "is not a number of seconds; correct it") from error
        try:
            return self.place.shelf.segment(clip, seconds[0] or 0.0, seconds[1], channel)
        except (DataError, OSError) as error:
            raise self.error(start, str(error)) from error

    def refuse_offset(self) -> None:
        """Raises `DataError` for an `offset` other than 0, of a record that may name several clips."""
        offset = self.peek("offset")
        if offset and str(offset).strip("0. "):
            raise self.error("offset", "is not applied; cut the clips into files of their own")

    def file(self, name: str, field: str) -> Path:
        """Another file that the entry names. Raises `DataError`."""
        try:
            return find_file(name, self.place.folders)
        except DataError as error:
            raise self.error(field, str(error)) from error

    def rest(self) -> dict[str, object]:
        """The fields that were not asked for; the content of an object `extra` is merged into them."""
        rest = {name: value for name, value in self._values.items() if name not in self._asked}
        more = rest.get(EXTRA)
        if isinstance(more, Mapping):
            rest = {name: value for name, value in rest.items() if name != EXTRA} | dict(more)
        return rest

    def sample(
        self,
        *,
        reference_text: str | None,
        reference_audio: Path | None,
        target_text: str | None,
        target_audio: Path | None,
        system_text: str | None = None,
        scene: str | None = None,
        sample_id: str | None = None,
        language: str | None = None,
        speaker: str | None = None,
        extra: Mapping[str, object] | None = None,
        more_references: Sequence[Utterance] = (),
        more_targets: Sequence[Utterance] = (),
        references_in: Literal["turns", "system"] = "turns",
    ) -> VoiceSample:
        """The sample of these values and of the fields that every format has. Raises `DataError` without a target text,
        and for a reference without its text."""
        if reference_audio is not None and not reference_text and references_in == "turns":
            raise self.error(REFERENCE_TEXT[0], "is missing: the text of the reference audio; add it")
        if not target_text:
            raise self.error(TARGET_TEXT[0], "is missing: the text of the target; add it")
        known = {
            "sample_id": self.text(*SAMPLE_ID),
            "speaker": self.text(*SPEAKER),
            "language": self.text(*LANGUAGE),
            "scene": self.text(*SCENE),
            "system": self.text(*SYSTEM),
        }
        return VoiceSample(
            sample_id=sample_id or known["sample_id"] or self.place.number,
            reference_text=(reference_text or "") if reference_audio is not None else "",
            reference_audio=reference_audio,
            target_text=target_text,
            target_audio=target_audio,
            speaker=known["speaker"] or speaker,
            language=known["language"] or language,
            system_text=system_text or known["system"] or "",
            scene=known["scene"] or scene,
            extra={**self.rest(), **(extra or {})},
            origin=self.place.origin,
            more_references=tuple(more_references),
            more_targets=tuple(more_targets),
            references_in=references_in if reference_audio is not None else "turns",
        )


@lru_cache(maxsize=64)
def _name_and_stem(path: Path) -> tuple[str, str]:
    return path.name, path.stem


def _depth(value: object) -> int:
    """Levels of objects and lists, counted up to one more than `MAX_DEPTH`."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)  # type: ignore[attr-defined]
            if not isinstance(inner, _LEAVES) and isinstance(inner, list | Mapping)
        ]
    return depth
