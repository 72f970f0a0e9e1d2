"""What a logged step costs, as ratios to a plain step from interleaved runs.

    python benchmarks/observer.py                        # CPU, 57 M parameters, S = 512, 1024, 2048
    python benchmarks/observer.py --lengths 512 --repeats 5
    python benchmarks/observer.py --size 3B-2-layers --lengths 2048 --repeats 1     # the 3B's own proportions
    python benchmarks/observer.py --device cuda          # the 3B shape in bf16, sdpa and flash

`probes` is the CPU time inside the probes as a share of a plain step. `whole` is the ratio of a logged step to a plain
step: it includes effects on caches and memory, and has the noise of whole steps.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from clock import interleaved, median, probe_time, timed
from workload import SIZES, build_batch, build_model, training_step

from tracker_logging.families import adapter_for
from tracker_logging.probes.capture import StepCapture

EVERYTHING = frozenset({"inputs", "tokens", "attention", "activations", "gradients", "updates"})
PARTS = {
    "everything": EVERYTHING,
    "predictions": frozenset({"tokens"}),
    "attention (masses, heatmap, entropy, one sample)": frozenset({"attention"}),
    "FFN paths": frozenset({"activations"}),
    "gradient norms and update ratios": frozenset({"gradients", "updates"}),
}


def logged(model: Any, batch: dict[str, torch.Tensor], optimizer: Any, needs: frozenset[str]) -> Callable[[], None]:
    """A training step with these parts captured."""
    capture = StepCapture(adapter=adapter_for(model), needs=needs, special_ids={1, 2, 3, 492}, gaps_every=1)

    def run() -> None:
        training_step(
            model, batch, optimizer,
            begin=lambda: capture.attach(model),
            before_update=lambda: capture.before_update(optimizer),
            after_update=lambda: capture.after_update(optimizer),
            end=lambda: capture.snapshot(1),
        )  # fmt: skip
        assert capture.errors == [], capture.errors

    return run


def steps(size: str, *, length: int, samples: int, device: str, attention: str, repeats: int) -> None:
    """Print the table of one sequence length."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model = build_model(size, device=device, dtype=dtype, attention=attention)
    batch = build_batch(length, samples=samples, device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    runs = {name: logged(model, batch, optimizer, needs) for name, needs in PARTS.items()}
    plain = lambda: training_step(model, batch, optimizer)  # noqa: E731
    with_gaps = logged(model, batch, optimizer, EVERYTHING | {"gaps"})
    compared = {"plain": plain, "everything": runs["everything"], "with gaps": with_gaps}
    seconds = interleaved(compared, repeats=repeats, device=device)
    base = median(seconds["plain"])
    whole = median(seconds["everything"]) / base
    gaps = median(seconds["with gaps"]) / base - whole
    print(f"\n### {size}, {attention}, {device}, B = {samples}, S = {length}: plain step {base:.2f} s\n")
    print("| part | probes, % of a plain step |\n|---|---|")
    for name, run in runs.items():
        with probe_time() as spent:
            timed(run, device=device)
        print(f"| {name} | {100 * sum(spent.values()) / base:.2f} |")
        if name == "everything":
            parts = dict(spent)
    print(f"| *by part* | {', '.join(f'{part} {100 * part_s / base:.2f}' for part, part_s in sorted(parts.items()))} |")
    print(f"\nwhole: logged / plain = {whole:.3f}; mean step at N = 100: {1 + (whole - 1) / 100:.5f}, ", end="")
    print(f"at N = 10: {1 + (whole - 1) / 10:.4f} (computed from the ratio; medians of {repeats})")
    print(f"gaps of training samples, in every tenth logged step: {gaps:.2f} of a plain step")
    eager(model, batch, optimizer, base=base, repeats=max(1, repeats // 2), device=device)


def eager(
    model: Any, batch: dict[str, torch.Tensor], optimizer: Any, *, base: float, repeats: int, device: str
) -> None:
    """Cost of the same masses if the model returns its attention weights."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    run = lambda: training_step(model, batch, optimizer, output_attentions=True)  # noqa: E731
    try:
        spent = median([timed(run, device=device) for _ in range(repeats)])
        print(f"eager + output_attentions / plain = {spent / base:.2f}")
    except torch.OutOfMemoryError:
        print("eager + output_attentions: out of memory")
    finally:
        model.set_attn_implementation(before)
        optimizer.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=tuple(SIZES), help="default: 57M on the CPU, 3B on a GPU")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("Skipped: --device cuda needs a GPU, and torch sees none here.")
        return
    kernels = ["sdpa"]
    if arguments.device == "cuda" and importlib.util.find_spec("flash_attn"):
        kernels.append("flash_attention_2")
    elif arguments.device == "cuda":
        print("flash-attention is skipped: the package flash_attn is not installed.")
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    for attention in kernels:
        for length in arguments.lengths:
            steps(
                arguments.size or ("57M" if arguments.device == "cpu" else "3B"),
                length=length,
                samples=arguments.samples,
                device=arguments.device,
                attention=attention,
                repeats=arguments.repeats,
            )


if __name__ == "__main__":
    main()
