"""Lhotse cuts, a JSON object per line in `.jsonl` or `.jsonl.gz`, by their documented fields.

    {"id": "a1", "start": 0.5, "duration": 2.1, "type": "MonoCut",
     "supervisions": [{"text": "The target text.", "speaker": "slt", "language": "en"}],
     "recording": {"id": "rec", "sources": [{"type": "file", "channels": [0], "source": "clips/rec.wav"}]}}

A cut is cut out of its recording. Its supervisions are joined if they have one speaker; a cut of several speakers is
refused. Custom fields are kept. See https://lhotse.readthedocs.io/en/latest/cuts.html.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf, default_cache
from tracker_logging.data.find_file import search_folders
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.containers import peek
from tracker_logging.data.formats.json_files import JsonLines
from tracker_logging.data.formats.record import Record
from tracker_logging.data.formats.record_file import RecordFormat, RecordSource, Values, best_fit
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.whole_file import whole_file

MAX_UNPACKED_BYTES = 4_000_000_000

_CHUNK = 1 << 20


def _is_cut(values: Values) -> bool:
    tracks = values.get("tracks")
    if isinstance(tracks, list):
        return any(isinstance(track, Mapping) and "cut" in track for track in tracks)
    return isinstance(values.get("supervisions"), list) and (
        isinstance(values.get("recording"), Mapping) or values.keys() >= {"start", "duration", "channel"}
    )


def _sample(record: Record) -> VoiceSample:
    if record.get("tracks")[1] is not None:
        raise record.error("tracks", "is a mix of cuts; save the mix as audio with its own cut")
    _, supervisions = record.get("supervisions")
    if not isinstance(supervisions, list) or not all(isinstance(part, Mapping) for part in supervisions):
        raise record.error("supervisions", "is not a list of objects; write one per text")
    parts = [Record(part, record.place, name=f"supervisions[{number}]") for number, part in enumerate(supervisions)]
    speakers = {part.text("speaker") for part in parts}
    if len(speakers) > 1:
        raise record.error("supervisions", f"has {len(speakers)} speakers; cut the recording by supervision")
    texts = [text for part in parts if (text := part.text("text"))]
    if not texts:
        raise record.error("supervisions", "have no text; add the text of the recording")
    source = _source_of(record)
    target = record.segment(source, start="start", duration="duration")
    for name in ("type", "channel", "features"):
        record.get(name)
    languages = [part.text("language") for part in parts]
    return record.sample(
        reference_text=None,
        reference_audio=None,
        target_text=" ".join(texts),
        target_audio=target,
        language=next(iter(languages), None),
        speaker=next(iter(speakers), None),
    )


def _source_of(record: Record) -> Path:
    """The file of the recording. Raises `DataError`."""
    if record.get("recording")[1] is None:
        raise record.error("recording", "is missing: the cut has no audio; write cuts with their recordings")
    recording = record.part("recording")
    _, sources = recording.get("sources")
    first = sources[0] if isinstance(sources, list) and sources else None
    if not isinstance(first, Mapping) or first.get("type") not in ("file", "url"):
        raise record.error("recording.sources", "names no file; save the recordings as files")
    return record.audio(first.get("source"), "recording.sources[0].source")


LHOTSE = RecordFormat("Lhotse cuts", _is_cut, _sample)


class CompressedLines(Format):
    """`.jsonl.gz` of any record format, unpacked once into the audio cache."""

    name = "compressed JSON Lines"

    def __init__(self, among: Sequence[RecordFormat]) -> None:
        self._among = among

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.name.lower().endswith((".jsonl.gz", ".json.gz"))

    def open(self, path: Path, shelf: AudioShelf) -> RecordSource:
        unpacked = _unpacked(path, shelf.directory or default_cache())
        chosen = best_fit(peek(unpacked, 16), self._among)
        if chosen is None:
            raise DataError(f"{shown(path)}: its lines are in no known format. See docs/data.md.")
        return RecordSource(path, JsonLines(unpacked), chosen, self._among, search_folders(path), shelf)


def _unpacked(path: Path, cache: Path) -> Path:
    """`path` without compression, in the cache. Raises `DataError`."""
    status = path.stat()
    key = hashlib.sha256(repr((str(path.resolve()), status.st_mtime_ns, status.st_size)).encode()).hexdigest()
    place = cache / key[:2] / f"{key[2:34]}.jsonl"
    if place.is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    try:
        with gzip.open(path) as packed, whole_file(place) as part, part.open("wb") as file:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > MAX_UNPACKED_BYTES:
                    raise DataError(
                        f"{shown(path)}: more than {MAX_UNPACKED_BYTES / 1e9:g} GB unpacked. Unpack and split it."
                    )
                file.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{shown(path)}: cannot be unpacked ({error}). Write it again.") from error
    return place
