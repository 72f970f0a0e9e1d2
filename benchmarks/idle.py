"""Cost of the callbacks in a step that is not logged, in microseconds per step.

python benchmarks/idle.py
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from tracker_logging import strategic_callbacks

STEPS = 100_000
EVENTS = ("on_step_begin", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end")


def microseconds(callbacks: list[TrainerCallback]) -> float:
    """Microseconds of one idle step: the four events of all callbacks."""
    state, control, arguments = TrainerState(), TrainerControl(), SimpleNamespace()
    state.global_step = 50
    handlers = [getattr(callback, event) for event in EVENTS for callback in callbacks]
    start = time.perf_counter()
    for _ in range(STEPS):
        for handler in handlers:
            handler(arguments, state, control, model=None, optimizer=None)
    return (time.perf_counter() - start) / STEPS * 1e6


def main() -> None:
    model = torch.nn.Linear(1, 1)
    ours = strategic_callbacks(report_to=(), every=100, adapter=None, loggers=())
    begin = SimpleNamespace(process_index=0, world_size=1, torch_compile=False, average_tokens_across_devices=False,
                            eval_on_start=False, output_dir="outputs/benchmarks")  # fmt: skip
    state = TrainerState()
    state.global_step = 50
    for callback in ours:
        callback.on_train_begin(begin, state, TrainerControl(), model=model)
    empty = [TrainerCallback() for _ in ours]
    with_us, without = microseconds(ours), microseconds(empty)
    print(f"{len(ours)} callbacks: {with_us:.2f} µs per idle step, {without:.2f} µs for as many empty ones")


if __name__ == "__main__":
    main()
