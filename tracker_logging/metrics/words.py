"""Word and character errors of a transcript against the target text.

Guarantees
- Both sides pass through the same normaliser, `NORMALISER`; no model and no language resource is needed.
- Corpus rates are sums of errors over sums of words, not means of rates.
- `benchmark_errors` counts as `run_wer.py` of Seed-TTS-eval does; its rate is the mean over clips.

    >>> word_errors(text="the cat sat", transcript="The cat, sat!").rate
    0.0
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import punctuation

NORMALISER = "NFKC, lower case, letters, digits and apostrophes"


BENCHMARK_LANGUAGES = ("en", "zh")
# All but the apostrophe: ASCII, and the Chinese punctuation of zhon 2.0.2, to which also U+2019 (’) belongs.
_CHINESE = (
    "\u3000、〃〈〉《》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏﹑﹔·．！？｡。"
    "＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､"
)
_REMOVED = str.maketrans("", "", (punctuation + _CHINESE).replace("'", ""))


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
    return _count(normalise(text).split(), normalise(transcript).split())


def character_errors(*, text: str, transcript: str) -> ErrorCount:
    """Character errors (CER), spaces left out; the measure for languages that do not separate words."""
    return _count(normalise(text).replace(" ", ""), normalise(transcript).replace(" ", ""))


def benchmark_errors(*, text: str, transcript: str, language: str) -> ErrorCount:
    """Errors as Seed-TTS-eval counts them: words in English, characters in Chinese, punctuation removed.

    `language`: one of `BENCHMARK_LANGUAGES`. The transcript of Chinese is to be in simplified characters.

    >>> benchmark_errors(text="Well-known, isn't it?", transcript="wellknown isn't it", language="en").rate
    0.0
    """
    expected, actual = (side.translate(_REMOVED) for side in (text, transcript))
    if language == "zh":
        return _count("".join(expected.split()), "".join(actual.split()))
    return _count(expected.lower().split(), actual.lower().split())


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


def _count(expected: Sequence[str], actual: Sequence[str]) -> ErrorCount:
    return ErrorCount(_edits(expected, actual), len(expected))


def _edits(expected: Sequence[str], actual: Sequence[str]) -> int:
    """Levenshtein distance."""
    row = list(range(len(actual) + 1))
    for index, item in enumerate(expected, start=1):
        diagonal, row[0] = row[0], index
        for place, other in enumerate(actual, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (item != other))
    return row[-1]
