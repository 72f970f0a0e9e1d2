"""The field names that readers know, with their aliases. The first of each is the name that is written."""

from __future__ import annotations

from collections.abc import Mapping

from tracker_logging.data.groups import GROUP
from tracker_logging.data.sample import DataError

SAMPLE_ID = ("sample_id", "id", "utt_id", "utterance_id", "segment_id", "utt")
SPEAKER = ("speaker", "speaker_id", "speaker_name", "spk", "spk_id", "client_id")
LANGUAGE = ("language", "lang", "language_id", "lang_id", "locale")
SCENE = ("scene",)
SYSTEM = ("system", "system_text")
EXTRA = "extra"

REFERENCE_AUDIO = (
    "ref_audio_path",
    "ref_audio",
    "reference_audio",
    "ref_wav",
    "prompt_audio",
    "prompt_wav",
    "context_audio_filepath",  # NeMo
)
REFERENCE_TEXT = ("ref_transcript", "ref_text", "reference_text", "prompt_text", "context_audio_text", "context_text")

# A pair manifest (F8) is one that has a column of these for the target.
TARGET_AUDIO = ("target_audio_path", "target_audio", "target_wav")
TARGET_TEXT = ("target_transcript", "target_text")

# A table of clips (F9).
AUDIO = (
    "audio",
    "file_name",
    "audio_filepath",  # NeMo
    "audio_file",  # F5-TTS
    "audio_path",
    "audio_file_path",
    "audio_file_name",
    "wav_path",
    "wav_file",
    "wav",
    "file_path",
    "filepath",
    "filename",
    "file",
    "path",  # Common Voice
)
TEXT = (
    "transcription",
    "transcript",
    "text",
    "sentence",
    "txt",  # WeNet, CosyVoice
    "normalized_text",
    "normalised_text",
    "text_normalized",
    "raw_text",
    "original_text",
    *TARGET_TEXT,
)

# The roles that `--columns` can give to a column, and the name under which a reader then finds it.
ROLES = {
    "audio": AUDIO[0],
    "text": TEXT[0],
    "speaker": SPEAKER[0],
    "language": LANGUAGE[0],
    "group": GROUP,
    "id": SAMPLE_ID[0],
    "reference_audio": REFERENCE_AUDIO[0],
    "reference_text": REFERENCE_TEXT[0],
}


def parse_columns(text: str) -> dict[str, str]:
    """`audio=wav,text=sentence` as roles to column names; columns of a table without a header are numbers from 1.

    >>> parse_columns("audio=wav_path,text=sentence")
    {'audio': 'wav_path', 'text': 'sentence'}

    Raises `DataError` for an unknown role, and without `audio` and `text`.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    columns = {role.strip(): name.strip() for role, _, name in pairs}
    check_columns(columns)
    return columns


def check_columns(columns: Mapping[str, str]) -> None:
    """Raises `DataError` for an unknown role, an empty name, and without `audio` and `text`."""
    for role, name in columns.items():
        if role not in ROLES or not name:
            raise DataError(f"--columns {role}={name}: not a role with a column. The roles are {', '.join(ROLES)}.")
    if not columns.keys() >= {"audio", "text"}:
        raise DataError("--columns: audio and text are needed. Write it like --columns audio=file,text=sentence.")


KNOWN = frozenset(
    {*SAMPLE_ID, *SPEAKER, *LANGUAGE, *SCENE, *SYSTEM, *REFERENCE_AUDIO, *REFERENCE_TEXT}
    | {*TARGET_AUDIO, *TARGET_TEXT, *AUDIO, *TEXT}
)
