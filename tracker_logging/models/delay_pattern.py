"""The delay pattern: codebook k lags k frames behind codebook 0.

For codes [K, T] the delayed frames are [F, K] with F = T + K + 1. Column k holds k + 1 begin codes, its T codes, and
end codes to the end: the layout of `HiggsAudioV2Processor.build_delay_pattern` on `[begin, codes, end]`.

    K = 3, T = 2:   B  B  B
                    c0 B  B
                    c0 c1 B
                    E  c1 c2
                    E  E  c2
                    E  E  E
"""

from __future__ import annotations

import torch


def delayed_length(frames: int, codebooks: int) -> int:
    """Delayed frames for `frames` audio frames."""
    return frames + codebooks + 1


def apply_delay(codes: torch.Tensor, *, bos: int, eos: int) -> torch.Tensor:
    """codes [K, T] int64 -> delayed frames [T + K + 1, K] int64."""
    codebooks, frames = codes.shape
    delayed = torch.full((delayed_length(frames, codebooks), codebooks), eos, dtype=torch.int64)
    for codebook in range(codebooks):
        delayed[: codebook + 1, codebook] = bos
        delayed[codebook + 1 : codebook + 1 + frames, codebook] = codes[codebook]
    return delayed


def revert_delay(delayed: torch.Tensor, *, eos: int) -> torch.Tensor:
    """Delayed frames [F, K] that begin with the all-begin frame -> codes [K, T] int64.

    T is what all codebooks have reached before their first end code. Frames cut off at the end (a clip that did not
    stop by itself) are as many as all codebooks have.
    """
    total, codebooks = delayed.shape
    columns = []
    for codebook in range(codebooks):
        column = delayed[min(codebook + 1, total) :, codebook]
        ends = (column == eos).nonzero()
        columns.append(column[: int(ends[0])] if len(ends) else column)
    frames = min(len(column) for column in columns)
    return torch.stack([column[:frames] for column in columns]).to(torch.int64)
