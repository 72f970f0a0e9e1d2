"""Throughput, time spent waiting for data, and peak memory; reported at logged steps.

pace = Pace()
pace.step_begins(), pace.step_ended()       # at every step: one clock read each
pace.scalars(snapshot, seconds=0.8, frame_rate=25.0)
"""

from __future__ import annotations

import sys
import time

import torch

from tracker_logging import tags
from tracker_logging.probes.snapshot import StepSnapshot


class Pace:
    """Adds up the time between the end of a step (or of the evaluation or saving after it) and the next step.

    In this time the loop only waits for its next batch. A GPU may still be computing, so on a GPU the share is an
    upper bound of its idle time.
    """

    def __init__(self) -> None:
        self._waited_s = 0.0
        self._window_began: float | None = None
        self._free_since: float | None = None

    def step_begins(self) -> None:
        """The batch has arrived."""
        now = time.perf_counter()
        if self._free_since is not None:
            self._waited_s += now - self._free_since
            self._free_since = None
        elif self._window_began is None:
            self._window_began = now

    def step_ended(self) -> None:
        """From here on the loop waits for the next batch."""
        self._free_since = time.perf_counter()

    def scalars(self, snapshot: StepSnapshot, *, seconds: float, frame_rate: float | None) -> dict[str, float]:
        """Scalars of a logged step that took `seconds`; audio seconds need the codec's `frame_rate` in Hz.

        Waiting is counted since the last call; the first call reports none.
        """
        values = {
            tags.TOKENS_PER_S(): snapshot.tokens_seen / seconds,
            tags.PEAK_MEMORY(): peak_memory_gib(),
        }
        if snapshot.batch.codes.shape[-1]:
            values[tags.FRAMES_PER_S()] = snapshot.frames_seen / seconds
        if frame_rate is not None:
            values[tags.AUDIO_PER_S()] = snapshot.frames_seen / frame_rate / seconds
        now = time.perf_counter()
        if self._waited_s > 0.0 and self._window_began is not None:
            values[tags.DATA_WAIT()] = 100.0 * self._waited_s / (now - self._window_began)
        self._waited_s, self._window_began = 0.0, now
        return values


def peak_memory_gib() -> float:
    """Peak memory in GiB since the process started: of the tensors on the GPU, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)  # bytes on macOS, KiB elsewhere
