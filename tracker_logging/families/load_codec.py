"""The codec that was saved at a path.

Packages register codecs under the entry point group `tracker_logging.codecs`: a callable that is given the path as a
string and returns an `IdentifiedCodec`, or None if the path does not hold a codec of its kind. The first that returns
a codec is used. A `DataError` that it raises reaches the user; any other failure is logged and the plugin is skipped.
Without a match the path is opened by what its configuration names: a codec class of transformers (DAC, EnCodec, Mimi,
NeuCodec, XCodec2), SNAC or BiCodec by their packages, else as the codec of Higgs Audio v2, in the transformers-native
layout or in boson's. Nothing is downloaded for a directory.

    codec = load_codec("checkpoints/higgs-audio-v2-tokenizer")
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from tracker_logging.data.codec import AudioCodec, IdentifiedCodec
from tracker_logging.data.sample import DataError
from tracker_logging.families.bicodec import BiCodec, is_bicodec
from tracker_logging.families.boson.codec import is_original_codec, open_original_codec
from tracker_logging.families.higgs_v2.codec import HiggsCodec
from tracker_logging.families.model_codec import ModelCodec
from tracker_logging.families.plugins import CODECS, call_plugin, origin, plugins
from tracker_logging.families.semantic_codec import MODEL_TYPES, SemanticCodec
from tracker_logging.families.snac_codec import SnacCodec, is_snac

logger = logging.getLogger("tracker_logging")

_CODEC_CLASSES = frozenset({"dac", "encodec", "mimi"})


def load_codec(path: str) -> IdentifiedCodec:
    """A registered codec, one that the directory's configuration names, or that of Higgs Audio v2 from a hub name too.

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
    if is_snac(Path(path)):
        return SnacCodec.from_directory(path)
    if is_bicodec(Path(path)):
        return BiCodec.from_directory(path)
    if (kind := _model_type(Path(path))) in _CODEC_CLASSES | MODEL_TYPES:
        return _of_transformers(path, kind)
    return HiggsCodec.from_pretrained(path)


def _of_transformers(path: str, kind: str) -> IdentifiedCodec:
    from transformers import AutoModel

    try:
        model = AutoModel.from_pretrained(path, local_files_only=True)
        return SemanticCodec(model) if kind in MODEL_TYPES else ModelCodec(model)
    except (ImportError, OSError, ValueError) as error:
        raise DataError(f"{path}: the codec {kind} cannot be opened ({error}).") from error


def _model_type(path: Path) -> str:
    """The `model_type` of a directory's config.json, or "" without one."""
    try:
        return str(json.loads((path / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _reject(codec: Any) -> str | None:
    if codec is None or (isinstance(codec, AudioCodec) and hasattr(codec, "identity")):
        return None
    return f"it returned a {type(codec).__name__}, which is no AudioCodec with an `identity`"
