"""Which columns of a table without a header are the text.

Texts are columns of sentences. The first is the text as written; a later one with most of its words is its normalised
form. Any other column of sentences may be a translation, another script, phones or a description of the voice: it is
left out beside a text with a normalised form, else it cannot be told from the text and nothing is guessed. Names that
repeat (`Linda Johnson`) are no sentences.

>>> text_columns({"2": ["In 1465 it began."], "3": ["In fourteen sixty-five it began."], "4": ["slt"]})
(['2', '3'], None)
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tracker_logging.data.sample import printable

_SAME = 0.6  # of the words of two cells, in a text and its normalised form
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")  # a Han character counts as a word
_NAME_WORDS = 3
_SENTENCE_MARKS = tuple(".?!。?!،؟।")
_SHOWN = 60  # characters of a cell


def text_columns(columns: Mapping[str, Sequence[str]]) -> tuple[list[str], str | None]:
    """The columns that hold the text, in order (the first as written, the last normalised; most often one), and another
    that may as well be the text, else None. `columns`: cells by name, one column or more."""
    sentences = [name for name, cells in columns.items() if is_text(cells)]
    candidates = [name for name in sentences if not _are_names(columns[name])] or sentences
    text = candidates[0] if candidates else max(columns, key=lambda name: _likeness_to_words(columns[name]))
    forms = [name for name in columns if name == text or _is_form(columns[name], columns[text])]
    other = next((name for name in candidates if name not in forms), None) if len(forms) == 1 else None
    return [name for name in forms if _is_composed(columns[name])] or forms, other


def unclear(columns: Mapping[str, Sequence[str]], text: str, other: str) -> str:
    """The beginning of a message that both columns may be the text, with a cell of each."""
    cells = ((name, printable(next(filter(None, columns[name]), ""))[:_SHOWN]) for name in (text, other))
    return "columns " + " and ".join(f"{name} ({cell!r})" for name, cell in cells) + " may both be the text"


def is_text(cells: Sequence[str]) -> bool:
    """Whether these are sentences: most have letters, and have a space, or are not ASCII and have some length."""
    return share_of(
        (" " in cell or (not cell.isascii() and len(cell) > 3)) and any(map(str.isalpha, cell)) for cell in cells
    ) >= 0.5  # fmt: skip


def share_of(signs: Iterable[object]) -> float:
    """The share of `signs` that are true; 0 of none."""
    values = [bool(sign) for sign in signs]
    return sum(values) / len(values) if values else 0.0


def _are_names(cells: Sequence[str]) -> bool:
    """Whether few short names repeat, as of speakers and emotions."""
    short = (len(cell.split()) <= _NAME_WORDS and not cell.endswith(_SENTENCE_MARKS) for cell in cells)
    return 2 * len(set(cells)) <= len(cells) and share_of(short) >= 0.5


def _likeness_to_words(cells: Sequence[str]) -> tuple[bool, int]:
    """Orders columns without sentences: single words come after ids and numbers, long cells after short ones."""
    words = ("".join(_WORD.findall(cell)).isalpha() and "_" not in cell for cell in cells)
    return share_of(words) >= 0.5, sum(map(len, cells))


def _is_form(cells: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether these are the same sentences, written in another way."""
    return share_of(_shared(cell, text) >= _SAME for cell, text in zip(cells, texts, strict=True)) >= 0.5


def _shared(first: str, second: str) -> float:
    """The share of words that two texts have in common, whatever their case, accents and Unicode form."""
    words, others = _words(first), _words(second)
    total = words.total() + others.total()
    return 2 * (words & others).total() / total if total else float(first == second)


def _words(text: str) -> Counter[str]:
    folded = unicodedata.normalize("NFKD", text).casefold()
    return Counter(_WORD.findall("".join(character for character in folded if not unicodedata.combining(character))))


def _is_composed(cells: Sequence[str]) -> bool:
    return all(unicodedata.is_normalized("NFC", cell) for cell in cells)
