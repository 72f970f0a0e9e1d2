"""The codes of a clip as a sequence of tokens: each position holds one code, of one slot of a frame.

    slots 0, 1, 2 and two frames:    position  0   1   2   3   4   5   6
                                     slot 0    a0  .   .   a1  .   .   end
                                     slot 1    .   b0  .   .   b1  .   .
                                     slot 2    .   .   c0  .   .   c1  .

>>> pattern = TokenPattern.of_slots(2, codes=16)
>>> laid = pattern.apply(torch.tensor([[1, 2], [3, 4]]))
>>> laid.tolist()
[[1, -1], [-1, 3], [2, -1], [-1, 4], [16, -1]]
>>> pattern.revert(laid).tolist()
[[1, 2], [3, 4]]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from tracker_logging.families.delay_pattern import CodePattern


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPattern(CodePattern):
    """One code per position, -1 in the other slots. The end token of a clip is `eos` in slot 0.

    `per_clip`: slots whose tokens describe a whole clip instead of a frame (the global tokens of BiCodec). Where codes
    are laid out by frame, their sequence is repeated along the clip.
    """

    per_clip: frozenset[int] = frozenset()
    name: ClassVar[str] = "the order of their slots"

    @classmethod
    def of_slots(cls, slots: int, *, codes: int, per_clip: frozenset[int] = frozenset()) -> TokenPattern:
        """`codes`: those of the largest slot."""
        return cls(delays=(0,) * slots, codes=codes, eos=codes, bos=None, fill=-1, per_clip=per_clip)

    @property
    def advice(self) -> str:
        """See `CodePattern`."""
        return "give each frame one token of each slot, in the order of the layout, and truncate no frame"

    @property
    def of_frames(self) -> list[int]:
        """The slots that each frame has."""
        return [slot for slot in range(len(self.delays)) if slot not in self.per_clip]

    @property
    def ends_per_clip(self) -> int:
        """One end token."""
        return 1

    def apply(self, codes: torch.Tensor) -> torch.Tensor:
        """codes [K, T] int64 -> [T · (slots of a frame) + 1, K]; without the tokens of the clip as a whole."""
        slots = self.of_frames
        laid = torch.full((codes.shape[1] * len(slots) + 1, len(codes)), -1, dtype=torch.int64)
        for place, slot in enumerate(slots):
            laid[place : -1 : len(slots), slot] = codes[slot]
        laid[-1, 0] = self.eos
        return laid

    def revert(self, delayed: torch.Tensor, *, lead: int | None = None, frames: int | None = None) -> torch.Tensor:
        """Positions [P, K] -> codes [K, T] int64 of whole frames, up to the first end token or `frames`."""
        ends = (delayed == self.eos).any(dim=1).nonzero()
        if len(ends) and frames is None:
            delayed = delayed[: int(ends[0])]
        columns = [column[(column >= 0) & (column != self.eos)] for column in delayed.T]
        length = min(len(columns[slot]) for slot in self.of_frames)
        length = length if frames is None else min(length, frames)
        for slot in self.per_clip:
            if len(columns[slot]) == 0:
                length = 0
            columns[slot] = columns[slot].repeat(-(-length // max(1, len(columns[slot]))))
        return torch.stack([column[:length] for column in columns]).to(torch.int64)

    def in_frames(self, values: torch.Tensor, codes: torch.Tensor, *, fill: int) -> torch.Tensor:
        """Values [P, K] where `codes` [P, K] has a code, by slot and frame: [F, K], `fill` after the last."""
        columns = [column[given >= 0] for column, given in zip(values.T, codes.T, strict=True)]
        return torch.nn.utils.rnn.pad_sequence(columns, batch_first=True, padding_value=fill).T

    def to_train(self, codes: torch.Tensor, *, lead: int, frames: int) -> torch.Tensor:
        """[P, K] bool: each code of the frames, and the end token."""
        of_frames = torch.tensor([slot not in self.per_clip for slot in range(len(self.delays))])
        return (codes >= 0) & of_frames

    def ends(self, codes: torch.Tensor, *, lead: int, frames: int) -> torch.Tensor:
        """[P, K] bool: the end token."""
        return codes == self.eos

    def has_end(self, codes: torch.Tensor) -> bool:
        """Whether there is an end token."""
        return bool((codes == self.eos).any())

    def is_empty(self, codes: torch.Tensor, *, frames: int) -> bool:
        """Whether there is no code; tokens of a clip as a whole are enough."""
        return not bool(((codes >= 0) & (codes != self.eos)).any())

    def is_kept(self, codes: torch.Tensor, *, lead: int) -> bool:
        """Whether the tokens of the frames come slot by slot, in whole frames."""
        slots = self.of_frames
        given = codes[:, slots]
        order = (given >= 0).int().argmax(dim=1)[((given >= 0) & (given != self.eos)).any(dim=1)]
        return len(order) % len(slots) == 0 and bool((order == torch.arange(len(order)) % len(slots)).all())
