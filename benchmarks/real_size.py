"""Cost of logging at full size: the 3B shape with random weights in bf16, in a real Trainer on a GPU.

    python benchmarks/real_size.py                          # skipped with a message without a GPU
    python benchmarks/real_size.py --device cpu --size 57M --length 256 --kernels sdpa     # to try the script

For each kernel: ten steps of 2 × 2,048 positions with all callbacks and ten without, in turn. Reported are the time and
memory that a logged step adds, and the time of one round of voices. The optimizer is SGD, so that weights, gradients
and activations of a 3B model fit on one card; ratios are relative to the same step without logging.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from workload import AUDIO_BOS, BOS, CODEBOOKS, EOS, SIZES, build_batch, build_model

from tracker_logging import strategic_callbacks
from tracker_logging.families import Prompt, SamplingSettings, adapter_for
from tracker_logging.families.delay_pattern import apply_delay
from tracker_logging.probes.isolation import isolated

EVERY = 100
VOICES, VOICE_FRAMES = 8, 75  # three seconds at 25 frames per second


class StepCost(TrainerCallback):
    """Seconds and peak GiB of each step with its callbacks. This one comes first: a step ends where the next begins."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self.marks: list[float] = []
        self.peaks: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        if self._cuda:
            torch.cuda.synchronize()
            self.peaks.append(torch.cuda.max_memory_allocated() / 2**30)
            torch.cuda.reset_peak_memory_stats()
        self.marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        return [after - before for before, after in zip(self.marks, self.marks[1:], strict=False)]


def train(model: Any, rows: Sequence[dict[str, torch.Tensor]], *, steps: int, watched: bool, device: str) -> StepCost:
    """`steps` steps of the same batch; watched: every step is logged by every callback."""
    cost = StepCost(device)
    with tempfile.TemporaryDirectory() as directory:
        ours = strategic_callbacks(every=1, budget_pct=1e6, logging_dir=Path(directory)) if watched else []
        arguments = TrainingArguments(
            output_dir=directory, max_steps=steps + 2, per_device_train_batch_size=len(rows), report_to="none",
            use_cpu=device == "cpu", bf16=device == "cuda", optim="sgd", save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        Trainer(model=model, args=arguments, train_dataset=list(rows) * (steps + 2), callbacks=[cost, *ours]).train()
    return cost


def voice_round(model: Any) -> float:
    """Seconds to generate at most three seconds for each of eight prompts of three seconds, in one batch."""
    generator = torch.Generator().manual_seed(2)
    codes = torch.randint(0, BOS, (CODEBOOKS, VOICE_FRAMES), generator=generator)
    reference = apply_delay(codes, bos=BOS, eos=EOS)
    adapter = adapter_for(model)
    placeholders = [adapter.core.config.audio_token_id] * (len(reference) - CODEBOOKS + 1)
    placeholders += [adapter.core.config.audio_delay_token_id] * (CODEBOOKS - 1)
    tokens = torch.tensor([1, 3, 10, 11, AUDIO_BOS, *placeholders, 3, 12, 13, AUDIO_BOS])
    prompts = [Prompt(tokens, reference, VOICE_FRAMES, seed) for seed in range(VOICES)]
    with isolated(model):
        began = time.perf_counter()
        adapter.generate(prompts, SamplingSettings(temperature=1.0))
        return time.perf_counter() - began


def report(kernel: str, arguments: argparse.Namespace) -> None:
    device = arguments.device
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = build_model(arguments.size, device=device, dtype=dtype, attention=kernel)
    batch = build_batch(arguments.length, samples=2, device="cpu")
    rows = [{name: value[at] for name, value in batch.items()} for at in range(2)]
    half = max(2, arguments.steps // 2)
    costs: dict[bool, list[StepCost]] = {True: [], False: []}
    for watched in (False, True, False, True):
        costs[watched].append(train(model, rows, steps=half, watched=watched, device=device))
    # The first step of a run is a warm-up.
    plain, logged = (statistics.median(s for c in costs[on] for s in c.seconds()[1:]) for on in (False, True))
    print(f"\n### {arguments.size}, {kernel}, {device}, B = 2, S = {arguments.length}\n")
    print("| | |\n|---|---|")
    print(f"| plain step, s | {plain:.3f} |")
    print(f"| logged step / plain | {logged / plain:.3f} |")
    print(f"| mean step at N = {EVERY} / plain, computed from it | {1 + (logged / plain - 1) / EVERY:.5f} |")
    if device == "cuda":
        without, with_us = (max(peak for c in costs[on] for peak in c.peaks[1:]) for on in (False, True))
        print(f"| peak memory, plain, GiB | {without:.2f} |\n| peak memory, logged / plain | {with_us / without:.4f} |")
    voice_round(model)
    print(f"| {VOICES} voices of at most {VOICE_FRAMES} frames, s | {voice_round(model):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=sorted(SIZES), default="3B")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--kernels", nargs="+", default=["sdpa", "flash_attention_2"])
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("Skipped: this needs a GPU, and torch sees none here. Try the script with --device cpu --size 57M.")
        return
    for kernel in arguments.kernels:
        if kernel.startswith("flash") and importlib.util.find_spec("flash_attn") is None:
            print(f"{kernel} is skipped: the package flash_attn is not installed.")
            continue
        report(kernel, arguments)


if __name__ == "__main__":
    main()
