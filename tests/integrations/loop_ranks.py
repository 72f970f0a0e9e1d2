"""Run by `forked_ranks.py` on two gloo processes: a hand-written loop with and without `watch`.

loop_ranks.py ddp|fsdp2 OUTPUT
"""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from loops import ROWS, batches, fingerprint, model_and_optimizer, options
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from tracker_logging import watch


def distributed_model(kind: str) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    """The model that is called, the one that is hashed, and the optimizer."""
    inner, optimizer = model_and_optimizer()
    if kind == "ddp":
        return DistributedDataParallel(inner, find_unused_parameters=True), inner, optimizer
    for layer in inner.model.layers:
        fully_shard(layer)
    model = fully_shard(inner)
    return model, model, torch.optim.AdamW(model.parameters(), lr=1e-3)


def train(kind: str, directory: Path | None) -> str:
    rank = distributed.get_rank()
    model, inner, optimizer = distributed_model(kind)
    watched: Any = nullcontext()
    if directory is not None:
        watched = watch(model, optimizer, logging_dir=directory, **options())
    with watched as session:
        for step in range(3):
            with session.step() if session else nullcontext():
                model(**batches()[2 * step + rank]).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        model.eval()
        with session.evaluation() if session else nullcontext(), torch.no_grad():
            model(**batches(ROWS[:4])[rank])
    return fingerprint(inner, optimizer)


def main(kind: str, output: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    same = train(kind, None) == train(kind, output / "two")
    identical = [same] * 2
    distributed.all_gather_object(identical, same)
    if distributed.get_rank() == 0:
        (output / "found.json").write_text(json.dumps({"identical": identical}))
    distributed.barrier()
    os._exit(0)  # gloo's threads may abort while the interpreter ends


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
