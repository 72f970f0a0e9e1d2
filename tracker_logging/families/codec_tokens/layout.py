"""How a text vocabulary holds audio codes: the tokens of each slot of a frame, and how a prompt is written.

layout = TokenLayout(
    name="mine",
    slots=(Slot("<a_{}>", codes=1024), Slot("<b_{}>", codes=1024)),      # two tokens a frame
    end="</speech>",
    prompt="{target_text}<speech>{target_audio}</speech>",
    cloning="{reference_text}<speech>{reference_audio}</speech>{target_text}<speech>{target_audio}</speech>",
)
ids = layout.ids(tokenizer)           # raises DataError where the tokenizer lacks a token
adapter = CodecTokenAdapter(model, ids)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import torch

from tracker_logging.data.sample import DataError


@dataclass(frozen=True, slots=True)
class Slot:
    """The tokens of one slot: `token`, such as `<|s_{}|>`, with the numbers `first` to `first + codes - 1`.

    `per_clip`: a clip has these tokens once, before those of its frames (the global tokens of BiCodec).
    """

    token: str
    codes: int
    first: int = 0
    per_clip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLayout:
    """The tokens and the prompt that checkpoints of one kind share.

    - `slots`: in the order of their tokens in a frame; `end`: the token that ends a clip
    - `prompt`: a whole sample without a reference, with `{target_text}` and `{target_audio}` (the tokens of its
      frames); `cloning`: with a reference, also with `{reference_text}` and `{reference_audio}`. Tokens of a clip as a
      whole are `{target_clip}` and `{reference_clip}`. Empty: the processor builds no samples, so there are no voices
    - `inside`: other tokens may be between those of a clip (words, features)
    - `by_word`: the prompt is that of OuteTTS, with the times of words (`outetts.py`), in place of `prompt`
    - `chat`: the template is the content of the user's turn, a line feed, and that of the assistant's turn, for the
      chat template of the tokenizer
    """

    name: str
    slots: tuple[Slot, ...]
    end: str
    prompt: str = ""
    cloning: str = ""
    inside: bool = False
    by_word: bool = False
    chat: bool = False

    def ids(self, tokenizer: Any) -> TokenIds:
        """The ids of all tokens. Raises `DataError`, naming a token, if the tokenizer lacks one."""
        ends = [slot.token.format(slot.first + at) for slot in self.slots for at in (0, slot.codes - 1)]
        rows_or_none = [_token_id(tokenizer, token) for token in (*ends, self.end)]
        missing = [token for token, row in zip((*ends, self.end), rows_or_none, strict=True) if row is None]
        ids = [-1 if row is None else row for row in rows_or_none]
        slots = tuple(range(first, last + 1) for first, last in zip(ids[:-1:2], ids[1::2], strict=True))
        if not missing:
            pairs = zip(self.slots, slots, strict=True)
            missing = [f"{slot.token} in a row" for slot, rows in pairs if len(rows) != slot.codes]
        if missing:
            raise DataError(
                f"The tokenizer has no {missing[0]}, a codec token of layout {self.name!r}. Pass the tokenizer of the "
                "checkpoint, or the layout that it has."
            )
        per_clip = frozenset(at for at, slot in enumerate(self.slots) if slot.per_clip)
        return TokenIds(name=self.name, slots=slots, end=ids[-1], per_clip=per_clip, inside=self.inside)

    def sample_text(self, template: str, tokenizer: Any, **texts: str) -> str:
        """`template` with its texts filled in; the places of audio stay. Raises `DataError` without a chat template."""
        places = ("reference_audio", "reference_clip", "target_audio", "target_clip")
        filled = template.format(**{"reference_text": "", **texts, **{name: f"{{{name}}}" for name in places}})
        if not self.chat:
            return filled
        if not getattr(tokenizer, "chat_template", None):
            raise DataError(f"The tokenizer has no chat template, which layout {self.name!r} needs. Set it.")
        user, assistant = filled.rsplit("\n", 1)
        turns = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
        return str(tokenizer.apply_chat_template(turns, tokenize=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """A layout in one vocabulary: the rows of the codes of each slot, and that of the end token. See `TokenLayout`.

    Raises `ValueError` if ranges overlap.
    """

    name: str
    slots: tuple[range, ...]
    end: int
    per_clip: frozenset[int] = frozenset()
    inside: bool = False

    def __post_init__(self) -> None:
        ordered = sorted(self.slots, key=lambda slot: slot.start)
        overlapping = any(left.stop > right.start for left, right in pairwise(ordered))
        if len(self.slots) == len(self.per_clip) or overlapping or any(self.end in slot for slot in ordered):
            raise ValueError(
                f"layout {self.name!r}: give each slot its own range of ids, `end` in none of them, and frames a slot."
            )

    @property
    def codes(self) -> int:
        """Codes of the largest slot."""
        return max(len(slot) for slot in self.slots)

    @property
    def highest(self) -> int:
        """The highest id."""
        return max(self.end, *(slot.stop - 1 for slot in self.slots))

    @property
    def of_frames(self) -> list[int]:
        """The slots that each frame has."""
        return [slot for slot in range(len(self.slots)) if slot not in self.per_clip]

    def columns(self, slot: int) -> torch.Tensor:
        """[codes + 1] int64: the vocabulary row of each code, -1 where the slot has none. The last is that of the end
        token, in slot 0."""
        rows = torch.full((self.codes + 1,), -1, dtype=torch.int64)
        rows[: len(self.slots[slot])] = torch.tensor(self.slots[slot])
        if slot == 0:
            rows[-1] = self.end
        return rows

    def codes_of(self, token_ids: torch.Tensor) -> torch.Tensor:
        """[..., K] int64: the code of each token in its slot, -1 in the other slots and for all other tokens."""
        inside = [(token_ids >= slot.start) & (token_ids < slot.stop) for slot in self.slots]
        codes = [torch.where(at, token_ids - slot.start, -1) for at, slot in zip(inside, self.slots, strict=True)]
        return torch.stack(codes, dim=-1)

    def tokens_of(self, codes: torch.Tensor, slots: Sequence[int]) -> torch.Tensor:
        """[T · n] int64: the tokens of `slots` of codes [K, T], frame by frame."""
        return torch.stack([codes[slot] + self.slots[slot].start for slot in slots], dim=1).flatten()

    def whole_frames(self, tokens: Sequence[int]) -> torch.Tensor:
        """[T, n] int64: the frames in `tokens`, up to the end token, with one code for each slot `of_frames`. A token
        that is no code of the slot that comes next is skipped."""
        codes, slots = [code for _, code in self._due(tokens)], len(self.of_frames)
        whole = codes[: len(codes) // slots * slots]
        return torch.tensor(whole, dtype=torch.int64).reshape(-1, slots)

    def tokens_to_first_frame(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` it takes to the end of the first of their `whole_frames`; 0 without one."""
        last = next(islice(self._due(tokens), len(self.of_frames) - 1, None), None)
        return 0 if last is None else last[0] + 1

    def _due(self, tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Place and code of each token that is a code of the slot that comes next."""
        slots, found = [self.slots[slot] for slot in self.of_frames], 0
        for at, token in enumerate(tokens):
            if token == self.end:
                return
            expected = slots[found % len(slots)]
            if token in expected:
                found += 1
                yield at, token - expected.start


def _token_id(tokenizer: Any, token: str) -> int | None:
    """The id of a token of the vocabulary, or None: unknown tokens have the id of the unknown token."""
    try:
        row = tokenizer.convert_tokens_to_ids(token)
    except (AttributeError, KeyError):  # a tokenizer of the user's own
        return None
    return row if isinstance(row, int) and tokenizer.convert_ids_to_tokens(row) == token else None
