"""Word and character errors of a transcript against the target text.

Guarantees
- Both sides pass through the same normaliser, `NORMALISER`; no model and no language resource is needed.
- Corpus rates are sums of errors over sums of words, as in Seed-TTS-eval, not means of rates.

    >>> word_errors(text="the cat sat", transcript="The cat, sat!").rate
    0.0
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NORMALISER = "NFKC, lower case, letters, digits and apostrophes"


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Substitutions, deletions and insertions (`errors`) against `length` words or characters of the text."""

    errors: int
    length: int

    @property
    def rate(self) -> float:
        """Errors per word or character; above 1 with many insertions. NaN for an empty text."""
        return self.errors / self.length if self.length else float("nan")


def total(counts: Iterable[ErrorCount]) -> ErrorCount:
    """The count over a corpus."""
    items = list(counts)
    return ErrorCount(sum(count.errors for count in items), sum(count.length for count in items))


def word_errors(*, text: str, transcript: str) -> ErrorCount:
    """Word errors (WER)."""
    words = normalise(text).split()
    return ErrorCount(_edits(words, normalise(transcript).split()), len(words))


def character_errors(*, text: str, transcript: str) -> ErrorCount:
    """Character errors (CER), spaces left out; the measure for languages that do not separate words."""
    letters = normalise(text).replace(" ", "")
    return ErrorCount(_edits(letters, normalise(transcript).replace(" ", "")), len(letters))


def leaked_share(*, reference: str, target: str, transcript: str) -> float:
    """Share of the reference text's words, without the target's, that are in the transcript; NaN without such words."""
    foreign = set(normalise(reference).split()) - set(normalise(target).split())
    return len(foreign & set(normalise(transcript).split())) / len(foreign) if foreign else float("nan")


def normalise(text: str) -> str:
    """See `NORMALISER`."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    # Combining marks belong to their letters, as vowels do in Devanagari or Thai.
    kept = "".join(c if c.isalnum() or c == "'" or unicodedata.category(c).startswith("M") else " " for c in plain)
    return " ".join(re.sub(r"(?<!\w)'|'(?!\w)", " ", kept).split())


def _edits(expected: Sequence[str], actual: Sequence[str]) -> int:
    """Levenshtein distance."""
    row = list(range(len(actual) + 1))
    for index, item in enumerate(expected, start=1):
        diagonal, row[0] = row[0], index
        for place, other in enumerate(actual, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (item != other))
    return row[-1]
