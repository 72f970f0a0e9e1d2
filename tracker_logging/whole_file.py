"""Two ways to write a file so that a reader never sees half of something.

    with whole_file(path) as part:           # completely or not at all: beside its place first, then moved there
        soundfile.write(part, samples, 24_000, format="FLAC")
    write_whole_text(path, text)
    AppendFile(path).append(line)            # whole pieces only, unbuffered

Guarantees
- After a failed write (disk full) no part of it is left, neither at the end of a file nor beside it.
- Several processes may write the same whole file: it is one of theirs.
- `AppendFile` writes to its own file or raises, even if its descriptor was closed and the number is in use again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields the path of a hidden file in the same directory, which is not there yet. It replaces `path` at the end, or
    is removed after an exception. Raises `OSError`."""
    part = path.with_name(f".{token_hex(8)}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_whole_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8. Raises `OSError`."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


class AppendFile:
    """A file that grows by whole pieces. Not thread-safe. Every method but `close` raises `OSError`.

    `is_new`: refuse a file that exists already.
    """

    def __init__(self, path: Path, *, is_new: bool = False) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_EXCL if is_new else 0)
        self._descriptor = os.open(path, flags, 0o644)
        self._identity = _identity(os.fstat(self._descriptor))

    def is_gone(self) -> bool:
        """Whether the file was removed, or the descriptor is no longer ours: what is appended would be lost."""
        try:
            state = os.fstat(self._descriptor)
        except OSError:
            return True
        return state.st_nlink == 0 or _identity(state) != self._identity

    def append(self, data: bytes) -> None:
        """Write `data`; on an error (disk full) cut off again what was written of it."""
        size = self._check().st_size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    @property
    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._descriptor).st_size

    def cut(self, size: int) -> None:
        """Remove everything after the first `size` bytes."""
        self._check()
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Ask the kernel to write everything to the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file, unless the descriptor belongs to another one by now. A second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            if descriptor >= 0 and _identity(os.fstat(descriptor)) == self._identity:
                os.close(descriptor)

    def _check(self) -> os.stat_result:
        state = os.fstat(self._descriptor)
        if _identity(state) != self._identity:
            raise OSError("the file was closed by other code of this process")
        return state


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino
