"""A file that is there whole or not at all: it is written beside its place and moved there.

write_whole_text(path, text)
write_whole(path, lambda part: soundfile.write(part, samples, 24_000, format="FLAC"))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a hidden file in the same directory, and put it in the place of `path`. Raises `OSError`."""
    part = path.with_name(f".{path.name}.part")
    write(part)
    part.replace(path)


def write_whole_text(path: Path, text: str) -> None:
    """`text` in UTF-8. Raises `OSError`."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
