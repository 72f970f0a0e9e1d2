"""Is a text the result of decoding bytes by a wrong encoding, and what did it read before?

- UTF-8 that was decoded by another encoding is proved: encoded again, the text is valid UTF-8, of one script.
- Text of another encoding that was decoded as Western is recognised by its letters: no language has so many accents.
- KOI8-R that was decoded as cp1251 is recognised by its capitals.

>>> found = mojibake("РџСЂРёРІРµС‚")
>>> found.decoded_as, found.text
('cp1251', 'Привет')
>>> mojibake("Ça coûte déjà cher à l'été.") is None
True
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

MIN_DECODED = 2  # characters beyond ASCII that the UTF-8 reading must have: one alone may be a coincidence
MIN_WESTERN, WESTERN_SHARE = 6, 0.6  # of letters and Western signs

# Which encoding wrongly decoded the UTF-8, the usual ones first.
_WRONG = ("cp1252", "cp1251", "gb18030", "big5", "cp932", "cp949", "cp1250", "cp1253", "cp1254", "cp1256", "cp874",
          "koi8_r", "cp866", "cp437", "mac_roman")  # fmt: skip
_MULTI_BYTE = frozenset({"gb18030", "big5", "cp932", "cp949"})
_SURE = re.compile("Ã[\x80-\xbf]|â€|ï¿½|锟斤拷")
_CONTROL = re.compile("[\x80-\x9f]")
_KOI8 = re.compile(r"\b[а-яё][А-ЯЁ]{3,}\b")


@dataclass(frozen=True, slots=True)
class Mojibake:
    """`decoded_as`: the wrong encoding. `text`: what the bytes read as UTF-8, None where they are not UTF-8."""

    decoded_as: str
    text: str | None = None


def mojibake(text: str) -> Mojibake | None:
    """What shows that `text` was decoded by a wrong encoding; None if nothing does."""
    if text.isascii():
        return None
    for name in _WRONG:
        content = _encoded(text, name)
        original = None if content is None else _as_utf8(content, name)
        if original is not None:
            return Mojibake(name, original)
    if _SURE.search(text):
        return Mojibake("another encoding")
    western = [letter for letter in text if "\xa0" < letter < "\u0180"]  # letters with accents, and signs such as ¤
    if len(western) >= MIN_WESTERN:
        others = sum(letter.isalpha() for letter in text) - sum(letter.isalpha() for letter in western)
        if len(western) >= WESTERN_SHARE * (len(western) + others):
            return Mojibake("Western")
    return Mojibake("cp1251 (from KOI8-R)") if _KOI8.search(text) else None


def _encoded(text: str, name: str) -> bytes | None:
    try:
        return text.encode(name)
    except UnicodeEncodeError:
        if name != "cp1252" or not _CONTROL.search(text):
            return None
    try:  # Latin-1 and browsers read the bytes that cp1252 leaves undefined as control characters
        return b"".join(letter.encode("latin-1" if "\x80" <= letter <= "\x9f" else "cp1252") for letter in text)
    except UnicodeEncodeError:
        return None


def _as_utf8(content: bytes, name: str) -> str | None:
    """`content` as UTF-8 if that is valid and likely: enough characters, all letters beyond ASCII of one script."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    added = [character for character in text if not character.isascii()]
    letters = [character for character in added if character.isalpha()]
    if len(added) < MIN_DECODED or not letters or any("\x80" <= character <= "\x9f" for character in added):
        return None
    if name in _MULTI_BYTE and len(letters) <= MIN_DECODED and max(letters) < "\u0800":
        return None  # two Chinese characters are by chance two pairs of bytes
    return text if len({_script(letter) for letter in letters}) == 1 else None


@lru_cache(maxsize=65_536)
def _script(letter: str) -> str:
    script = unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "FULLWIDTH") else script
