"""The delay pattern: codebook k lags k frames behind codebook 0.

For codes [K, T] the delayed frames are [F, K] with F = T + K + 1. Column k holds k + 1 begin codes, its T codes, and
end codes to the end: the layout of `HiggsAudioV2Processor.build_delay_pattern` on `[begin, codes, end]`.

    K = 3, T = 2:   B  B  B
                    c0 B  B
                    c0 c1 B
                    E  c1 c2
                    E  E  c2
                    E  E  E

    >>> import torch
    >>> CodePattern.staircase(codebooks=3, bos=8, eos=9).apply(torch.tensor([[1, 2], [3, 4], [5, 6]])).tolist()
    [[8, 8, 8], [1, 8, 8], [2, 3, 8], [9, 4, 5], [9, 9, 6], [9, 9, 9]]

`CodePattern` describes the delays, begin code and fill of other families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePattern:
    """How a family lays the codes of a clip out in frames, one column per codebook.

    Column k holds 1 + `delays[k]` begin codes (where `bos` is None, `delays[k]` times `fill`), its T codes, one end
    code, and `fill` to the end. Codes below `codes` are audio. With all delays 0 a clip ends at the frame that holds
    `eos` in *every* codebook, because a single `eos` may be audio too (CSM: code 0).
    """

    delays: tuple[int, ...]
    codes: int
    eos: int
    bos: int | None
    fill: int
    name: ClassVar[str] = "the delay pattern"

    @classmethod
    def staircase(cls, *, codebooks: int, bos: int, eos: int) -> CodePattern:
        """Codebook k lags k frames; end codes fill up: Higgs Audio v2."""
        return cls(delays=tuple(range(codebooks)), codes=min(bos, eos), eos=eos, bos=bos, fill=eos)

    @classmethod
    def without_delay(cls, *, codebooks: int, codes: int, eos: int, bos: int | None = None) -> CodePattern:
        """Each row of a clip is a frame, and its last one the end."""
        return cls(delays=(0,) * codebooks, codes=codes, eos=eos, bos=bos, fill=eos)

    @property
    def advice(self) -> str:
        """How to lay codes out, for a batch that is not in the pattern."""
        if max(self.delays) == 0:
            return f"do not delay the codes: a clip begins with one frame of begin codes ({self.bos})"
        begins = ", ".join(str(1 + delay) for delay in self.delays)
        return f"delay the codes once: codebooks 0, 1, … begin with {begins} begin codes ({self.bos})"

    @property
    def overhang(self) -> int:
        """Frames beyond those of the clip: begin, end and the longest delay."""
        return (self.bos is not None) + 1 + max(self.delays)

    @property
    def ends_per_clip(self) -> int:
        """End codes to train in each clip: one per codebook."""
        return len(self.delays)

    def apply(self, codes: torch.Tensor) -> torch.Tensor:
        """codes [K, T] int64 -> frames [T + overhang, K] int64."""
        codebooks, frames = codes.shape
        delayed = torch.full((frames + self.overhang, codebooks), self.fill, dtype=torch.int64)
        for codebook, delay in enumerate(self.delays):
            start = (self.bos is not None) + delay
            if self.bos is not None:
                delayed[:start, codebook] = self.bos
            delayed[start : start + frames, codebook] = codes[codebook]
            delayed[start + frames, codebook] = self.eos
        return delayed

    def revert(self, delayed: torch.Tensor, *, lead: int | None = None, frames: int | None = None) -> torch.Tensor:
        """Frames [F, K] -> codes [K, T] int64, up to the end code and the length that all codebooks have.

        `lead`: frames before the first code of codebook 0; None: as many as `apply` writes. `frames`: the length of the
        clip if it is known; end codes are then ignored.
        """
        first = int(self.bos is not None) if lead is None else lead
        columns = [delayed[min(first + delay, len(delayed)) :, codebook] for codebook, delay in enumerate(self.delays)]
        if frames is not None:
            columns = [column[:frames] for column in columns]
        elif max(self.delays) == 0:
            ends = (delayed[first:] == self.eos).all(dim=1).nonzero()
            columns = [column[: int(ends[0])] if len(ends) else column for column in columns]
        else:
            columns = [_until(column, self.eos) for column in columns]
        shortest = min(len(column) for column in columns)
        return torch.stack([column[:shortest] for column in columns]).to(torch.int64)

    def in_frames(self, values: torch.Tensor, codes: torch.Tensor, *, fill: int) -> torch.Tensor:
        """Values [P, K] at the positions of `codes` [P, K], by frame: here a position is a frame."""
        return values

    def to_train(self, codes: torch.Tensor, *, lead: int, frames: int) -> torch.Tensor:
        """[F, K] bool: the codes of a clip of `frames` frames, and the first end code of each codebook."""
        frame = self._frame(codes, lead)
        return (frame >= 0) & (frame <= frames)

    def ends(self, codes: torch.Tensor, *, lead: int, frames: int) -> torch.Tensor:
        """[F, K] bool: where the first end code of each codebook belongs."""
        return self._frame(codes, lead) == frames

    def has_end(self, codes: torch.Tensor) -> bool:
        """Whether every codebook of [F, K] has an end code (all in one frame, where the pattern has no delay)."""
        ends = codes == self.eos
        return bool(ends.any(dim=0).all() if max(self.delays) > 0 else ends.all(dim=1).any())

    def is_empty(self, codes: torch.Tensor, *, frames: int) -> bool:
        """Whether a segment of `frames` frames with these codes has no audio."""
        return frames == 0

    def is_kept(self, codes: torch.Tensor, *, lead: int) -> bool:
        """Whether each codebook of [F, K] begins with as many begin codes as its delay requires and has none after
        them. True without a begin code, and for a clip that continues the audio before it (`lead` 0)."""
        if self.bos is None or lead == 0:
            return True
        begins = codes == self.bos
        leading = torch.cumprod(begins.int(), dim=0).sum(dim=0)
        expected = (torch.tensor(self.delays) + lead).clamp(max=len(begins))  # a truncated clip is shorter
        return bool((leading == expected).all() and (begins.sum(dim=0) == leading).all())

    def _frame(self, codes: torch.Tensor, lead: int) -> torch.Tensor:
        """[F, K] int64: the frame of the clip to which each place belongs; 0 is the first."""
        return torch.arange(len(codes))[:, None] - lead - torch.tensor(self.delays)


def delayed_length(frames: int, codebooks: int) -> int:
    """Delayed frames for `frames` audio frames."""
    return frames + codebooks + 1


def apply_delay(codes: torch.Tensor, *, bos: int, eos: int) -> torch.Tensor:
    """codes [K, T] int64 -> delayed frames [T + K + 1, K] int64."""
    return CodePattern.staircase(codebooks=len(codes), bos=bos, eos=eos).apply(codes)


def revert_delay(delayed: torch.Tensor, *, eos: int) -> torch.Tensor:
    """Delayed frames [F, K] that begin with the all-begin frame -> codes [K, T] int64.

    T is the number of codes that every codebook has before its first end code. A clip that was cut off (no end codes)
    has as many frames as all codebooks have codes.
    """
    return CodePattern.staircase(codebooks=delayed.shape[1], bos=eos, eos=eos).revert(delayed, lead=1)


def _until(column: torch.Tensor, eos: int) -> torch.Tensor:
    ends = (column == eos).nonzero()
    return column[: int(ends[0])] if len(ends) else column
