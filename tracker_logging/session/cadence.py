"""At which steps something is measured, and how that is thinned when it costs too much.

Three components of the work have a stride of their own (1 = as often as requested): `capture` (probes and their
events), `zero_shot` (the conditioning gap) and `voices` (free-running generation). After each full cycle of
`voice_steps` steps the most expensive component gets twice its stride if all of them together cost more than the
budget, and the most thinned one gets half if they cost less than a quarter of it. Rank 0 decides; all ranks follow.

>>> cadence = Cadence(every=100, voice_steps=500, budget_pct=2.0)
>>> cadence.logged(1), cadence.logged(100), cadence.logged(150), cadence.due_after(100)
(True, True, False, 200)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch

from tracker_logging.probes.reduce import sum_over_ranks
from tracker_logging.session.cost import Spent

logger = logging.getLogger("tracker_logging")

COMPONENTS = ("capture", "zero_shot", "voices")
LARGEST_STRIDE = 64


class Cadence:
    """Steps count finished optimizer steps, from 1. Step 1 is always logged.

    Where several steps are done at once (`steps_at_once`), what is due at one of them is due at the last.
    """

    def __init__(self, *, every: int, voice_steps: int | None, budget_pct: float) -> None:
        for name, steps in (("every", every), ("voice_steps", voice_steps)):
            if steps is not None and steps < 1:
                raise ValueError(f"{name} is {steps}; it is a number of steps and must be 1 or more.")
        if budget_pct <= 0:
            raise ValueError(f"budget_pct is {budget_pct}; it is a share of the training time and must be above 0.")
        self.every = every
        self.voice_steps = voice_steps or 5 * every
        self.budget_pct = budget_pct
        self.strides = dict.fromkeys(COMPONENTS, 1)
        self.steps_at_once = 1
        """How many steps end with the one that is asked about: several where several optimizers step in a batch."""

    def logged(self, step: int) -> bool:
        """Whether the probes capture this step."""
        return step <= self.steps_at_once or self._reaches(step, self.every * self.strides["capture"])

    def conditioned(self, step: int) -> bool:
        """Whether the conditioning gap is measured after this step."""
        due = step <= self.steps_at_once or self._reaches(step, self.every * self.strides["zero_shot"])
        return due and self.logged(step)

    def voices(self, step: int) -> bool:
        """Whether the voices are generated after this step."""
        return self._reaches(step, self.voice_steps * self.strides["voices"])

    def due_after(self, step: int) -> int:
        """The next step at which anything is due."""
        if step == 0:
            return 1
        periods = (self.every * self.strides["capture"], self.voice_steps * self.strides["voices"])
        return min((step // period + 1) * period for period in periods)

    def cycle_ends(self, step: int) -> bool:
        """Whether a full cycle, in which every component ran, is over."""
        return step > 1 and self.voices(step)

    def thinned(self, spent_s: Mapping[str, float], *, wall_s: float) -> dict[str, int]:
        """The strides of the next cycle, given the seconds that each component cost in the last one."""
        strides = dict(self.strides)
        share_pct = 100.0 * sum(spent_s.values()) / wall_s
        most_expensive = max(COMPONENTS, key=lambda component: spent_s.get(component, 0.0))
        most_thinned = max(COMPONENTS, key=lambda component: strides[component])
        if share_pct > self.budget_pct and strides[most_expensive] < LARGEST_STRIDE:
            strides[most_expensive] *= 2
        elif share_pct < self.budget_pct / 4 and strides[most_thinned] > 1:
            strides[most_thinned] //= 2
        return strides

    def thin(self, spent: Spent, *, step: int, rank: int, world_size: int, device: torch.device) -> None:
        """Set the strides of the next cycle from what the last one cost. Every rank calls it; rank 0 decides."""
        seconds = {component: spent.components_s.get(component, 0.0) for component in COMPONENTS}
        strides = self.thinned(seconds, wall_s=spent.wall_s)
        if world_size > 1:
            decision = torch.tensor([float(strides[component]) for component in COMPONENTS]) * (rank == 0)
            agreed = sum_over_ranks({"strides": decision}, device=device)["strides"]
            strides = dict(zip(COMPONENTS, (int(stride) for stride in agreed), strict=True))
        for component in COMPONENTS:
            if rank == 0 and strides[component] != self.strides[component]:
                logger.info(
                    "Up to step %d logging took %.1f %% of the time (budget %.1f %%, --logging_budget_pct). "
                    "Component '%s' now runs once in %d of its steps.",
                    step, spent.pct, self.budget_pct, component, strides[component],
                )  # fmt: skip
        self.strides = strides

    def _reaches(self, step: int, period: int) -> bool:
        """Whether a multiple of `period` is among the last `steps_at_once` steps."""
        return step % period < self.steps_at_once
