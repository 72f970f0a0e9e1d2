"""A long healthy run with very noisy numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from traces import examined

LOOKS = 200


@pytest.mark.parametrize("seed", range(3))
def test_noise_opens_no_finding(seed: int) -> None:
    noise = random.Random(seed)

    def around(value: float, spread: float, *, slope: float = 0.0) -> list[float]:
        return [value - slope * look + noise.gauss(0, spread) for look in range(LOOKS)]

    def scattered(value: float, spread: float) -> list[float]:
        return [value * math.exp(noise.gauss(0, spread)) for _ in range(LOOKS)]

    trace: dict[str, Sequence[float]] = {
        "outputs/nll/mean": around(3.5, 0.1, slope=0.001),
        "outputs/nll_shift0/mean": around(6.0, 0.3),
        "train/loss": around(28.0, 1.0, slope=0.01),
        "train/grad_norm": scattered(1.0, 0.7),
        "gradients/update_ratio/heads": scattered(1e-4, 0.5),
        "conditioning/gap/low": around(0.3, 0.05),
        "conditioning/gap/high": around(0.5, 0.05),
    }
    for codebook in range(8):
        trace[f"outputs/nll/codebook_{codebook}"] = around(3.5, 0.3, slope=0.001)
        trace[f"outputs/usage/codebook_{codebook}"] = scattered(0.3, 0.5)
    assert [finding.text for finding in examined(trace)] == []
