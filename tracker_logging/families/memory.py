"""How much memory a training of a checkpoint needs, estimated from its file headers before anything is loaded.

>>> estimate = MemoryEstimate(parameters=5_770_000_000, trained=5_770_000_000, weight_bytes=4)
>>> f"{estimate.gib:.0f} GiB"
'86 GiB'
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

ADAMW_BYTES = 8  # two moments in float32 for each trained weight
GRADIENT_BYTES = 4
_LARGEST_HEADER = 100 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Weights, gradients and AdamW's state of one process; activations come on top.

    `parameters` and `trained` are counts; `weight_bytes` is the size of one weight (4: float32, 2: bfloat16).
    """

    parameters: int
    trained: int
    weight_bytes: int

    @property
    def gib(self) -> float:
        """GiB of memory."""
        return (self.parameters * self.weight_bytes + self.trained * (GRADIENT_BYTES + ADAMW_BYTES)) / 2**30


def parameter_count(directory: Path) -> int | None:
    """Number of weights in the safetensors files of a checkpoint; None without such files.

    Reads only the files' headers. A file whose header cannot be read is left to the loader, which names the fault.
    """
    count = 0
    for path in sorted(directory.glob("*.safetensors")):
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, _LARGEST_HEADER)))
            count += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            return None
    return count or None
