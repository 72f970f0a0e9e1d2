"""Is a clip caught in a loop? The share of stretches of its codes that were heard before in it.

The definition is seq-rep-n (Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training"): 1 − unique
n-grams / all n-grams. It is taken over the first codebook, whose codes carry the sound as a whole (later codebooks add
detail that differs by chance, so that a sampled loop would not show), and over n = 8 frames (0.32 s at 25 Hz), longer
than a sound is held in fluent speech: all recordings of the demo have 0. Silence repeats itself by nature, so the
caller leaves it out (`speech.sounding_stretches`).

    repetition(codes[:, sounding])      # 0.0; above 0.5 the clip goes in circles
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
