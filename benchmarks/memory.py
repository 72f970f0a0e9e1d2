"""Peak memory of a logged step relative to a plain step.

    python benchmarks/memory.py                    # CPU: high-water mark of the process (Linux)
    python benchmarks/memory.py --device cuda      # peak of the allocator

The mark is reset before each step; the largest of the repeats counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from observer import EVERYTHING, logged
from workload import build_batch, build_model, training_step


def peak_mib(run: Callable[[], object], *, device: str) -> float:
    """Highest memory in use during one call, MiB."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM (proc(5))
    run()
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        print("Skipped: --device cuda needs a GPU, and torch sees none here.")
        return
    if device == "cpu":
        torch.set_num_threads(1)
    dtype, size = (torch.float32, "57M") if device == "cpu" else (torch.bfloat16, "3B")
    model = build_model(size, device=device, dtype=dtype, attention="sdpa")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    print("| S | plain, MiB | logged, MiB | ratio |\n|---|---|---|---|")
    for length in arguments.lengths:
        batch = build_batch(length, samples=2, device=device)
        plain = lambda batch=batch: training_step(model, batch, optimizer)  # noqa: E731
        watched = logged(model, batch, optimizer, EVERYTHING)
        plain()
        peaks = [(peak_mib(plain, device=device), peak_mib(watched, device=device)) for _ in range(arguments.repeats)]
        alone, with_us = (max(column) for column in zip(*peaks, strict=True))
        print(f"| {length} | {alone:.0f} | {with_us:.0f} | {with_us / alone:.4f} |")


if __name__ == "__main__":
    main()
