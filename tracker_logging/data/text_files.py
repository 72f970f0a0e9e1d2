"""Text files as UTF-8, with a clear word about any other encoding.

with open_utf8(Path("train.json")) as file: ...
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tracker_logging.data.sample import DataError, shown

UTF8_MARK = codecs.BOM_UTF8
_OTHERS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


@contextmanager
def open_utf8(path: Path) -> Iterator[TextIO]:
    """`path` open for reading, a byte order mark left out, line ends as they are. Raises `DataError` where it cannot be
    read or is not UTF-8, also while it is being read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise wrong_encoding(shown(path), error) from error
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}).") from error


def read_utf8(path: Path) -> str:
    """The whole text. Raises `DataError`."""
    with open_utf8(path) as file:
        return file.read()


def mark_bytes(path: Path) -> int:
    """How many bytes the byte order mark of UTF-8 takes at the start of `path`: 3, or 0 without one."""
    with path.open("rb") as file:
        return len(UTF8_MARK) if file.read(len(UTF8_MARK)) == UTF8_MARK else 0


def check_encoding(path: Path) -> None:
    """Raises `DataError` if `path` begins like UTF-16 or UTF-32."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}).") from error
    name = next((name for mark, name in _OTHERS.items() if start.startswith(mark)), None)
    if name is None and len(start) == 4 and start.count(0) == 2 and (start[0] or start[1]):  # without a mark
        name = "UTF-16"
    if name:
        raise DataError(f"{shown(path)}: is {name}, not UTF-8. Convert it: iconv -f {name} -t UTF-8 OLD > NEW.")


def wrong_encoding(where: str, error: UnicodeDecodeError) -> DataError:
    """What to say of bytes that are not UTF-8, at `where`."""
    byte = error.object[error.start]
    return DataError(
        f"{where}: not UTF-8 (byte 0x{byte:02x}: {error.reason}), perhaps Latin-1. "
        "Convert it: iconv -f LATIN1 -t UTF-8 OLD > NEW."
    )
