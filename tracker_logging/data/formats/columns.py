"""The field names that readers know, with their aliases. The first of each is the name that is written."""

from __future__ import annotations

SAMPLE_ID = ("sample_id", "id", "utt_id", "utterance_id", "segment_id")
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
TARGET_AUDIO = ("target_audio_path", "target_audio")
TARGET_TEXT = ("target_transcript", "target_text")

# A table of clips (F9).
AUDIO = (
    "audio",
    "file_name",
    "audio_filepath",  # NeMo
    "audio_file",  # F5-TTS
    "audio_path",
    "audio_file_path",
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
    "normalized_text",
    "normalised_text",
    "text_normalized",
    "raw_text",
    "original_text",
    *TARGET_TEXT,
)

KNOWN = frozenset(
    {*SAMPLE_ID, *SPEAKER, *LANGUAGE, *SCENE, *SYSTEM, *REFERENCE_AUDIO, *REFERENCE_TEXT}
    | {*TARGET_AUDIO, *TARGET_TEXT, *AUDIO, *TEXT}
)
