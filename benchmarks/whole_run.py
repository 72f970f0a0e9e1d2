"""Mean step time of a real Trainer with the callbacks relative to one without, and of its idle steps; without voices.

    python benchmarks/whole_run.py --every 10 --steps 40 --rounds 3

Runs with and without callbacks alternate. The CPU time of the whole process is measured, which includes drawing and
writing on the background thread. Such runs have a noise of a few percent; `observer.py` is more precise.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from workload import SIZES, build_batch, build_model

from tracker_logging import strategic_callbacks

SIZES["5M"] = {
    "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "intermediate_size": 512,
}  # fmt: skip


class StepTimes(TrainerCallback):
    """CPU seconds of each step, from its begin to the begin of the next."""

    def __init__(self) -> None:
        self._marks: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self._marks.append(time.process_time())

    def seconds(self) -> list[float]:
        """Without the first step, which warms up and is always logged."""
        return [after - before for before, after in zip(self._marks, self._marks[1:], strict=False)][1:]


def run(*, steps: int, every: int | None, directory: Path) -> list[float]:
    """CPU seconds of the steps of one run; `every` None: without callbacks."""
    model = build_model("5M", device="cpu", dtype=torch.float32, attention="sdpa")
    rows = build_batch(256, samples=8, device="cpu")
    data = [{name: value[at] for name, value in rows.items()} for at in range(8)] * steps
    times = StepTimes()
    ours: list[TrainerCallback] = []
    if every is not None:
        ours = strategic_callbacks(
            every=every, loggers=("inputs", "outputs", "attention"), budget_pct=100.0, logging_dir=directory
        )
    arguments = TrainingArguments(
        output_dir=str(directory), max_steps=steps, per_device_train_batch_size=8, report_to="none", use_cpu=True,
        save_strategy="no", logging_steps=steps, disable_tqdm=True,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=data, callbacks=[times, *ours]).train()
    return times.seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with_us: list[float] = []
    without: list[float] = []
    idle: list[float] = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as directory:
            without += run(steps=arguments.steps, every=None, directory=Path(directory))
            step_s = run(steps=arguments.steps, every=arguments.every, directory=Path(directory))
            with_us += step_s
            # The time of step n is at n - 2; drawing and writing go on during the step after a logged one.
            idle += [s for at, s in enumerate(step_s) if (at + 2) % arguments.every > 1]
    base = statistics.mean(without)
    print(f"step without us: {base:.3f} CPU-s (standard deviation {statistics.stdev(without):.3f})")
    print(f"N = {arguments.every}: mean step with / without = {statistics.mean(with_us) / base:.4f}")
    print(f"idle steps: median with / without = {statistics.median(idle) / statistics.median(without):.4f}")


if __name__ == "__main__":
    main()
