"""Everyday sentences from a small vocabulary, for pretraining the demo's model: thousands of them, 1.5 to 3 s spoken.

Guarantees
- The same `number` and `seed` give the same sentences, none twice.
- Every word is in `VOCABULARY`, and each occurs in several templates and neighbourhoods.

    sentences = draw_sentences(3000, seed=0)    # ["My brother found a green bottle.", ...]
"""

from __future__ import annotations

import random
import re

_SLOTS: dict[str, tuple[str, ...]] = {
    "WHO": (
        "my brother", "my sister", "the doctor", "the farmer", "the teacher", "the old man", "the young woman",
        "our neighbour", "his father", "her mother", "the little boy", "the tall girl", "the captain", "the painter",
        "they", "we", "she", "he", "nobody", "everyone",
    ),
    "DID": (
        "painted", "carried", "found", "bought", "forgot", "opened", "lost", "cleaned", "moved", "borrowed", "sold",
        "dropped", "watched", "liked", "wanted", "needed",
    ),
    "DO": ("bring", "open", "take", "find", "carry", "clean", "sell", "paint", "hide", "borrow"),
    "ADJECTIVE": ("red", "yellow", "green", "empty", "heavy", "silver", "small", "broken", "warm", "strange"),
    "THING": (
        "boat", "basket", "bottle", "book", "watch", "letter", "window", "table", "bicycle", "apple", "guitar",
        "camera", "jacket", "picture", "ladder", "mirror",
    ),
    "A": ("a", "the", "my", "her", "his", "one", "this", "that"),
    "WHERE": (
        "near the river", "in the garden", "behind the school", "at the station", "on the bridge", "in the kitchen",
        "by the lake", "under the tree", "at home", "in town",
    ),
    "WHEN": (
        "yesterday", "today", "this morning", "before breakfast", "on Sunday", "on Friday", "after dinner",
        "last winter", "every summer", "at noon",
    ),
    "HOW": ("cold", "quiet", "open", "beautiful", "late", "dark", "ready", "expensive", "old", "very small"),
}  # fmt: skip
_TEMPLATES = (
    "WHO DID A ADJECTIVE THING.",
    "WHO DID A THING WHERE.",
    "WHO DID A THING WHEN.",
    "WHEN WHO DID A THING.",
    "Please DO A ADJECTIVE THING.",
    "Please DO A THING WHEN.",
    "Did WHO DO A THING?",
    "Where is A ADJECTIVE THING?",
    "The THING WHERE was HOW.",
    "A THING is HOW WHEN.",
    "I DID A ADJECTIVE THING WHEN.",
    "Can you DO A THING WHERE?",
)
_SLOT = re.compile("|".join(sorted(_SLOTS, key=len, reverse=True)))


def draw_sentences(number: int, *, seed: int) -> list[str]:
    """`number` different sentences in random order."""
    choice = random.Random(seed)
    drawn: dict[str, None] = {}
    while len(drawn) < number:
        template = choice.choice(_TEMPLATES)
        text = _SLOT.sub(lambda slot: choice.choice(_SLOTS[slot.group()]), template)
        drawn[_corrected(text[0].upper() + text[1:])] = None
    return list(drawn)


def _corrected(text: str) -> str:
    """With `an` before vowels."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def words(text: str) -> list[str]:
    """Lower-case words and punctuation marks of a sentence."""
    return re.findall(r"[a-z']+|[^\w\s]", text.lower())


VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {word for phrases in _SLOTS.values() for phrase in phrases for word in words(phrase)}
        | {word for template in _TEMPLATES for word in words(_SLOT.sub("", template))}
        | {"an"}
    )
)
