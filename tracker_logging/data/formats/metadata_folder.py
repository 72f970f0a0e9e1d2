"""F4, a directory with `metadata.json`; its `samples` name audio and transcripts beside it.

    {"samples": [{"id": "a1", "audio_file": "a1.wav", "transcript_file": "a1.txt", "ref_audio_file": "ref.wav",
                  "ref_transcript": "What the reference says.", "speaker_id": "slt", "scene": "A quiet room."}]}

`transcript` may stand for `transcript_file`, and `ref_transcript_file` for `ref_transcript`. The path to give is the
directory, or the `metadata.json` in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import search_folders
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.containers import load_json
from tracker_logging.data.formats.record import REFERENCE_TEXT, TARGET_TEXT, Record
from tracker_logging.data.formats.record_file import RecordFormat, RecordSource, Values
from tracker_logging.data.formats.ref_speakers import own_reference
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.data.text_files import read_utf8

METADATA = "metadata.json"
_TEXT = ("transcript", "text", *TARGET_TEXT)


def _fits(values: Values) -> bool:
    return "audio_file" in values


def _sample(record: Record) -> VoiceSample:
    target_text = record.text(*_TEXT) or _written(record, "transcript_file")
    reference = own_reference(record, target_text) or record
    return record.sample(
        reference_text=reference.text(*REFERENCE_TEXT) or _written(reference, "ref_transcript_file"),
        reference_audio=reference.named_audio("ref_audio_file"),
        target_text=target_text,
        target_audio=record.named_audio("audio_file"),
    )


def _written(record: Record, field: str) -> str | None:
    """The text of the file that `field` names."""
    name = record.text(field)
    if name is None:
        return None
    text = read_utf8(record.file(name, field)).strip()
    if not text:
        raise record.error(field, f"names {name!r}, which is empty; write the text into it")
    return text


METADATA_RECORD = RecordFormat("metadata.json", _fits, _sample)


class MetadataFolder(Format):
    """F4, and F5 in the same file."""

    name = "directory with metadata.json"

    def recognises(self, path: Path) -> bool:
        if path.is_dir():
            return (path / METADATA).is_file()
        return path.is_file() and path.name == METADATA

    def open(self, path: Path, shelf: AudioShelf) -> RecordSource:
        file = path / METADATA if path.is_dir() else path
        content = load_json(file)
        samples = content.get("samples") if isinstance(content, Mapping) else content
        if not isinstance(samples, list):
            raise DataError(f"{shown(file)}: holds no list `samples`. Write the samples there.")
        return RecordSource(file, samples, METADATA_RECORD, (METADATA_RECORD,), search_folders(file), shelf)
