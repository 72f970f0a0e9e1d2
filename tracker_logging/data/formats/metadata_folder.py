"""F4 and F5, a directory with `metadata.json`; its `samples` name audio and transcripts in the directory.

    {"samples": [{"id": "a1", "audio_file": "a1.wav", "transcript_file": "a1.txt", "ref_audio_file": "ref.wav",
                  "ref_transcript": "The reference text.", "speaker_id": "slt", "scene": "A quiet room."}]}

`transcript` may replace `transcript_file`, and `ref_transcript_file` may replace `ref_transcript`. The path to give is
the directory, or the `metadata.json` in it. A file of that name whose samples have no `audio_file` is
read as any other.

F5 has `ref_speakers` in its samples, several voices to choose the reference from:

    {"id": "a1", "audio_file": "a1.wav", "transcript": "[SPEAKER0] The target text.", "ref_speakers": [
        {"speaker_tag": "[SPEAKER0]", "speaker_id": "slt", "ref_audio_file": "r0.wav", "ref_transcript": "By slt."},
        {"speaker_tag": "[SPEAKER1]", "speaker_id": "awb", "ref_audio_file": "r1.wav", "ref_transcript": "By awb."}]}

The reference is the entry whose tag alone is in the text, or that of the sample's `speaker_id`, or the only one. A text
with several tags is a dialogue: every tagged voice is a reference. With `"ref_audio_in_system_message": true` in a
sample its references stand in the system message, without their texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import search_folders
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.columns import REFERENCE_TEXT, SPEAKER, TARGET_TEXT
from tracker_logging.data.formats.containers import Container, container_of, load_json, open_records, peek
from tracker_logging.data.formats.record import Record
from tracker_logging.data.formats.record_file import RecordFormat, RecordSource, Values
from tracker_logging.data.sample import DataError, Utterance, VoiceSample, shown
from tracker_logging.data.text_files import read_utf8
from tracker_logging.data.voices import voices_in

METADATA = "metadata.json"
_LOOKED_AT = 16
_TEXT = ("transcript", "text", *TARGET_TEXT)


class MetadataFolder(Format):
    """F4, and F5 in the same file."""

    name = "directory with metadata.json"

    def recognises(self, path: Path) -> bool:
        file = path / METADATA if path.is_dir() else path
        if file.name != METADATA or not file.is_file():
            return False
        try:
            samples = first_samples(file)
        except DataError:  # `open` says what is wrong with it
            return True
        return samples == [] or any(isinstance(each, Mapping) and "audio_file" in each for each in samples or ())

    def open(self, path: Path, shelf: AudioShelf) -> RecordSource:
        file = path / METADATA if path.is_dir() else path
        content = load_json(file) if container_of(file) is Container.JSON_OBJECT else {"samples": open_records(file)}
        samples = content.get("samples") if isinstance(content, Mapping) else None
        if not isinstance(samples, Sequence) or isinstance(samples, str):
            raise DataError(f"{shown(file)}: has no list `samples`. Write the samples there.")
        return RecordSource(file, samples, METADATA_RECORD, (METADATA_RECORD,), search_folders(file), shelf)


def first_samples(file: Path) -> list[object] | None:
    """The first samples of a file called `metadata.json`: none where they cannot be read, None for an object without
    `samples`. Raises `DataError`."""
    if container_of(file) is not Container.JSON_OBJECT:
        return peek(file, _LOOKED_AT)
    content = load_json(file)
    if not isinstance(content, Mapping) or "samples" not in content:
        return None
    samples = content["samples"]
    return samples[:_LOOKED_AT] if isinstance(samples, list) else []


def _is_metadata(values: Values) -> bool:
    return "audio_file" in values


def _sample(record: Record) -> VoiceSample:
    record.refuse_offset()
    target_text = record.text(*_TEXT) or _text_of_file(record, "transcript_file")
    in_system = record.get("ref_audio_in_system_message")[1] is True
    first, *more = (_reference(voice, tag, in_system) for voice, tag in _chosen_references(record, target_text))
    return record.sample(
        reference_text=first.text,
        reference_audio=first.audio,
        target_text=target_text,
        target_audio=record.named_audio("audio_file"),
        more_references=more,
        references_in="system" if in_system else "turns",
    )


def _reference(voice: Record, tag: str, in_system: bool) -> Utterance:
    """A reference, with `tag` before its text. Raises `DataError` for a voice of a dialogue without clip or text."""
    text = voice.text(*REFERENCE_TEXT) or _text_of_file(voice, "ref_transcript_file")
    audio = voice.named_audio("ref_audio_file")
    if tag and (audio is None or (text is None and not in_system)):
        raise voice.error("ref_audio_file", "or `ref_transcript` is missing; each voice of a dialogue needs both")
    return Utterance("" if in_system else f"{tag} {text or ''}".strip(), audio)


def _text_of_file(record: Record, field: str) -> str | None:
    """The text of the file that `field` names."""
    name = record.text(field)
    if name is None:
        return None
    text = read_utf8(record.file(name, field)).strip()
    if not text:
        raise record.error(field, f"names {name!r}, which is empty; write the text into it")
    return text


def _chosen_references(record: Record, target_text: str | None) -> list[tuple[Record, str]]:
    """The voices of `target_text`, each with the tag that its own text gets: none for a single voice. The record itself
    without `ref_speakers`. Raises `DataError`."""
    _, speakers = record.get("ref_speakers")
    if speakers is None or speakers == []:
        return [(record, "")]
    if not isinstance(speakers, list) or not all(isinstance(speaker, Mapping) for speaker in speakers):
        raise record.error("ref_speakers", "is not a list of objects; write one object per voice")
    voices = [Record(speaker, record.place, name=f"ref_speakers[{i}]") for i, speaker in enumerate(speakers)]
    tags = [voice.text("speaker_tag") for voice in voices]
    tagged = [(voice, tag) for voice, tag in zip(voices, tags, strict=True) if tag and tag in (target_text or "")]
    if len(tagged) > 1:
        if unknown := [tag for _, tag in tagged if not voices_in(tag)]:
            raise record.error("ref_speakers", f"tags a voice {unknown[0]!r}; write [SPEAKER0], [SPEAKER1], …")
        return sorted(tagged, key=lambda voice: voices_in(voice[1]))
    speaker_id = record.text(*SPEAKER)
    same_id = [voice for voice in voices if speaker_id is not None and voice.text(*SPEAKER) == speaker_id]
    for candidates in ([voice for voice, _ in tagged], same_id, voices):
        if len(candidates) == 1:
            return [(candidates[0], "")]
    raise record.error("ref_speakers", f"gives {len(voices)} voices; name the target's voice in `speaker_id`")


METADATA_RECORD = RecordFormat("metadata.json", _is_metadata, _sample)
