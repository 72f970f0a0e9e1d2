"""F8, a manifest of pairs, in JSON Lines, a JSON list, CSV, TSV or parquet.

    {"id": "a1", "ref_audio_path": "ref.wav", "ref_transcript": "What the reference says.",
     "target_audio_path": "target.wav", "target_transcript": "What to say.", "speaker": "slt"}

Also read: `ref_audio`, `reference_audio`, `ref_text`, `reference_text`, `target_audio`, `target_text`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker_logging.data.formats.record import REFERENCE_TEXT, TARGET_TEXT, Record
from tracker_logging.data.formats.record_file import RecordFormat, Values
from tracker_logging.data.formats.writing import with_extra, written_path
from tracker_logging.data.sample import VoiceSample

REFERENCE_AUDIO = ("ref_audio_path", "ref_audio", "reference_audio")
TARGET_AUDIO = ("target_audio_path", "target_audio")
COLUMNS = (
    "id",
    REFERENCE_AUDIO[0],
    REFERENCE_TEXT[0],
    TARGET_AUDIO[0],
    TARGET_TEXT[0],
    "speaker",
    "language",
    "scene",
    "system",
)


def _fits(values: Values) -> bool:
    return any(name in values for name in TARGET_AUDIO)


def _sample(record: Record) -> VoiceSample:
    return record.sample(
        reference_text=record.text(*REFERENCE_TEXT),
        reference_audio=record.named_audio(*REFERENCE_AUDIO),
        target_text=record.text(*TARGET_TEXT),
        target_audio=record.named_audio(*TARGET_AUDIO),
    )


PAIR_MANIFEST = RecordFormat("pair manifest", _fits, _sample)


def manifest_item(sample: VoiceSample, folder: Path) -> dict[str, Any]:
    """`sample` as F8 writes it, in a file of `folder`."""
    reference, target = sample.reference_audio, sample.target_audio
    item = {
        "id": sample.sample_id,
        REFERENCE_AUDIO[0]: None if reference is None else written_path(reference, folder),
        REFERENCE_TEXT[0]: sample.reference_text or None,
        TARGET_AUDIO[0]: None if target is None else written_path(target, folder),
        TARGET_TEXT[0]: sample.target_text,
        **({"system": sample.system_text} if sample.system_text else {}),
    }
    return with_extra(item, sample, sample.extra)
