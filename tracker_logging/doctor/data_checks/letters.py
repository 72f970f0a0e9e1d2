"""The letters of a text: without case and punctuation, their script, and how long they take.

>>> words("The Café, again!"), script_of("река"), weighted_letters("At 10 o'clock"), weighted_letters("你好")
('thecaféagain', 'CYRILLIC', 16.0, 6.0)
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_WEIGHTS = {"CJK": 3.0, "HIRAGANA": 2.0, "KATAKANA": 2.0, "HANGUL": 2.0}
_DIGIT = 4.0
_ENDS = frozenset(".!?…。！？։।؟♪。\"'”’»)]」』")
_ASCII_OTHERS = {code: None for code in range(128) if not chr(code).isalnum()}
_ASCII_DIGITS = str.maketrans("", "", "0123456789")


def words(text: str) -> str:
    """The letters and digits of a text, compatibility-normalised and without case."""
    if text.isascii():
        return text.lower().translate(_ASCII_OTHERS)
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def script_of(text: str) -> str | None:
    """The script of most letters (`LATIN`, `CYRILLIC`, `CJK`, …); None without letters."""
    if text.isascii():
        return "LATIN" if any(map(str.isalpha, text)) else None
    counts: dict[str, int] = {}
    for letter in text:
        if letter.isalpha():
            script = _script(letter)
            counts[script] = counts.get(script, 0) + 1
    return max(counts, key=lambda script: counts[script], default=None)


def weighted_letters(text: str) -> float:
    """Letters and digits of a text in units of an English letter's duration: Han 3, kana and Hangul 2, digits 4."""
    if text.isascii():
        plain = text.translate(_ASCII_OTHERS)
        letters = len(plain.translate(_ASCII_DIGITS))
        return letters + _DIGIT * (len(plain) - letters)
    return sum(
        _DIGIT if letter.isdigit() else _WEIGHTS.get(_script(letter) if letter.isalpha() else "", 1.0)
        for letter in text
        if letter.isalnum()
    )


def is_finished(text: str) -> bool:
    """Whether it ends with a full stop or similar; an empty text does."""
    text = text.rstrip()
    return not text or text[-1] in _ENDS


@lru_cache(maxsize=65_536)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0]
