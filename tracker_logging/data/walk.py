"""Walk a directory of recordings, as it lies on a disk.

- Links to directories are followed. A directory that can be reached in several ways is walked once, by its own name
  rather than by that of a link, so that circular links end.
- A directory that may not be listed is left out and named.
- Files in which macOS keeps attributes on other disks (`._a.wav`, AppleDouble) are left out.

    unlisted: list[Path] = []
    for folder, names in walk(Path("corpus"), unlisted): ...
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

APPLE_DOUBLE = "._"
"""How the names of macOS's files of attributes begin."""


def walk(directory: Path, unlisted: list[Path] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """`directory` and each one below it, with the names of its files in any order. Those that may not be listed are
    added to `unlisted`. Does not raise."""
    pending = [directory]
    links: deque[Path] = deque()
    seen: set[tuple[int, int]] = set()
    while pending or links:
        folder = pending.pop() if pending else links.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            names: list[str] = []
            inner: list[os.DirEntry[str]] = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_folder(entry):
                        inner.append(entry)
                    elif not entry.name.startswith(APPLE_DOUBLE):
                        names.append(entry.name)
        except OSError:
            if unlisted is not None:
                unlisted.append(folder)
            continue
        for entry in sorted(inner, key=lambda entry: entry.name):
            (links if entry.is_symlink() else pending).append(folder / entry.name)
        yield folder, names


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether `entry` is a directory or a link to one; also for a link to where this process has no rights."""
    try:
        return entry.is_dir()
    except PermissionError:
        return True
    except OSError:  # a circular link
        return False


def is_file(path: Path) -> bool:
    """Whether `path` is a file; False in a directory to which this process has no rights, where `pathlib` raises."""
    return os.path.isfile(path)  # noqa: PTH113
