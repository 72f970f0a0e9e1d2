"""See and hear why zero-shot voice cloning works or fails while it is fine-tuned.

    from tracker_logging import strategic_callbacks

    trainer = Trainer(..., callbacks=strategic_callbacks(processor=processor, report_to=["tensorboard"], every=100))

Names are imported when they are asked for, so that `import tracker_logging` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tracker_logging.version import __version__

if TYPE_CHECKING:
    from tracker_logging.callbacks.attention import SharedAttentionLoggerCallback
    from tracker_logging.callbacks.doctor import DoctorCallback
    from tracker_logging.callbacks.inputs import InputLoggerCallback
    from tracker_logging.callbacks.outputs import OutputLoggerCallback
    from tracker_logging.callbacks.session import LoggingSession
    from tracker_logging.callbacks.zero_shot import ZeroShotVerificationLoggerCallback
    from tracker_logging.factory import strategic_callbacks

_HOMES = {
    "DoctorCallback": "tracker_logging.callbacks.doctor",
    "InputLoggerCallback": "tracker_logging.callbacks.inputs",
    "LoggingSession": "tracker_logging.callbacks.session",
    "OutputLoggerCallback": "tracker_logging.callbacks.outputs",
    "SharedAttentionLoggerCallback": "tracker_logging.callbacks.attention",
    "ZeroShotVerificationLoggerCallback": "tracker_logging.callbacks.zero_shot",
    "strategic_callbacks": "tracker_logging.factory",
}

__all__ = [
    "DoctorCallback",
    "InputLoggerCallback",
    "LoggingSession",
    "OutputLoggerCallback",
    "SharedAttentionLoggerCallback",
    "ZeroShotVerificationLoggerCallback",
    "__version__",
    "strategic_callbacks",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker_logging' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
