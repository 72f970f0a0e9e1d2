"""Text files as UTF-8, and a message that names the encoding of any other.

A file that is not UTF-8 is never decoded by a guess: a wrong guess gives wrong training texts. The message names the
likely encodings and shows how each reads the text, so that a person can decide. It gives a command only for UTF-16 and
UTF-32, which are certain.

    with open_utf8(Path("train.json")) as file: ...
    read_utf8(Path("a1.txt"))
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from tracker_logging.data.sample import DataError, cannot_read, printable, shown

MAX_TEXT_BYTES = 16_000_000
UTF8_MARK = codecs.BOM_UTF8

_MARKS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
# What people mean by an encoding, by the name that charset-normalizer gives it.
_NAMES = {
    "gb18030": "GB18030 (GBK)",
    "big5": "Big5",
    "cp932": "Shift-JIS (cp932)",
    "cp949": "EUC-KR (cp949)",
    "euc_jis_2004": "EUC-JP",
    "cp1251": "cp1251",
    "koi8_r": "KOI8-R",
    "cp1252": "cp1252 (Western)",
    "cp1250": "cp1250 (Central European)",
    "cp1253": "cp1253 (Greek)",
    "cp1254": "cp1254 (Turkish)",
    "cp1255": "cp1255 (Hebrew)",
    "cp1256": "cp1256 (Arabic)",
    "cp1257": "cp1257 (Baltic)",
    "cp1258": "cp1258 (Vietnamese)",
    "cp874": "cp874 (Thai)",
}
_LATIN = ("cp1252", "cp1250", "cp1254")  # charset-normalizer cannot rank these on a short text
_BALTIC = "cp1257"  # which it takes short Turkish texts for
_LINE_END = re.compile(r"\r\n?|\n")
_NOT_ASCII = re.compile(rb'[A-Za-z]*[\x80-\xff][^\x00-\x20"]*')
_EVIDENCE_BYTES = 1 << 14
_SIBLINGS = 200
_SHOWN = 24  # characters


@contextmanager
def open_utf8(path: Path) -> Iterator[TextIO]:
    """`path` open for reading, without a byte order mark, line ends unchanged. Raises `DataError` if it cannot be read
    or is not UTF-8, also while it is being read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise wrong_encoding(shown(path), error) from error
    except OSError as error:
        raise cannot_read(path, error) from error


def read_utf8(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The whole text. Raises `DataError`, also for a file that is not regular or larger than `max_bytes`."""
    if not path.is_file():
        raise DataError(f"{shown(path)}: not a regular file. Write the text into a file.")
    check_encoding(path)
    try:
        if path.stat().st_size > max_bytes:
            raise DataError(f"{shown(path)}: larger than {max_bytes / 1e6:g} MB. Check what was written into it.")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        evidence = bytes(error.object) + _of_siblings(path.parent, path.suffix)
        raise wrong_encoding(shown(path), error, evidence=evidence) from error
    except OSError as error:
        raise cannot_read(path, error) from error


def text_lines(text: str) -> list[str]:
    """The lines of `text`, ended by `\\n`, `\\r\\n` or `\\r`: other line separators of Unicode, at which
    `str.splitlines` ends a line, too, are part of it."""
    return _LINE_END.split(text)


def mark_bytes(path: Path) -> int:
    """The length of the UTF-8 byte order mark at the start of `path`: 3, or 0 without one."""
    with path.open("rb") as file:
        return len(UTF8_MARK) if file.read(len(UTF8_MARK)) == UTF8_MARK else 0


def check_encoding(path: Path) -> None:
    """Raises `DataError` if `path` begins like UTF-16 or UTF-32."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise cannot_read(path, error) from error
    if name := wide_encoding(start):
        raise DataError(f"{shown(path)}: is {name}, not UTF-8. Convert it: iconv -f {name} -t UTF-8 OLD > NEW.")


def wide_encoding(start: bytes) -> str | None:
    """The form of UTF-16 or UTF-32 in which a file is written that begins with these four bytes; None if in neither."""
    name = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if name is None and len(start) == 4 and start.count(0) == 2:  # without a mark
        name = "UTF-16LE" if start[0] and start[2] else "UTF-16BE" if start[1] and start[3] else None
    return name


def wrong_encoding(where: str, error: UnicodeDecodeError, *, evidence: bytes | None = None) -> DataError:
    """The error for bytes at `where` that are not UTF-8. `evidence`: more bytes in the same encoding."""
    content = bytes(error.object)
    readings = likely_encodings(evidence or content, content[error.start :][: 4 * _SHOWN])
    reason = f"byte 0x{content[error.start]:02x}: {error.reason}"
    if readings:
        listed = " or ".join(f"{name}, which reads it as {text!r}" for name, text in readings)
        reason += f", probably {listed}"
    return DataError(
        f"{where}: not UTF-8 ({reason}). Save it as UTF-8 in the program that wrote it, or convert it from its "
        "encoding and compare the text."
    )


def likely_encodings(content: bytes, excerpt: bytes) -> list[tuple[str, str]]:
    """Up to four encodings that `content` may be in, the likeliest first, each with its reading of `excerpt`."""
    from charset_normalizer import from_bytes

    content = b" ".join(_NOT_ASCII.findall(content))[:_EVIDENCE_BYTES]  # the syntax of JSON would count as Western
    matches = from_bytes(content, cp_isolation=list(_NAMES))
    names = [match.encoding for match in matches]
    if _is_kana(content, "euc_jis_2004"):  # charset-normalizer takes it for Big5 or Korean
        names = ["euc_jis_2004"]
    elif not names:
        return []
    elif names[0] in (*_LATIN, _BALTIC):
        given = dict.fromkeys((*names[:1], *_LATIN) if names[0] == _BALTIC else _LATIN)
        names = [name for name in given if _decoded(content, name) is not None]
    else:
        best = next(iter(matches))
        names = [match.encoding for match in matches if match.chaos <= best.chaos and match.language == best.language]
    readings: dict[str, str] = {}  # by what is read: encodings that agree need not be told apart
    for name in names:
        text = printable(excerpt.decode(name, errors="ignore").strip())[:_SHOWN]
        readings.setdefault(text, _NAMES.get(name, name))
    return [(name, text) for text, name in readings.items()][:4]


def _is_kana(content: bytes, name: str) -> bool:
    """Whether a third of what is not ASCII is Japanese syllables."""
    text = _decoded(content, name) or ""
    kana = sum("\u3040" <= character <= "\u30ff" for character in text)
    return kana > 0 and 3 * kana >= sum(not character.isascii() for character in text)


def _decoded(content: bytes, name: str) -> str | None:
    try:
        return content[:_EVIDENCE_BYTES].decode(name)
    except UnicodeDecodeError:
        return None


@lru_cache(maxsize=64)
def _of_siblings(folder: Path, suffix: str) -> bytes:
    """The starts of files in `folder` that are not UTF-8: a single transcript is too short to recognise an encoding."""
    evidence = b""
    try:
        with os.scandir(folder) as entries:
            names = [entry.path for _, entry in zip(range(_SIBLINGS), entries, strict=False) if entry.is_file()]
        for name in sorted(names):
            if name.endswith(suffix) and len(evidence) < _EVIDENCE_BYTES:
                with Path(name).open("rb") as file:
                    content = file.read(256)
                if _decoded(content, "utf-8") is None:
                    evidence += b"\n" + content
    except OSError:  # less evidence is no fault
        pass
    return evidence
