"""Says that a batch gives another number of audio frames than of placeholders, while there is still time.

Higgs Audio v2 fills the placeholders of a whole batch in a row: with fewer frames a GPU stops for good without naming
the sample, and with as many in all but not in each sample the model trains one sample on the codes of another.

    say_mismatch((3,), step=100, rank=0)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

logger = logging.getLogger("tracker_logging")


def say_mismatch(samples: Sequence[int], *, step: int, rank: int) -> None:
    """Name the samples of this rank's batch; called before the model sees it."""
    logger.error(
        "Batch of step %d on rank %d: in samples %s the audio placeholder tokens are not as many as the audio frames. "
        "The model stops here, or gives frames to the wrong clip. Expand each clip to one placeholder per frame of its "
        "delay pattern (frames + codebooks + 1), and cut no sample at a maximum length.",
        step, rank, ", ".join(map(str, samples)),
    )  # fmt: skip
