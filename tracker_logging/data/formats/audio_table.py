"""F9, a table of clips and texts, in parquet, CSV, TSV, JSON Lines or a JSON list.

    audio,transcription,speaker
    clips/a1.wav,What is said.,slt

`audio` (or `file_name`) is a path, or in parquet the bytes of a file: `{"bytes": …, "path": …}`. The text is
`transcription`, `transcript`, `text` or `sentence`. A reference may stand beside it: `ref_audio`, `ref_transcript`.
"""

from __future__ import annotations

from tracker_logging.data.formats.pair_manifest import REFERENCE_AUDIO, TARGET_AUDIO
from tracker_logging.data.formats.record import REFERENCE_TEXT, TARGET_TEXT, Record
from tracker_logging.data.formats.record_file import RecordFormat, Values
from tracker_logging.data.sample import VoiceSample

AUDIO = ("audio", "file_name")
TEXT = ("transcription", "transcript", "text", "sentence", *TARGET_TEXT)


def _fits(values: Values) -> bool:
    return (
        any(name in values for name in AUDIO)
        and any(name in values for name in TEXT)
        and not any(name in values for name in (*TARGET_AUDIO, "messages"))
    )


def audio_table_sample(record: Record) -> VoiceSample:
    """The sample that a row is. Raises `DataError`."""
    return record.sample(
        reference_text=record.text(*REFERENCE_TEXT),
        reference_audio=record.named_audio(*REFERENCE_AUDIO),
        target_text=record.text(*TEXT),
        target_audio=record.named_audio(*AUDIO),
    )


AUDIO_TABLE = RecordFormat("audio table", _fits, audio_table_sample)
