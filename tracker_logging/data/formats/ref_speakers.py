"""F5, `ref_speakers` in the samples of F4: several voices to choose the reference from.

    {"id": "a1", "audio_file": "a1.wav", "transcript": "[SPEAKER0] What to say.", "ref_speakers": [
        {"speaker_tag": "[SPEAKER0]", "speaker_id": "slt", "ref_audio_file": "r0.wav", "ref_transcript": "By slt."},
        {"speaker_tag": "[SPEAKER1]", "speaker_id": "awb", "ref_audio_file": "r1.wav", "ref_transcript": "By awb."}]}

A sample here has one voice. The reference is the only one given, or the one whose tag alone is in the text, or the one
of the sample's `speaker_id`. A dialogue of several voices is refused: one reference would teach the wrong voice.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracker_logging.data.formats.record import SPEAKER, Record


def own_reference(record: Record, target_text: str | None) -> Record | None:
    """The entry of `ref_speakers` whose voice speaks `target_text`; None without `ref_speakers`. Raises `DataError`."""
    _, speakers = record.get("ref_speakers")
    if speakers is None or speakers == []:
        return None
    if not isinstance(speakers, list) or not all(isinstance(one, Mapping) for one in speakers):
        raise record.error("ref_speakers", "is not a list of objects; write one per voice")
    voices = [Record(one, record.place, name=f"ref_speakers[{index}]") for index, one in enumerate(speakers)]
    tags = [voice.text("speaker_tag") for voice in voices]
    speaking = [voice for voice, tag in zip(voices, tags, strict=True) if tag and tag in (target_text or "")]
    if len(speaking) > 1:
        raise record.error(
            "ref_speakers", f"gives {len(speaking)} voices of one text; split the dialogue into a sample per speaker"
        )
    named = record.text(*SPEAKER)
    by_name = [voice for voice in voices if named is not None and voice.text(*SPEAKER) == named]
    for candidates in (speaking, by_name, voices):
        if len(candidates) == 1:
            return candidates[0]
    raise record.error("ref_speakers", f"gives {len(voices)} voices; name the one that speaks in `speaker_id`")
