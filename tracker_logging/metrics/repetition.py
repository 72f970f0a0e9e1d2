"""Does a clip loop? The share of its code sequences that occur earlier in it.

The definition is seq-rep-n (Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training"): 1 − unique
n-grams / all n-grams. It is taken over the first codebook, which encodes the coarse sound (later codebooks add
detail that differs by chance and would hide a sampled loop), and over n = 8 frames (0.32 s at 25 Hz), longer
than a sound is held in fluent speech: all recordings of the demo have 0. Silence always repeats, so the caller removes
it (`speech.sounding_stretches`).

>>> round(repetition(np.tile(np.arange(10), 3)[None]), 2)       # one sequence of ten codes, three times
0.57
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

STRETCH = 8  # frames


def repetition(codes: npt.NDArray[np.int64]) -> float | None:
    """codes [K, T] without the delay -> share of 0…1; None with fewer than two stretches."""
    first = codes[0]
    if len(first) <= STRETCH:
        return None
    stretches = np.lib.stride_tricks.sliding_window_view(first, STRETCH)
    return 1.0 - len(np.unique(stretches, axis=0)) / len(stretches)
