"""Model families: how each lays out text and audio, and how it speaks."""

from tracker_logging.models.base import (
    IGNORE,
    AudioCodec,
    BatchView,
    GeneratedCodes,
    LayerParts,
    ModelAdapter,
    Prompt,
    Role,
    SamplingSettings,
    Segment,
)
from tracker_logging.models.detect import UnknownModelError, adapter_for, unwrap

__all__ = [
    "IGNORE",
    "AudioCodec",
    "BatchView",
    "GeneratedCodes",
    "LayerParts",
    "ModelAdapter",
    "Prompt",
    "Role",
    "SamplingSettings",
    "Segment",
    "UnknownModelError",
    "adapter_for",
    "unwrap",
]
