"""When to look, and how that is thinned when looking costs too much.

Three strands have a stride of their own (1 = as asked for): `capture` (probes and their events), `zero_shot` (the
conditioning gap) and `voices` (free-running generation). After each full cycle of `voice_steps` steps the strand that
cost most gets twice its stride if all of them together cost more than the budget, and the most thinned one gets half
if they cost less than a quarter of it. Rank 0 decides; every rank uses its decision.

    cadence = Cadence(every=100, voice_steps=500, budget_pct=2.0)
    cadence.logged(100), cadence.due_after(100)     # True, 200
"""

from __future__ import annotations

from collections.abc import Mapping

STRANDS = ("capture", "zero_shot", "voices")
LARGEST_STRIDE = 64


class Cadence:
    """Steps count optimizer steps done, from 1. Step 1 is always logged."""

    def __init__(self, *, every: int, voice_steps: int | None, budget_pct: float) -> None:
        for name, steps in (("every", every), ("voice_steps", voice_steps)):
            if steps is not None and steps < 1:
                raise ValueError(f"{name} is {steps}; it counts steps between two looks and must be 1 or more.")
        if budget_pct <= 0:
            raise ValueError(f"budget_pct is {budget_pct}; it is a share of the training time and must be above 0.")
        self.every = every
        self.voice_steps = voice_steps or 5 * every
        self.budget_pct = budget_pct
        self.strides = dict.fromkeys(STRANDS, 1)

    def logged(self, step: int) -> bool:
        """Whether the probes watch this step."""
        return step == 1 or step % (self.every * self.strides["capture"]) == 0

    def conditioned(self, step: int) -> bool:
        """Whether the conditioning gap is measured after this step."""
        return self.logged(step) and (step == 1 or step % (self.every * self.strides["zero_shot"]) == 0)

    def voices(self, step: int) -> bool:
        """Whether the voices speak after this step."""
        return step % (self.voice_steps * self.strides["voices"]) == 0

    def due_after(self, step: int) -> int:
        """The next step at which anything is to be done."""
        if step == 0:
            return 1
        periods = (self.every * self.strides["capture"], self.voice_steps * self.strides["voices"])
        return min((step // period + 1) * period for period in periods)

    def cycle_ends(self, step: int) -> bool:
        """Whether a full cycle, with everything in it, is over."""
        return step > 1 and step % (self.voice_steps * self.strides["voices"]) == 0

    def thinned(self, spent_s: Mapping[str, float], *, wall_s: float) -> dict[str, int]:
        """The strides for the next cycle, given the seconds that each strand cost in the one that ends."""
        strides = dict(self.strides)
        share_pct = 100.0 * sum(spent_s.values()) / wall_s
        costliest = max(STRANDS, key=lambda strand: spent_s.get(strand, 0.0))
        most_thinned = max(STRANDS, key=lambda strand: strides[strand])
        if share_pct > self.budget_pct and strides[costliest] < LARGEST_STRIDE:
            strides[costliest] *= 2
        elif share_pct < self.budget_pct / 4 and strides[most_thinned] > 1:
            strides[most_thinned] //= 2
        return strides
