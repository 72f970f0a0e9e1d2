"""Run by `torchrun`: `deepspeed_run.py STAGE OUTPUT [bf16]`. Trains with ZeRO stage STAGE (0: DDP, without DeepSpeed).

Rank 0 writes what the captures measured, and the losses and gradient norms of the Trainer, as JSON.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from trainer_captures import NEEDS, Captures, capture_training


def main(stage: int, output: Path, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    if stage:
        options["deepspeed"] = {
            "zero_optimization": {"stage": stage}, "train_micro_batch_size_per_gpu": "auto",
            "gradient_accumulation_steps": "auto", "gradient_clipping": "auto", "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False, "bf16": {"enabled": "auto"},
        }  # fmt: skip
    captures = Captures(needs=NEEDS | {"attention", "causality", "conflict"})
    _, trainer = capture_training(output / "training", captures=captures, text=True, ddp_backend="gloo", **options)
    steps = []
    for snapshot in captures.steps:
        flow = snapshot.flow
        steps.append(
            {
                "gradient_norm": None if flow is None else {f"{key}": v for key, v in flow.gradient_norm.items()},
                "update_ratio": None if flow is None else {f"{key}": v for key, v in flow.update_ratio.items()},
                "before_clipping": None if flow is None else flow.before_clipping,
                "rounded_to_zero_pct": None if flow is None else flow.rounded_to_zero_pct,
                "nll": snapshot.tokens.nll.tolist(),
                "leak": snapshot.causality_leak,
                "missing": snapshot.missing,
            }
        )
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    found = {
        "steps": steps, "losses": [entry["loss"] for entry in history],
        "norms": [entry["grad_norm"] for entry in history], "errors": [repr(error) for error in captures.errors],
    }  # fmt: skip
    if not distributed.is_initialized() or distributed.get_rank() == 0:
        (output / "found.json").write_text(json.dumps(found))
    if distributed.is_initialized():
        distributed.barrier()
    os._exit(0)  # gloo's threads may abort while the interpreter ends


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
