"""Model families: how each lays out text and audio, and how it generates audio."""

from tracker_logging.data.codec import AudioCodec
from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import (
    COMPONENTS,
    IGNORE,
    AudioHead,
    BatchView,
    GeneratedCodes,
    LayerParts,
    ModelAdapter,
    Processor,
    Prompt,
    Role,
    SamplingSettings,
    Segment,
)
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.detect import UnknownModelError, adapter_for, unwrap
from tracker_logging.families.samples import BaseProcessor

__all__ = [
    "COMPONENTS",
    "IGNORE",
    "AudioCodec",
    "AudioHead",
    "BaseAdapter",
    "BaseProcessor",
    "BatchView",
    "CodePattern",
    "GeneratedCodes",
    "LayerParts",
    "ModelAdapter",
    "Processor",
    "Prompt",
    "Role",
    "SamplingSettings",
    "Segment",
    "UnknownModelError",
    "adapter_for",
    "unwrap",
]
