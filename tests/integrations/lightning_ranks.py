"""Run by `forked_ranks.py` on two gloo processes: Lightning under DDP with and without the callback.

lightning_ranks.py OUTPUT
"""

import json
import os
import sys
from pathlib import Path

import torch
from loops import ROWS, batches, fingerprint, options
from test_lightning import Module, trainer
from torch import distributed
from torch.utils.data import DataLoader

from tracker_logging.integrations.lightning import LightningCallback

STEPS = 3


def train(directory: Path, *, watched: bool) -> str:
    rank = int(os.environ["RANK"])
    module = Module()
    running = trainer(
        directory, callbacks=[LightningCallback(**options())] if watched else [], max_steps=STEPS, devices=2,
        strategy="ddp_find_unused_parameters_true", use_distributed_sampler=False, val_check_interval=STEPS,
        num_sanity_val_steps=0,
    )  # fmt: skip
    of_rank, evaluated = batches()[rank : 2 * STEPS : 2], batches(ROWS[:4])[rank : rank + 1]
    running.fit(module, DataLoader(of_rank, batch_size=None), DataLoader(evaluated, batch_size=None))
    return fingerprint(module.speaker, running.optimizers[0])


def main(output: Path) -> None:
    torch.set_num_threads(1)
    same = train(output / "plain", watched=False) == train(output / "two", watched=True)
    identical = [same] * 2
    distributed.all_gather_object(identical, same)
    if distributed.get_rank() == 0:
        (output / "found.json").write_text(json.dumps({"identical": identical}))
    distributed.barrier()
    os._exit(0)  # gloo's threads may abort while the interpreter ends


if __name__ == "__main__":
    main(Path(sys.argv[1]))
