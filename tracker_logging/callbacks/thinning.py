"""After a full cycle: how often to look in the next one. Rank 0 decides from its own cost; all ranks follow.

thin(cadence, cost.since_last_cycle(), step=500, rank=0, world_size=1, device=device)
"""

from __future__ import annotations

import logging

import torch

from tracker_logging.callbacks.cadence import STRANDS, Cadence
from tracker_logging.callbacks.cost import Spent
from tracker_logging.probes.reduce import sum_over_ranks

logger = logging.getLogger("tracker_logging")


def thin(cadence: Cadence, spent: Spent, *, step: int, rank: int, world_size: int, device: torch.device) -> None:
    """Set the strides of `cadence` from what the last cycle cost. Every rank calls it; rank 0 says what changes."""
    seconds = {strand: spent.strands_s.get(strand, 0.0) for strand in STRANDS}
    strides = cadence.thinned(seconds, wall_s=spent.wall_s)
    if world_size > 1:
        mine = torch.tensor([float(strides[strand]) for strand in STRANDS]) * (rank == 0)
        agreed = sum_over_ranks({"strides": mine}, device=device)["strides"]
        strides = dict(zip(STRANDS, (int(stride) for stride in agreed), strict=True))
    for strand in STRANDS:
        if rank == 0 and strides[strand] != cadence.strides[strand]:
            logger.info(
                "Up to step %d logging took %.1f %% of the time (budget %.1f %%, --logging_budget_pct): "
                "'%s' now runs at every %d. of its steps.",
                step, spent.pct, cadence.budget_pct, strand, strides[strand],
            )  # fmt: skip
    cadence.strides = strides
