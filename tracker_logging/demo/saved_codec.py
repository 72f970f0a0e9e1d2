"""Opens the codec of a demo. Registered under the entry point group `tracker_logging.codecs`, for `load_codec`."""

from __future__ import annotations

from pathlib import Path

from tracker_logging.demo import voice_codec
from tracker_logging.demo.composed import world_codec
from tracker_logging.demo.composed.world_codec import WorldCodec
from tracker_logging.demo.voice_codec import VoiceCodec


def open_saved(path: str) -> WorldCodec | VoiceCodec | None:
    """The codec that is saved in this directory, or None where there is none of a demo."""
    if (Path(path) / voice_codec.FILE_NAME).is_file():
        return VoiceCodec.load(Path(path))
    return WorldCodec.load(Path(path)) if (Path(path) / world_codec.FILE_NAME).is_file() else None
