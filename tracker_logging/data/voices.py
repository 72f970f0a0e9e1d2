"""Tags that tell the voices of a dialogue apart: `[SPEAKER0]`, `[SPEAKER1]`, …, as Higgs Audio v2 writes them.

>>> voices_in("[SPEAKER0] Hello. [SPEAKER1] Bye.")
(0, 1)
>>> voice_parts("[SPEAKER0] Hello.\\n[SPEAKER1] Bye.")
[(0, 'Hello.'), (1, 'Bye.')]
>>> voice_parts("Hello.")
[(0, 'Hello.')]
>>> retagged("Hello.", like="[SPEAKER1] Bye.")
'[SPEAKER1] Hello.'
"""

from __future__ import annotations

import re

_START = "[SPEAKER"
_TAG = re.compile(r"\[SPEAKER(\d+)\]")


def voices_in(text: str) -> tuple[int, ...]:
    """The numbers of the voices that `text` names, in order, each once."""
    return tuple(dict.fromkeys(int(number) for number in _TAG.findall(text)))


def voice_parts(text: str) -> list[tuple[int, str]]:
    """(voice, words) of each stretch of `text`, without the tags; voice 0 before the first tag."""
    before, *tagged = _TAG.split(text)
    parts = [(0, before), *((int(number), words) for number, words in zip(tagged[::2], tagged[1::2], strict=True))]
    return [(voice, words.strip()) for voice, words in parts if words.strip()]


def untagged(text: str) -> str:
    """The words of `text` without the tags."""
    if _START not in text:  # as in most texts
        return text.strip()
    return " ".join(words for _, words in voice_parts(text))


def retagged(text: str, *, like: str) -> str:
    """The words of `text` with the first tag of `like`, if it has one."""
    voices = voices_in(like)
    return f"[SPEAKER{voices[0]}] {untagged(text)}" if voices else untagged(text)
