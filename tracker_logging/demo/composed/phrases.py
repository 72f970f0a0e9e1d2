"""The sentences of the demo: one phrase per slot, and which sentences are held out of training.

    a sentence = WHO + DID + WHAT + WHERE                "The old man painted a red boat near the river."

Guarantees
- 625 sentences, 125 of them held out as a Latin square: every phrase and every pair of phrases occurs in training
  sentences too; the held-out combinations do not.
"""

from __future__ import annotations

from itertools import product
from typing import TypeAlias

SLOTS: tuple[tuple[str, ...], ...] = (
    ("The old man", "My little sister", "A young doctor", "The tall farmer", "Our new teacher"),
    ("painted", "carried", "borrowed", "admired", "forgot"),
    ("a red boat", "the yellow basket", "an empty bottle", "two heavy books", "her silver watch"),
    ("near the river", "before breakfast", "in the garden", "on Sunday evening", "behind the school"),
)
SYSTEM_TEXT = "Speak the text in the voice of the reference."

Sentence: TypeAlias = tuple[int, ...]  # the phrase of each slot

SENTENCES: tuple[Sentence, ...] = tuple(product(*(range(len(slot)) for slot in SLOTS)))
HELD_OUT: tuple[Sentence, ...] = tuple(sentence for sentence in SENTENCES if sum(sentence) % 5 == 0)
TRAINED: tuple[Sentence, ...] = tuple(sentence for sentence in SENTENCES if sum(sentence) % 5 != 0)


def sentence_text(sentence: Sentence) -> str:
    """The written sentence."""
    return " ".join(slot[choice] for slot, choice in zip(SLOTS, sentence, strict=True)) + "."


def clip_name(speaker: str, slot: int, choice: int) -> str:
    """File name of a phrase clip."""
    return f"{speaker}_{slot}{choice}.flac"
