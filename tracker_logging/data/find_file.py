"""Where the file lies that a data file names.

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
    """Where relative paths in `data_file` are looked for: its folder, that one's parent and grandparent, then the
    working directory."""
    here = Path(os.path.realpath(data_file)).parent
    return tuple(dict.fromkeys((here, here.parent, here.parent.parent, Path.cwd())))


def find_file(name: str, folders: Sequence[Path]) -> Path:
    """The first `folder / name` that is a file; an absolute `name` stands for itself.

    Raises `DataError`, beginning with a verb, if there is none, if it cannot be read, and if a relative name leads out
    of all `folders` by its `..`.
    """
    if not name or "\0" in name:
        raise DataError("is empty; name an audio file")
    absolute = Path(name).is_absolute()
    leads_up = not absolute and ".." in Path(name).parts
    problem = ""
    for candidate in [Path(name)] if absolute else (folder / name for folder in folders):
        found = _problem(candidate)
        if found is None:
            if leads_up and not _inside(candidate, folders):
                raise DataError(f"names {name!r}, which leads out of the data's folders; give its absolute path")
            return candidate
        problem = problem or found
    where = "" if absolute else " beside the data file, in its parent, grandparent or the working directory"
    raise DataError(f"names {name[:200]!r}, which {problem or f'does not exist{where}'}; correct the path")


def _problem(path: Path) -> str | None:
    """None for a readable file, "" for none at all, else what is wrong."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in _MISSING:
            return ""
        return "is a circular link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
    except ValueError:  # a name that no file can have
        return ""
    if stat.S_ISDIR(mode):
        return "is a folder"
    return None if stat.S_ISREG(mode) else "is no ordinary file"


def _inside(path: Path, folders: Sequence[Path]) -> bool:
    plain = Path(os.path.normpath(path))
    return any(plain.is_relative_to(folder) for folder in folders)
