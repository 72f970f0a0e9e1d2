"""Integrated loudness (ITU-R BS.1770-4) by pyloudnorm."""

from __future__ import annotations

from collections.abc import Callable

from tracker_logging.events import FloatArray
from tracker_logging.metrics.speech import integrated_loudness


def loudness_meter() -> Callable[[FloatArray, int], float]:
    """LUFS of (wave, sample_rate). Raises ImportError without pyloudnorm."""
    import pyloudnorm  # noqa: F401  (missing is to be known before the first clip)

    return integrated_loudness
