"""WebDataset shards: uncompressed tar files in which the members of one name are one sample, read in place.

`KEY.wav` (or another audio ending, or `KEY.audio`) is the recording. Its text is in `KEY.txt`, `KEY.text`, `KEY.lab`,
`KEY.transcript` or `KEY.transcription`, or in `KEY.json`, which has the fields of a row of the audio table (F9).
`KEY.ref.wav` is the reference, with `ref_transcript` in the JSON; `KEY.spk`, `KEY.speaker`, `KEY.lang` and
`KEY.language` name speaker and language.

Guarantees
- Opening reads only the headers of the members; a sample is read on access, at most `MAX_AUDIO_BYTES` a member.
- Where the headers of a shard break off, the samples before are kept; the rest is one bad sample.
- Names in the tar are never used as paths: a clip is written to the audio cache under the hash of its content.

The path to give is one tar file, or a directory of them. Where a directory has a data file, too, and no tar file has a
text, the data file is read: the recordings were packed apart from their texts.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import AUDIO_ENDINGS, search_folders
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.manifests import audio_table_sample
from tracker_logging.data.formats.record import Place, Record
from tracker_logging.data.formats.slices import check_count
from tracker_logging.data.sample import DataError, VoiceSample, cannot_read, printable, shown
from tracker_logging.data.text_files import MAX_TEXT_BYTES
from tracker_logging.data.walk import APPLE_DOUBLE

MAX_AUDIO_BYTES = 200_000_000

_TEXT_ENDINGS = ("txt", "text", "lab", "transcript", "transcription", "normalized.txt")
_FIELD_ENDINGS = {"spk": "speaker", "speaker": "speaker", "lang": "language", "language": "language"}

_Members = tuple[tuple[str, int, int], ...]  # ending, first byte, bytes


class Shards(Format):
    """`tables`: the format of a directory with a data file."""

    name = "tar shards"

    def __init__(self, tables: Format) -> None:
        self._tables = tables

    def recognises(self, path: Path) -> bool:
        if not path.is_dir():
            return path.is_file() and path.suffix.lower() == ".tar"
        files = _tar_files(path)
        return bool(files) and (not self._tables.recognises(path) or any(map(_has_text, files)))

    def open(self, path: Path, shelf: AudioShelf) -> ShardSource:
        files = _tar_files(path) if path.is_dir() else [path]
        index: list[tuple[int, str, _Members]] = []
        broken: dict[int, str] = {}
        for number, file in enumerate(files):
            groups, problem = _groups(file)
            index += [(number, key, members) for key, members in groups]
            if problem is not None:
                if not groups and len(files) == 1:
                    raise DataError(problem)
                broken[len(index)] = problem
                index.append((number, "", ()))
            check_count(path, len(index))
        return ShardSource(tuple(files), tuple(index), broken, shelf)


@dataclass(frozen=True, slots=True)
class ShardSource:
    """Sample i is group i of `index`: the index of its file, its key, and the offsets of its members. `broken`: what is
    wrong with a shard from there on, by index."""

    files: tuple[Path, ...]
    index: tuple[tuple[int, str, _Members], ...]
    broken: Mapping[int, str]
    shelf: AudioShelf

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int, /) -> VoiceSample:
        number, key, members = self.index[index]
        if index in self.broken:
            raise DataError(self.broken[index])
        file = self.files[number]
        place = Place(file, index, search_folders(file), self.shelf)
        if not _is_utf8(key):
            raise place.error(key, "is a name that is not UTF-8; rename the member")
        if key.startswith("/") or ".." in PurePosixPath(key).parts:
            raise place.error(key, "is not a plain relative name; pack the member under another name")
        values: dict[str, object] = {"sample_id": key}
        dotted = sorted(ending for ending, _, _ in members if _is_audio(ending) and not ending.startswith("ref."))
        if len(dotted) > 1 and all("." in ending for ending in dotted):
            names = ", ".join(f"{key}.{ending}" for ending in dotted[:3])
            raise place.error(
                key,
                f"has {len(dotted)} recordings ({printable(names)}), for a sample is named up to the first dot; pack "
                "them without other dots",
            )
        for ending, start, size in sorted(members):
            is_audio = _is_audio(ending)
            if not is_audio and "." in ending:  # KEY.text.txt
                ending = ending.rpartition(".")[2]
            is_text = ending in _TEXT_ENDINGS or ending in _FIELD_ENDINGS
            if not is_audio and not is_text and ending != "json":
                continue
            limit = MAX_AUDIO_BYTES if is_audio else MAX_TEXT_BYTES
            if size > limit:
                problem = f"has {size / 1e6:,.0f} MB; the limit is {limit / 1e6:g} MB. Cut it, or drop it"
                raise place.error(f"{key}.{ending}", problem)
            content = _content(file, start, size)
            if ending == "json":
                values = {**_described(place, key, content), **values}
            elif is_audio:
                values["ref_audio" if ending.startswith("ref.") else "audio"] = content
            else:
                values[_FIELD_ENDINGS.get(ending, "text")] = _decoded(place, f"{key}.{ending}", content)
        if "audio" not in values:
            raise place.error(key, f"has no recording; pack {printable(key)}.wav beside it")
        return audio_table_sample(Record(values, place))


def _tar_files(folder: Path) -> list[Path]:
    """Regular files only: opening a FIFO would wait forever."""
    files = (file for file in folder.glob("*.tar") if not file.name.startswith(APPLE_DOUBLE))
    return sorted(file for file in files if file.is_file())


def _groups(file: Path) -> tuple[list[tuple[str, _Members]], str | None]:
    """The members of `file` by the part of their name before its first dot, and what is wrong where they break off."""
    groups: dict[str, list[tuple[str, int, int]]] = {}
    last = "its start"
    reason: object = None
    try:
        file_size = file.stat().st_size
        with tarfile.open(file, "r:") as tar:
            while member := tar.next():
                last = member.name
                if member.size < 0 or member.offset_data + member.size > file_size:
                    reason = f"member {printable(last)} has {member.size} bytes, beyond the end of the file"
                    break
                folder, _, name = member.name.rpartition("/")
                key, dot, ending = name.partition(".")
                if member.isreg() and dot and key:
                    whole = f"{folder}/{key}" if folder else key
                    groups.setdefault(whole, []).append((ending.lower(), member.offset_data, member.size))
                tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps every header
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError, MemoryError, RecursionError) as error:
        reason = error
    problem = None
    if reason is not None:
        problem = (
            f"{shown(file)}: not a whole, uncompressed tar file ({reason}, after {printable(last)}). Pack it again, "
            "without compression."
        )
    return [(key, tuple(members)) for key, members in groups.items()], problem


def _has_text(file: Path) -> bool:
    """Whether a recording in `file` has a member of its name that may hold its text."""
    groups = ([ending for ending, _, _ in members] for _, members in _groups(file)[0])
    texts = {*_TEXT_ENDINGS, "json"}
    return any(any(map(_is_audio, group)) and any(one.rpartition(".")[2] in texts for one in group) for group in groups)


def _is_audio(ending: str) -> bool:
    return ending == "audio" or f".{ending}".endswith(AUDIO_ENDINGS)


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _content(file: Path, start: int, size: int) -> bytes:
    try:
        with file.open("rb") as tar:
            tar.seek(start)
            return tar.read(size)
    except OSError as error:
        raise cannot_read(file, error) from error


def _described(place: Place, key: str, content: bytes) -> Mapping[str, object]:
    try:
        described = json.loads(_decoded(place, f"{key}.json", content))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise place.error(f"{key}.json", f"is not valid JSON ({error}); pack it again") from error
    if not isinstance(described, dict):
        raise place.error(f"{key}.json", f"is a JSON {type(described).__name__}, not an object; write it as {{ }}")
    return described


def _decoded(place: Place, name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise place.error(name, f"has a text that is not UTF-8 ({error.reason}); convert it") from error
