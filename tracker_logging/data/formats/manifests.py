"""Manifests: one row per clip or per pair, with named fields, in JSON Lines, a JSON list, CSV, TSV or parquet.

F8, a manifest of pairs:

    {"id": "a1", "ref_audio_path": "ref.wav", "ref_transcript": "The reference text.",
     "target_audio_path": "target.wav", "target_transcript": "The target text.", "speaker": "slt"}

Also read: `ref_audio`, `reference_audio`, `ref_text`, `reference_text`, `target_audio`, `target_text`.

F9, a table of clips and texts; a reference may stand in the same row, named as in F8:

    audio,transcription,speaker
    clips/a1.wav,The target text.,slt

`audio` is a path, or in parquet the bytes of a file: `{"bytes": …, "path": …}`. The names that other projects use for
audio, text, speaker and reference are read too (`columns.py`): the manifests of NeMo, F5-TTS and Common Voice, and
Hugging Face datasets, are tables of this kind. A row without a column for the text of its reference, as in manifests of
Qwen3-TTS (`audio`, `text`, `ref_audio`), has its reference in the system message, without a text.
"""

from __future__ import annotations

from tracker_logging.data.formats.columns import (
    AUDIO,
    REFERENCE_AUDIO,
    REFERENCE_TEXT,
    TARGET_AUDIO,
    TARGET_TEXT,
    TEXT,
)
from tracker_logging.data.formats.record import Record
from tracker_logging.data.formats.record_file import RecordFormat, Values
from tracker_logging.data.sample import VoiceSample

_OF_OTHERS = (*TARGET_AUDIO, "messages")


def _is_pair_manifest(values: Values) -> bool:
    return not values.keys().isdisjoint(TARGET_AUDIO)


def _pair_sample(record: Record) -> VoiceSample:
    record.refuse_offset()
    return record.sample(
        reference_text=record.text(*REFERENCE_TEXT),
        reference_audio=record.named_audio(*REFERENCE_AUDIO),
        target_text=record.text(*TARGET_TEXT),
        target_audio=record.named_audio(*TARGET_AUDIO),
    )


def _is_audio_table(values: Values) -> bool:
    names = values.keys()
    return not names.isdisjoint(AUDIO) and not names.isdisjoint(TEXT) and names.isdisjoint(_OF_OTHERS)


def audio_table_sample(record: Record, *, channel: int | None = None) -> VoiceSample:
    """The sample of a row; `offset` and `duration` in seconds (NeMo) name a part of the recording, of one `channel`
    (from 0) or of all. Raises `DataError`."""
    target_audio = record.named_audio(*AUDIO)
    if target_audio is not None and record.get("offset")[1] is not None:
        target_audio = record.segment(target_audio, start="offset", duration="duration", channel=channel)
    has_text = any(record.has(name) for name in REFERENCE_TEXT)
    return record.sample(
        reference_text=record.text(*REFERENCE_TEXT),
        reference_audio=record.named_audio(*REFERENCE_AUDIO),
        target_text=record.text(*TEXT),
        target_audio=target_audio,
        references_in="turns" if has_text else "system",
    )


PAIR_MANIFEST = RecordFormat("pair manifest", _is_pair_manifest, _pair_sample)
AUDIO_TABLE = RecordFormat("audio table", _is_audio_table, audio_table_sample)
