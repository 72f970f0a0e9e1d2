"""Which codec lies at a path.

codec = load_codec("checkpoints/higgs-audio-v2-tokenizer")
"""

from __future__ import annotations

from pathlib import Path

from tracker_logging.data.codec import IdentifiedCodec


def load_codec(path: str) -> IdentifiedCodec:
    """The demo's codec from a directory that it was saved to, else `HiggsAudioV2TokenizerModel` from a directory or hub
    name. Raises `DataError` if neither can be loaded."""
    from tracker_logging.demo.world_codec import FILE_NAME, WorldCodec
    from tracker_logging.families.higgs_v2.codec import HiggsCodec

    if (Path(path) / FILE_NAME).is_file():
        return WorldCodec.load(Path(path))
    return HiggsCodec.from_pretrained(path)
