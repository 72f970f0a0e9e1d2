"""Run by `forked_ranks.py` on two gloo processes: the doctor stops the training. Each rank writes a result as JSON."""

import json
import os
import sys
from pathlib import Path

import torch
from doctor.small_run import watched
from torch import distributed


def main(output: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    doctor, trainer = watched(
        output / "out", learning_rate=0.0, fail_on="error", max_steps=10, ddp_backend="gloo",
        ddp_find_unused_parameters=False,
    )  # fmt: skip
    found = {
        "step": trainer.state.global_step,
        "verdict": doctor.observer.stop_reason,
        "findings": [finding.name for finding in doctor.findings],
    }
    (output / f"rank{rank}.json").write_text(json.dumps(found))
    distributed.barrier()
    os._exit(0)  # gloo's threads may abort while the interpreter ends


if __name__ == "__main__":
    main(Path(sys.argv[1]))
