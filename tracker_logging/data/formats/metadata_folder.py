"""F4 and F5, a directory with `metadata.json`; its `samples` name audio and transcripts in the directory.

    {"samples": [{"id": "a1", "audio_file": "a1.wav", "transcript_file": "a1.txt", "ref_audio_file": "ref.wav",
                  "ref_transcript": "The reference text.", "speaker_id": "slt", "scene": "A quiet room."}]}

`transcript` may replace `transcript_file`, and `ref_transcript_file` may replace `ref_transcript`. The path to give is
the directory, or the `metadata.json` in it.

F5 has `ref_speakers` in its samples, several voices to choose the reference from:

    {"id": "a1", "audio_file": "a1.wav", "transcript": "[SPEAKER0] The target text.", "ref_speakers": [
        {"speaker_tag": "[SPEAKER0]", "speaker_id": "slt", "ref_audio_file": "r0.wav", "ref_transcript": "By slt."},
        {"speaker_tag": "[SPEAKER1]", "speaker_id": "awb", "ref_audio_file": "r1.wav", "ref_transcript": "By awb."}]}

The reference is the entry whose tag alone is in the text, or that of the sample's `speaker_id`, or the only one. A
dialogue of several voices is refused: one reference would teach the wrong voice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import search_folders
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.columns import REFERENCE_TEXT, SPEAKER, TARGET_TEXT
from tracker_logging.data.formats.containers import load_json
from tracker_logging.data.formats.record import Record
from tracker_logging.data.formats.record_file import RecordFormat, RecordSource, Values
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.data.text_files import read_utf8

METADATA = "metadata.json"
_TEXT = ("transcript", "text", *TARGET_TEXT)


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
            raise DataError(f"{shown(file)}: has no list `samples`. Write the samples there.")
        return RecordSource(file, samples, METADATA_RECORD, (METADATA_RECORD,), search_folders(file), shelf)


def _is_metadata(values: Values) -> bool:
    return "audio_file" in values


def _sample(record: Record) -> VoiceSample:
    target_text = record.text(*_TEXT) or _text_of_file(record, "transcript_file")
    reference = _chosen_reference(record, target_text) or record
    return record.sample(
        reference_text=reference.text(*REFERENCE_TEXT) or _text_of_file(reference, "ref_transcript_file"),
        reference_audio=reference.named_audio("ref_audio_file"),
        target_text=target_text,
        target_audio=record.named_audio("audio_file"),
    )


def _text_of_file(record: Record, field: str) -> str | None:
    """The text of the file that `field` names."""
    name = record.text(field)
    if name is None:
        return None
    text = read_utf8(record.file(name, field)).strip()
    if not text:
        raise record.error(field, f"names {name!r}, which is empty; write the text into it")
    return text


def _chosen_reference(record: Record, target_text: str | None) -> Record | None:
    """The entry of `ref_speakers` whose voice `target_text` is in; None without `ref_speakers`. Raises `DataError`."""
    _, speakers = record.get("ref_speakers")
    if speakers is None or speakers == []:
        return None
    if not isinstance(speakers, list) or not all(isinstance(speaker, Mapping) for speaker in speakers):
        raise record.error("ref_speakers", "is not a list of objects; write one object per voice")
    voices = [Record(speaker, record.place, name=f"ref_speakers[{i}]") for i, speaker in enumerate(speakers)]
    tags = [voice.text("speaker_tag") for voice in voices]
    tagged = [voice for voice, tag in zip(voices, tags, strict=True) if tag and tag in (target_text or "")]
    if len(tagged) > 1:
        raise record.error(
            "ref_speakers", f"gives {len(tagged)} voices of one text; split the dialogue into a sample per speaker"
        )
    speaker_id = record.text(*SPEAKER)
    same_id = [voice for voice in voices if speaker_id is not None and voice.text(*SPEAKER) == speaker_id]
    for candidates in (tagged, same_id, voices):
        if len(candidates) == 1:
            return candidates[0]
    raise record.error("ref_speakers", f"gives {len(voices)} voices; name the target's voice in `speaker_id`")


METADATA_RECORD = RecordFormat("metadata.json", _is_metadata, _sample)
