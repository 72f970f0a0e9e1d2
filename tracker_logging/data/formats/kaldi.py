"""Kaldi and ESPnet data directories: `wav.scp` and `text`, with `utt2spk`, `utt2lang` and `segments` if they exist.

    wav.scp     rec1 clips/rec1.wav
    text        utt1 The target text.
    utt2spk     utt1 slt
    segments    utt1 rec1 0.50 3.20

Without `segments` the utterance is the recording of the same name. A line of it may end with the number of a channel,
from 0 as in Kaldi's `extract-segments`. Of the commands in `wav.scp` those that only decode
a file are read as the file (`flac -c -d -s clips/rec1.flac |`, `cat clips/rec1.wav |`); nothing is run. Others are
refused, and so are positions in an archive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import search_folders
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.manifests import audio_table_sample
from tracker_logging.data.formats.record import Place, Record
from tracker_logging.data.formats.slices import check_count
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.data.text_files import read_utf8

MAX_FILE_BYTES = 200_000_000

_FIELDS = {"utt2spk": "speaker", "utt2lang": "language"}
_TO_THE_END = -1  # as an end in segments
_DECODED = re.compile(r"(?:cat|flac(?:\s+-(?:c|d|s|cd|dc|cds|dcs|-\w+))+)\s+([^\s|-]\S*)\s*\|")
_ARCHIVE = re.compile(r"\.ark(?::\d+)?$|:\d+$")


class KaldiFolder(Format):
    name = "Kaldi data directory"

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and (path / "wav.scp").is_file() and (path / "text").is_file()

    def open(self, path: Path, shelf: AudioShelf) -> KaldiSource:
        files = {name: _table(path / name) for name in ("wav.scp", "text", "segments", *_FIELDS)}
        ids = tuple(files["text"])
        check_count(path, len(ids))
        return KaldiSource(path / "text", ids, files, search_folders(path / "text"), shelf)


@dataclass(frozen=True, slots=True)
class KaldiSource:
    """Sample i is utterance `ids[i]`. `files`: the tables of the directory by name."""

    path: Path
    ids: tuple[str, ...]
    files: Mapping[str, Mapping[str, str]]
    folders: tuple[Path, ...]
    shelf: AudioShelf

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int, /) -> VoiceSample:
        utterance = self.ids[index]
        place = Place(self.path, index, self.folders, self.shelf)
        values: dict[str, object] = {"id": utterance, "text": self.files["text"][utterance]}
        recording, channel = utterance, None
        if self.files["segments"]:
            line = self.files["segments"].get(utterance, "")
            recording, start, end, channel = _segment(line, utterance, place)
            values |= {"offset": start, "duration": None if end == _TO_THE_END else end - start}
        audio = self.files["wav.scp"].get(recording, "")
        if decoded := _DECODED.fullmatch(audio):
            audio = decoded[1]
        if audio.endswith("|") or _ARCHIVE.search(audio):
            kind = "a command" if audio.endswith("|") else "a position in an archive"
            raise place.error(utterance, f"is {kind} in wav.scp ({audio[:60]!r}); write the audio to files")
        values["audio"] = audio
        for name, field in _FIELDS.items():
            values[field] = self.files[name].get(utterance)
        if not audio:
            raise place.error(utterance, f"has no line {recording!r} in wav.scp; add it")
        return audio_table_sample(Record(values, place), channel=channel)


def _segment(line: str, utterance: str, place: Place) -> tuple[str, float, float, int | None]:
    """Recording, start and end in seconds, and channel in the `line` of an utterance. Raises `DataError`."""
    recording, *times = line.split()[:3] or [""]
    rest = line.split()[3:]
    if len(times) != 2 or len(rest) > 1:
        raise place.error(utterance, "has no line `recording start end [channel]` in segments; correct it")
    if rest and not rest[0].isdecimal():
        raise place.error(utterance, f"has the channel {rest[0]!r} in segments; write its number, from 0")
    try:
        start, end = map(float, times)
    except ValueError as error:
        raise place.error(utterance, f"has times in segments that are not numbers ({error}); correct them") from error
    return recording, start, end, int(rest[0]) if rest else None


def _table(path: Path) -> dict[str, str]:
    """Lines `KEY VALUE` of `path`; empty if there is no such file. Raises `DataError`."""
    if not path.is_file():
        return {}
    rows: dict[str, str] = {}
    for line in read_utf8(path, max_bytes=MAX_FILE_BYTES).split("\n"):
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        if key in rows:
            raise DataError(f"{shown(path)}: {key!r} has two lines. Remove one.")
        if key:
            rows[key] = value.strip()
    return rows
