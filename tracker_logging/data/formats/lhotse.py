"""Lhotse cuts, a JSON object per line in `.jsonl` or `.jsonl.gz`, by their documented fields.

    {"id": "a1", "start": 0.5, "duration": 2.1, "type": "MonoCut",
     "supervisions": [{"text": "The target text.", "speaker": "slt", "language": "en"}],
     "recording": {"id": "rec", "sources": [{"type": "file", "channels": [0], "source": "clips/rec.wav"}]}}

A cut is cut out of its recording, in the channel that its supervisions and it name. Its supervisions are joined if they
have one speaker; a cut of several speakers is refused, and so is a recording with `transforms`, which are not applied.
Custom fields are kept. See https://lhotse.readthedocs.io/en/latest/cuts.html.
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
    source, channel = _source_of(record, parts)
    target = record.segment(source, start="start", duration="duration", channel=channel)
    for name in ("type", "features"):
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


def _source_of(record: Record, supervisions: Sequence[Record]) -> tuple[Path, int | None]:
    """The file of the recording with the channel of the speech, and the position of that channel in the file, None
    for all of its channels. Raises `DataError`."""
    if record.get("recording")[1] is None:
        raise record.error("recording", "is missing: the cut has no audio; write cuts with their recordings")
    recording = record.part("recording")
    _check_transforms(recording)
    _, listed = recording.get("sources")
    if not isinstance(listed, list) or not listed:
        raise recording.error("sources", "name no file; save the recordings as files")
    sources = [Record(one, record.place, name=f"recording.sources[{number}]") for number, one in enumerate(listed)]
    of_cut = set(_channels(record, "channel"))
    wanted = of_cut & {channel for part in supervisions for channel in _channels(part, "channel")} or of_cut
    if not wanted and len(sources) > 1:
        raise recording.error("sources", f"are {len(sources)} files, and the cut names no `channel`; add it")
    for source in sources:
        channels = _channels(source, "channels")
        is_one = len(wanted) == 1 and wanted <= set(channels)
        if is_one or not wanted or wanted == set(channels):
            if source.get("type")[1] not in ("file", "url"):
                raise source.error("type", "is not file or url; save the recordings as files")
            clip = source.audio(source.get("source")[1], "source")
            return clip, channels.index(*wanted) if is_one else None
    names = " and ".join(map(str, sorted(wanted)))
    raise recording.error("sources", f"have no file of channel {names} alone; write a cut for each channel")


def _channels(record: Record, name: str) -> tuple[int, ...]:
    """The numbers of channels under `name`. Raises `DataError`."""
    value = record.get(name)[1]
    numbers = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(number, int) for number in numbers):
        raise record.error(name, "is neither a number nor a list of numbers; write the channels so")
    return tuple(numbers)


def _check_transforms(recording: Record) -> None:
    """Raises `DataError` for transforms other than of the sampling rate: the audio is read without them."""
    value = recording.get("transforms")[1]
    for transform in value if isinstance(value, list) else [] if value is None else [value]:
        name = transform.get("name") if isinstance(transform, Mapping) else transform
        if name != "Resample":
            raise recording.error(
                "transforms",
                f"has {str(name)[:40]}, which is not applied; save the cuts with their audio (CutSet.save_audios)",
            )


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
