"""How fast training goes and how much memory it takes, measured at logged steps."""

from __future__ import annotations

import sys

import torch

from tracker_logging import tags
from tracker_logging.probes.snapshot import StepSnapshot


def throughput(snapshot: StepSnapshot, *, seconds: float, frame_rate: float | None) -> dict[str, float]:
    """Scalars of a logged step that took `seconds`; audio seconds need the codec's `frame_rate` in Hz."""
    values = {
        tags.TOKENS_PER_S(): snapshot.tokens_seen / seconds,
        tags.FRAMES_PER_S(): snapshot.frames_seen / seconds,
        tags.PEAK_MEMORY(): peak_memory_gib(),
    }
    if frame_rate is not None:
        values[tags.AUDIO_PER_S()] = snapshot.frames_seen / frame_rate / seconds
    return values


def peak_memory_gib() -> float:
    """Most memory held at once since the process began: by tensors on the GPU, else by the process. GiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)  # bytes on macOS, KiB elsewhere
