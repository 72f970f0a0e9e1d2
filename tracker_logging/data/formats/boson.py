"""F2, the `ChatMLSample` of boson_multimodal: turn by turn, the reference in an earlier turn of the assistant.

    {"messages": [
        {"role": "system", "content": "Generate audio.\\n\\n<|scene_desc_start|>…<|scene_desc_end|>"},
        {"role": "user", "content": "What the reference says.", "recipient": null},
        {"role": "assistant", "content": {"type": "audio", "audio_url": "ref.wav", "raw_audio": null}},
        {"role": "user", "content": "What to say."},
        {"role": "assistant", "content": [{"type": "audio", "audio_url": "target.wav"}]}],
      "start_index": 3, "speaker": "belinda", "misc": null}

`content` is text, one part, or a list of texts and parts. `raw_audio` is base64 of an audio file; it goes before
`audio_url`, which upstream then sets to "placeholder".
"""

from __future__ import annotations

from tracker_logging.data.formats.conversation import conversation_sample, seen_audio
from tracker_logging.data.formats.record_file import RecordFormat, Values


def _fits(values: Values) -> bool:
    audio = list(seen_audio(values))
    keyed = all("audio_url" in part or "raw_audio" in part for _, part in audio)
    return bool(audio) and keyed and all(role != "user" for role, _ in audio) and "audios" not in values


BOSON = RecordFormat("boson ChatMLSample", _fits, conversation_sample)
