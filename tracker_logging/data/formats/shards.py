"""WebDataset shards: uncompressed tar files with `KEY.wav` and `KEY.txt` or `KEY.json`, read in place.

Guarantees
- Opening reads only the headers of the members; a sample is read on access.
- `KEY.json` has the fields of a row of the audio table (F9); `KEY.ref.wav` is its reference, with `ref_transcript`.
- Names in the tar are never used as paths: a clip is written to the audio cache under the hash of its content.

The path to give is one tar file, or a directory of them.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import search_folders
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.manifests import audio_table_sample
from tracker_logging.data.formats.paired_files import AUDIO_ENDINGS
from tracker_logging.data.formats.record import Place, Record
from tracker_logging.data.sample import DataError, VoiceSample, shown

_Members = tuple[tuple[str, int, int], ...]  # ending, first byte, bytes


class Shards(Format):
    name = "tar shards"

    def recognises(self, path: Path) -> bool:
        return any(path.glob("*.tar")) if path.is_dir() else path.is_file() and path.suffix.lower() == ".tar"

    def open(self, path: Path, shelf: AudioShelf) -> ShardSource:
        files = sorted(path.glob("*.tar")) if path.is_dir() else [path]
        index = [(number, key, members) for number, file in enumerate(files) for key, members in _groups(file)]
        return ShardSource(tuple(files), tuple(index), shelf)


@dataclass(frozen=True, slots=True)
class ShardSource:
    """Sample i is group i of `index`: the index of its file, its key, and the offsets of its members."""

    files: tuple[Path, ...]
    index: tuple[tuple[int, str, _Members], ...]
    shelf: AudioShelf

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int, /) -> VoiceSample:
        number, key, members = self.index[index]
        file = self.files[number]
        place = Place(file, index, search_folders(file), self.shelf)
        if key.startswith("/") or ".." in PurePosixPath(key).parts:
            raise place.error(key, "is not a plain relative name; pack the member under another name")
        values: dict[str, object] = {"sample_id": key}
        for ending, start, size in sorted(members):
            content = _content(file, start, size)
            if ending == "json":
                values |= _described(place, key, content)
            elif ending == "txt":
                values["text"] = _decoded(place, key, content)
            elif f".{ending}".endswith(AUDIO_ENDINGS):
                values["ref_audio" if ending.startswith("ref.") else "audio"] = content
        if "audio" not in values:
            raise place.error(key, f"has no recording; pack {key}.wav beside it")
        return audio_table_sample(Record(values, place))


def _groups(file: Path) -> list[tuple[str, _Members]]:
    """The members of `file` by the part of their name before its first dot. Raises `DataError`."""
    groups: dict[str, list[tuple[str, int, int]]] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            while member := tar.next():
                folder, _, name = member.name.rpartition("/")
                key, dot, ending = name.partition(".")
                if member.isreg() and dot and key:
                    whole = f"{folder}/{key}" if folder else key
                    groups.setdefault(whole, []).append((ending.lower(), member.offset_data, member.size))
                tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps every header
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{shown(file)}: not a whole, uncompressed tar file ({error}). Pack it again, without compression."
        ) from error
    return [(key, tuple(members)) for key, members in groups.items()]


def _content(file: Path, start: int, size: int) -> bytes:
    try:
        with file.open("rb") as tar:
            tar.seek(start)
            return tar.read(size)
    except OSError as error:
        raise DataError(f"{shown(file)}: cannot be read ({error.strerror}).") from error


def _described(place: Place, key: str, content: bytes) -> Mapping[str, object]:
    try:
        described = json.loads(_decoded(place, key, content))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise place.error(f"{key}.json", f"is not valid JSON ({error}); pack it again") from error
    if not isinstance(described, dict):
        raise place.error(f"{key}.json", f"is a JSON {type(described).__name__}, not an object; write it as {{ }}")
    return described


def _decoded(place: Place, key: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise place.error(key, f"has a text that is not UTF-8 ({error.reason}); convert it") from error
