"""Resolve the file names in a data file.

find_file("clips/slt.flac", [Path("data"), Path("data").parent])
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from tracker_logging.data.sample import DataError

_MISSING = (errno.ENOENT, errno.ENOTDIR)


def search_folders(data_file: Path) -> tuple[Path, ...]:
    """The folders in which relative paths of `data_file` are looked for, in order: its folder, the parent and
    grandparent of that, and the working directory."""
    here = Path(os.path.realpath(data_file)).parent
    return tuple(dict.fromkeys((here, here.parent, here.parent.parent, Path.cwd())))


def find_file(name: str, folders: Sequence[Path]) -> Path:
    """The first `folder / name` that is a file; an absolute `name` is used as it is.

    Raises `DataError` (message begins with a verb) if there is none, if it cannot be read, and if a relative name
    leads out of all `folders` by `..`.
    """
    if not name or "\0" in name:
        raise DataError("is empty; name an audio file")
    absolute = Path(name).is_absolute()
    leads_up = not absolute and ".." in Path(name).parts
    problem = ""
    for candidate in [Path(name)] if absolute else (folder / name for folder in folders):
        candidate_problem = _problem(candidate)
        if candidate_problem is None:
            if leads_up and not _inside(candidate, folders):
                raise DataError(f"names {name!r}, which leads out of the data's folders; give its absolute path")
            return candidate
        problem = problem or candidate_problem
    where = "" if absolute else " beside the data file, in its parent, grandparent or the working directory"
    raise DataError(f"names {name[:200]!r}, which {problem or f'does not exist{where}'}; correct the path")


def _problem(path: Path) -> str | None:
    """None for a readable file, "" if nothing exists, else what is wrong."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in _MISSING:
            return ""
        return "is a circular link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
    except ValueError:  # a name that no file can have
        return ""
    if stat.S_ISDIR(mode):
        return "is a directory"
    return None if stat.S_ISREG(mode) else "is not a regular file"


def _inside(path: Path, folders: Sequence[Path]) -> bool:
    plain = Path(os.path.normpath(path))
    return any(plain.is_relative_to(folder) for folder in folders)
