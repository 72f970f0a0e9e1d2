"""Cost of our gradient norms and update ratios and of `wandb.watch(log="gradients")`, as ratios to a plain step.

python benchmarks/gradient_flow.py [--device cuda]
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile

import torch
from clock import interleaved, median
from observer import logged
from workload import build_batch, build_model, training_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        print("Skipped: --device cuda needs a GPU, and torch sees none here.")
        return
    if importlib.util.find_spec("wandb") is None:
        print("Skipped: wandb is not installed.")
        return
    if device == "cpu":
        torch.set_num_threads(1)
    dtype, size = (torch.float32, "57M") if device == "cpu" else (torch.bfloat16, "3B")
    models = [build_model(size, device=device, dtype=dtype, attention="sdpa") for _ in range(2)]
    batch = build_batch(arguments.length, samples=2, device=device)
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-5) for model in models]
    ours = logged(models[0], batch, optimizers[0], frozenset({"gradients", "updates"}))
    with tempfile.TemporaryDirectory() as directory:
        import wandb

        run = wandb.init(mode="offline", dir=directory, settings=wandb.Settings(silent=True))
        run.watch(models[1], log="gradients", log_freq=1)

        def wandb_watch() -> None:
            training_step(models[1], batch, optimizers[1])
            run.log({"x": 0})

        seconds = interleaved(
            {"plain": lambda: training_step(models[0], batch, optimizers[0]), "ours": ours, "wandb.watch": wandb_watch},
            repeats=arguments.repeats,
            device=device,
        )
        run.finish()
    base = median(seconds["plain"])
    print(f"S = {arguments.length}, B = 2, {size}, {device}: plain step {base:.2f} s")
    for name in ("ours", "wandb.watch"):
        print(f"{name} / plain = {median(seconds[name]) / base:.3f}")


if __name__ == "__main__":
    main()
