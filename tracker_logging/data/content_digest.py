"""Which file or directory is it? A short digest of its content, at a bounded cost.

    content_of(Path("outputs/checkpoint-500"), skip=("optimizer*",)).digest      # "47100f5ecc4d4096"

Guarantees
- The digest depends on names (relative, without the place), sizes and content, not on times or on where it lies.
- Files up to `BLOCKS` blocks are read whole. Of a larger one that many blocks are read, evenly spread, so that the
  weights of two steps differ; it tells which content it is, and does not prove that it is undamaged.
- Of more than `MOST_READ` files, the others count by name and size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

BLOCK_BYTES = 1 << 16
BLOCKS = 64
MOST_READ = 500
DIGITS = 16


@dataclass(frozen=True)
class Content:
    """`digest`: hexadecimal, `DIGITS` long. `files`: how many are covered, `size_bytes`: of all of them together."""

    digest: str
    files: int
    size_bytes: int


def content_of(place: Path, *, skip: Sequence[str] = ()) -> Content:
    """Of a file, or of all files in a directory whose name matches no pattern of `skip`. Raises `OSError`."""
    named = {place.name: place} if place.is_file() else _files(place, skip)
    digest, size_bytes = hashlib.sha256(), 0
    for number, name in enumerate(sorted(named)):
        size = named[name].stat().st_size
        size_bytes += size
        digest.update(f"{len(name)}:{name}:{size}:".encode("utf-8", "surrogatepass"))
        for block in _blocks(named[name], size) if number < MOST_READ else ():
            digest.update(block)
    return Content(digest=digest.hexdigest()[:DIGITS], files=len(named), size_bytes=size_bytes)


def _files(directory: Path, skip: Sequence[str]) -> dict[str, Path]:
    return {
        path.relative_to(directory).as_posix(): path
        for path in directory.rglob("*")
        if path.is_file() and not any(fnmatch(path.name, pattern) for pattern in skip)
    }


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    spare = size - BLOCK_BYTES
    is_small = size <= BLOCKS * BLOCK_BYTES
    starts = range(0, size, BLOCK_BYTES) if is_small else [spare * at // (BLOCKS - 1) for at in range(BLOCKS)]
    with path.open("rb") as file:
        for start in starts:
            file.seek(start)
            yield file.read(BLOCK_BYTES)
