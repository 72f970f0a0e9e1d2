"""Interleaved timing: A B C A B C …, and ratios of medians.

On a CPU this is the CPU time of the process, which other processes disturb far less than wall time. On an accelerator
it is the wall time between two synchronisations.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.hooks import Hooks


def interleaved(variants: Mapping[str, Callable[[], object]], *, repeats: int, device: str) -> dict[str, list[float]]:
    """Seconds of each variant, `repeats` times, after one warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(repeats + 1):
        for name, run in variants.items():
            spent = timed(run, device=device)
            if turn:
                seconds[name].append(spent)
    return seconds


def timed(run: Callable[[], object], *, device: str) -> float:
    """Seconds of one call."""
    if device == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def median(seconds: list[float]) -> float:
    return statistics.median(seconds)


@contextmanager
def probe_time() -> Iterator[dict[str, float]]:
    """CPU seconds inside the probes by part, while the body runs, without the noise of the step.

    The time of a part that runs inside another part counts for the inner one only.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    stack: list[list[float]] = []

    def counting(part: str, run: Callable[[], object]) -> object:
        start = time.process_time()
        stack.append([0.0])
        try:
            return run()
        finally:
            whole, inner = time.process_time() - start, stack.pop()[0]
            spent[part] += whole - inner
            if stack:
                stack[-1][0] += whole

    def wrapped(method: Callable[..., object], name: str) -> Callable[..., object]:
        def call(self: object, *args: object, **kwargs: object) -> object:
            part = str(args[0]) if name.startswith("run") else name
            return counting(part, lambda: method(self, *args, **kwargs))

        return call

    places = [
        (Hooks, "run"),
        (Hooks, "run_in_step"),
        *((StepCapture, name) for name in ("attach", "before_update", "after_update", "snapshot")),
    ]
    originals = [getattr(owner, name) for owner, name in places]
    for (owner, name), method in zip(places, originals, strict=True):
        setattr(owner, name, wrapped(method, name))
    try:
        yield spent
    finally:
        for (owner, name), method in zip(places, originals, strict=True):
            setattr(owner, name, method)
