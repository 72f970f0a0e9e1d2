"""Is a text in the language that its sample declares? By py3langid (Naive Bayes over byte n-grams, 97 languages).

- A text is judged only if it has at least `MIN_LETTERS`, and reported only if neither the text nor one of its halves is
  found to be in the declared language: the shorter a text, the less sure is its language.
- Close relatives count as one language, and codes that the detector does not know are not judged.
- Without py3langid nothing is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from tracker_logging.data.voices import untagged
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.texts import quoted

MIN_LETTERS = 40
POOLED_LETTERS = 200
"""Short texts of one declared language are judged together, in pieces of this size."""
MIN_PIECES = 3
_RELATIVES = (
    {"no", "nb", "nn", "da"}, {"hr", "bs", "sr"}, {"id", "ms", "jv"}, {"pt", "gl"}, {"cs", "sk"}, {"es", "ca", "an"},
    {"hi", "mr", "ne"}, {"zh", "cmn", "yue"}, {"af", "nl"}, {"uk", "be", "ru"}, {"xh", "zu"},
)  # fmt: skip


def language_findings(records: Sequence[Record], place: Place) -> Iterator[DataFinding]:
    """Long texts in another language than declared, and declared languages whose short texts are mostly another."""
    if not is_available():
        return
    short: dict[str, list[str]] = {}
    for record in records:
        text, declared = untagged(record.sample.target_text), language_code(record.sample.language)
        if declared is None:
            continue
        if _letters(text) < MIN_LETTERS:
            short.setdefault(declared, []).append(text)
            continue
        other = other_language(text, declared)
        if other is not None:
            seen = f"declared {record.sample.language!r}, found {other!r}: {quoted(text)}"
            yield checks.LANGUAGE_OF_TEXT.at(record.place, seen=seen, field="language")
    for declared, texts in short.items():
        found = Counter(_language(piece) for piece in _pieces(texts))
        other, count = found.most_common(1)[0] if found else (declared, 0)
        if count >= MIN_PIECES and 2 * count > found.total() and not _is_related(other, declared):
            seen = f"{len(texts)} short texts are declared {declared!r} and found to be {other!r}"
            yield checks.LANGUAGE_OF_TEXT.at(place, seen=seen, field="language")


def is_available() -> bool:
    """Whether the detector is installed."""
    try:
        import py3langid  # noqa: F401
    except ImportError:
        return False
    return True


def language_code(declared: str | None) -> str | None:
    """The code that the detector knows for a declared language (`en-US` is `en`); None if it knows none."""
    code = (declared or "").replace("_", "-").split("-")[0].lower()
    return code if code in _known() else None


def other_language(text: str, declared: str) -> str | None:
    """The language of `text`, if neither the text nor one of its halves is in `declared` or a relative of it."""
    middle = text.find(" ", len(text) // 2)
    middle = len(text) // 2 if middle < 0 else middle
    other = _language(text)
    is_declared = any(_is_related(_language(part), declared) for part in (text, text[:middle], text[middle:]))
    return None if is_declared else other


def _language(text: str) -> str:
    import py3langid

    return str(py3langid.classify(text)[0])


@cache
def _known() -> frozenset[str]:
    import py3langid

    return frozenset(str(code) for code, _ in py3langid.rank("a"))


def _is_related(first: str, second: str) -> bool:
    return first == second or any({first, second} <= relatives for relatives in _RELATIVES)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _pieces(texts: Sequence[str]) -> Iterator[str]:
    piece = ""
    for text in dict.fromkeys(texts):
        piece = f"{piece} {text}".strip()
        if _letters(piece) >= POOLED_LETTERS:
            yield piece
            piece = ""
