"""Token ids as a person reads them: special tokens visible, runs of one token collapsed.

readable_tokens([5, 5, 5, 5, 5], tokenizer)      # "<|AUDIO_OUT|>×5"
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any

RUN = 4


def readable_tokens(token_ids: Iterable[int], tokenizer: Any) -> str:
    """Decoded text. A token that comes `RUN` or more times in a row is written once, with its count.

    Without a tokenizer the ids themselves are shown. A position without a token (-1, audio of a decoder) is `<audio>`.
    """
    parts: list[str] = []
    pending: list[int] = []

    def flush() -> None:
        if pending:
            parts.append(_decode(pending, tokenizer))
            pending.clear()

    for token_id, same in groupby(token_ids):
        count = len(list(same))
        if token_id < 0:
            flush()
            parts.append(f"<audio>×{count}")
        elif count < RUN:
            pending.extend([token_id] * count)
        else:
            flush()
            parts.append(f"{_decode([token_id], tokenizer)}×{count}")
    flush()
    return ("" if tokenizer else " ").join(parts)


def target_words(token_ids: Iterable[int], tokenizer: Any, *, special_ids: Collection[int]) -> str:
    """The text of the longest run without a special token: the words are between the tokens of a chat template."""
    runs = [list(run) for is_special, run in groupby(token_ids, key=lambda at: at in special_ids) if not is_special]
    longest = [token_id for token_id in max(runs, key=len, default=[]) if token_id >= 0]
    return _decode(longest, tokenizer).strip() if longest else ""


def _decode(token_ids: list[int], tokenizer: Any) -> str:
    if tokenizer is None:
        return " ".join(str(token_id) for token_id in token_ids)
    return str(tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
