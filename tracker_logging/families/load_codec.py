"""The codec that was saved at a path.

Packages register codecs under the entry point group `tracker_logging.codecs`: a callable that is given the path as a
string and returns an `IdentifiedCodec`, or None if the path does not hold a codec of its kind. The first that returns
a codec is used. A `DataError` that it raises reaches the user; any other failure is logged and the plugin is skipped.
Without a match the path is opened as the codec of Higgs Audio v2, in the transformers-native layout or in boson's.

    codec = load_codec("checkpoints/higgs-audio-v2-tokenizer")
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tracker_logging.data.codec import AudioCodec, IdentifiedCodec
from tracker_logging.data.sample import DataError
from tracker_logging.families.boson.codec import is_original_codec, open_original_codec
from tracker_logging.families.higgs_v2.codec import HiggsCodec
from tracker_logging.families.plugins import CODECS, call_plugin, origin, plugins

logger = logging.getLogger("tracker_logging")


def load_codec(path: str) -> IdentifiedCodec:
    """A registered codec, else that of Higgs Audio v2 from a directory or hub name.

    Raises `DataError` if the path cannot be loaded.
    """
    for entry in plugins(CODECS):
        codec: IdentifiedCodec | None = call_plugin(
            entry, path, check=_reject, instead="Other codecs are tried.", raises=(DataError,)
        )
        if codec is not None:
            logger.info("The codec at %s is opened by '%s', %s.", path, entry.name, origin(entry))
            return codec
    if is_original_codec(Path(path)):
        return open_original_codec(Path(path))
    return HiggsCodec.from_pretrained(path)


def _reject(codec: Any) -> str | None:
    if codec is None or (isinstance(codec, AudioCodec) and hasattr(codec, "identity")):
        return None
    return f"it returned a {type(codec).__name__}, which is no AudioCodec with an `identity`"
