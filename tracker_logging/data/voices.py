"""Tags that tell the voices of a dialogue apart: `[SPEAKER0]`, `[SPEAKER1]`, …, as Higgs Audio v2 writes them.

>>> voices_in("[SPEAKER0] Hello. [SPEAKER1] Bye.")
(0, 1)
>>> voice_parts("[SPEAKER0] Hello.\\n[SPEAKER1] Bye.")
[(0, 'Hello.'), (1, 'Bye.')]
>>> voice_parts("Hello.")
[(0, 'Hello.')]
>>> retagged("Hello.", like="[SPEAKER1] Bye.")
'[SPEAKER1] Hello.'
>>> in_voice_of("Hello.", ["[SPEAKER1] Bye."]), in_voice_of("Hello.", ["Well. [SPEAKER1] Bye."])
('[SPEAKER1] Hello.', 'Hello.')
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_START = "[SPEAKER"
_TAG = re.compile(r"\[SPEAKER(\d+)\]")


def voices_in(text: str) -> tuple[int, ...]:
    """The numbers of the voices in `text`, in order, each once; voice 0 before the first tag. Empty without a tag."""
    before, *tagged = _TAG.split(text)
    first = (0,) if tagged and before.strip() else ()
    return tuple(dict.fromkeys((*first, *map(int, tagged[::2]))))


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


def in_voice_of(text: str, others: Sequence[str]) -> str:
    """`text`, if it has no tag, with the tag of `others`, if they have one and are of one voice."""
    voices = {voice for other in others for voice in voices_in(other) or (0,)}
    is_theirs = not voices_in(text) and len(voices) == 1 and any(map(voices_in, others))
    return retagged(text, like=" ".join(others)) if is_theirs else text
