"""Model families: how each lays out text and audio, and how it speaks."""

from tracker_logging.models.adapter import BaseAdapter
from tracker_logging.models.base import (
    COMPONENTS,
    IGNORE,
    AudioCodec,
    AudioHead,
    BatchView,
    GeneratedCodes,
    LayerParts,
    ModelAdapter,
    Prompt,
    Role,
    SamplingSettings,
    Segment,
)
from tracker_logging.models.delay_pattern import CodePattern
from tracker_logging.models.detect import UnknownModelError, adapter_for, unwrap

__all__ = [
    "COMPONENTS",
    "IGNORE",
    "AudioCodec",
    "AudioHead",
    "BaseAdapter",
    "BatchView",
    "CodePattern",
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
