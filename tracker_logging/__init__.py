"""See and hear why zero-shot voice cloning works or fails while it is fine-tuned.

    from tracker_logging import strategic_callbacks

    trainer = Trainer(..., callbacks=strategic_callbacks(processor=processor, report_to=["tensorboard"], every=100))

What is named in `__all__` is the public interface, held by a test; other names may move. Names are imported when they
are asked for, so that `import tracker_logging` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tracker_logging.version import __version__

if TYPE_CHECKING:
    from tracker_logging.config import LoggingConfig
    from tracker_logging.data.formats import read_samples
    from tracker_logging.data.sample import DataError, VoiceSample
    from tracker_logging.events import (
        Alert,
        Audio,
        Clip,
        Event,
        Heatmap,
        Histogram,
        Image,
        Scalars,
        Table,
        Text,
        VoiceComparison,
    )
    from tracker_logging.families import AudioCodec, ModelAdapter, UnknownModelError, adapter_for
    from tracker_logging.families.adapter import BaseAdapter
    from tracker_logging.families.higgs_v2.processor import SpeechProcessor
    from tracker_logging.integrations.hf_session import LoggingSession
    from tracker_logging.integrations.hf_trainer import (
        DoctorCallback,
        InputLoggerCallback,
        OutputLoggerCallback,
        SharedAttentionLoggerCallback,
        StrategicCallback,
        ZeroShotVerificationLoggerCallback,
        strategic_callbacks,
    )
    from tracker_logging.integrations.loop import LoopSession, watch
    from tracker_logging.session.observer import Later, Observer, StepContext, Training
    from tracker_logging.session.session import Loop, Session
    from tracker_logging.trackers.base import Tracker
    from tracker_logging.trackers.jsonl import JsonLinesTracker
    from tracker_logging.trackers.memory import MemoryTracker
    from tracker_logging.trackers.tensorboard import TensorBoardTracker
    from tracker_logging.trackers.wandb import WandbTracker
    from tracker_logging.voices.protocols import (
        CepstrumAnalyser,
        PitchTracker,
        QualityModel,
        SpeakerEncoder,
        SpeechDetector,
        Transcriber,
    )
    from tracker_logging.voices.scorers.choose import ScorerChoice
    from tracker_logging.voices.settings import VoiceSettings

_HOMES = {
    "data.formats": ("read_samples",),
    "families.higgs_v2.processor": ("SpeechProcessor",),
    "data.sample": ("DataError", "VoiceSample"),
    "events": (
        *("Alert", "Audio", "Clip", "Event", "Heatmap", "Histogram"),
        *("Image", "Scalars", "Table", "Text", "VoiceComparison"),
    ),
    "config": ("LoggingConfig",),
    "integrations.hf_session": ("LoggingSession",),
    "integrations.hf_trainer": (
        *("DoctorCallback", "InputLoggerCallback", "OutputLoggerCallback", "SharedAttentionLoggerCallback"),
        *("StrategicCallback", "ZeroShotVerificationLoggerCallback", "strategic_callbacks"),
    ),
    "integrations.loop": ("LoopSession", "watch"),
    "session.observer": ("Later", "Observer", "StepContext", "Training"),
    "session.session": ("Loop", "Session"),
    "families": ("AudioCodec", "ModelAdapter", "UnknownModelError", "adapter_for"),
    "families.adapter": ("BaseAdapter",),
    "trackers.base": ("Tracker",),
    "trackers.jsonl": ("JsonLinesTracker",),
    "trackers.memory": ("MemoryTracker",),
    "trackers.tensorboard": ("TensorBoardTracker",),
    "trackers.wandb": ("WandbTracker",),
    "voices.protocols": (
        *("CepstrumAnalyser", "PitchTracker", "QualityModel"),
        *("SpeakerEncoder", "SpeechDetector", "Transcriber"),
    ),
    "voices.scorers.choose": ("ScorerChoice",),
    "voices.settings": ("VoiceSettings",),
}
_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "Alert",
    "Audio",
    "AudioCodec",
    "BaseAdapter",
    "CepstrumAnalyser",
    "Clip",
    "DataError",
    "DoctorCallback",
    "Event",
    "Heatmap",
    "Histogram",
    "Image",
    "InputLoggerCallback",
    "JsonLinesTracker",
    "Later",
    "LoggingConfig",
    "LoggingSession",
    "Loop",
    "LoopSession",
    "MemoryTracker",
    "ModelAdapter",
    "Observer",
    "OutputLoggerCallback",
    "PitchTracker",
    "QualityModel",
    "Scalars",
    "ScorerChoice",
    "Session",
    "SharedAttentionLoggerCallback",
    "SpeakerEncoder",
    "SpeechDetector",
    "SpeechProcessor",
    "StepContext",
    "StrategicCallback",
    "Table",
    "TensorBoardTracker",
    "Text",
    "Tracker",
    "Training",
    "Transcriber",
    "UnknownModelError",
    "VoiceComparison",
    "VoiceSample",
    "VoiceSettings",
    "WandbTracker",
    "ZeroShotVerificationLoggerCallback",
    "__version__",
    "adapter_for",
    "read_samples",
    "strategic_callbacks",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tracker_logging' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
