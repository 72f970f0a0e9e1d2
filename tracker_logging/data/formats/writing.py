"""What the formats that can be written have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker_logging.data.formats.record import (
    EXTRA,
    LANGUAGE,
    REFERENCE_TEXT,
    SAMPLE_ID,
    SCENE,
    SPEAKER,
    SYSTEM,
    TARGET_TEXT,
)
from tracker_logging.data.sample import VoiceSample

# Names that the reader of some format takes for its own: as unknown keys they are written below `extra`.
READ = frozenset(
    {*SAMPLE_ID, *SPEAKER, *LANGUAGE, *SCENE, *SYSTEM, *REFERENCE_TEXT, *TARGET_TEXT, EXTRA}
    | {"messages", "conversation", "misc", "audios", "audio", "file_name", "audio_file", "ref_speakers"}
    | {"ref_audio_path", "ref_audio", "reference_audio", "target_audio_path", "target_audio"}
    | {"transcription", "transcript", "text", "sentence"}
)


def written_path(path: Path, folder: Path) -> str:
    """`path` as a file of `folder` names it: relative where it lies below, else absolute."""
    absolute, base = Path.cwd() / path, folder.resolve()
    for one in (Path(os.path.normpath(absolute)), absolute.resolve()):
        if one.is_relative_to(base):
            return one.relative_to(base).as_posix()
    return str(absolute)


def with_extra(item: Mapping[str, Any], sample: VoiceSample, extra: Mapping[str, object]) -> dict[str, Any]:
    """`item` with the names that every format reads, and with `extra`."""
    named = {"speaker": sample.speaker, "language": sample.language, "scene": sample.scene}
    beside = {name: value for name, value in extra.items() if name not in READ}
    below = {name: value for name, value in extra.items() if name in READ}
    whole = dict(item) | {name: value for name, value in named.items() if value is not None} | beside
    return whole | ({EXTRA: below} if below else {})
