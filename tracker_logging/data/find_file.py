"""Resolve the file names in a data file, as they were written on another machine.

A name is tried as it stands. Then it is tried as other systems write it: `\\` as a separator (Windows), composed and
decomposed Unicode (macOS), another case of letters if only one file differs in nothing else, `file://`, `~`, and for a
name without an ending the usual audio endings.

    find_file("clips/slt.flac", [Path("data"), Path("data").parent])
"""

from __future__ import annotations

import difflib
import errno
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from tracker_logging.data.sample import DataError

AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".opus")
AUDIO_FOLDERS = ("wavs", "wav", "clips", "audio")

_MISSING = (errno.ENOENT, errno.ENOTDIR)
_MAX_LISTED = 200_000  # names of a folder that are compared with a missing one
_MAX_COMPARED = 5_000
_CLOSE = 0.75
_LONGEST_NAME = 1_000
_WORDS = (". ", ", ", "? ", "! ")  # in a sentence, which is compared with no folder


def search_folders(data_file: Path) -> tuple[Path, ...]:
    """The folders in which relative paths of `data_file` are looked for, in order: its folder, the folders `wavs`,
    `wav`, `clips` and `audio` in that, its parent and grandparent, and the working directory."""
    here = Path(os.path.realpath(data_file)).parent
    inner = [here / name for name in AUDIO_FOLDERS if (here / name).is_dir()]
    return tuple(dict.fromkeys((here, *inner, here.parent, here.parent.parent, Path.cwd())))


def find_file(name: str, folders: Sequence[Path]) -> Path:
    """The file that `name` means: the first `folder / name` that is a file; an absolute `name` is used as it is.

    Raises `DataError` (message begins with a verb) if there is none, naming the nearest existing file; if it cannot be
    read; if its name is not UTF-8; and if a relative name leads out of all `folders` by `..`.
    """
    if not name.strip():
        raise DataError("is empty; name an audio file")
    if "\0" in name:
        raise DataError(f"names {name[:200]!r}, which no file can be called (a null byte); correct the path")
    if not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
        raise DataError(f"names {name!r}, which is not UTF-8; rename the file")
    if ".." not in name:
        for folder in [Path("/")] if name.startswith("/") else folders:
            path = os.path.join(folder, name)  # noqa: PTH118  four times as fast as pathlib, and done for every clip
            if _is_file(path):
                return Path(path)
    problem = ""
    for candidate in _candidates(name, folders):
        candidate_problem = _problem(candidate)
        if candidate_problem is None:
            return _inside(candidate, name, folders)
        problem = problem or candidate_problem
    absolute = Path(next(_spellings(name))).is_absolute()
    if not problem and (match := _match(name, folders)) is not None:
        return _inside(match, name, folders)
    where = "" if absolute else " beside the data file, in its parent, grandparent or the working directory"
    nearest = "" if problem else _nearest(name, folders)
    raise DataError(f"names {name[:200]!r}, which {problem or f'does not exist{where}'}{nearest}; correct the path")


def is_file_name(name: str, folders: Sequence[Path]) -> bool:
    """Whether `name` as it stands, or as another system writes it, is a file. Costs a few looks at the disk."""
    if not 0 < len(name) < _LONGEST_NAME:
        return False
    if any(_problem(candidate) is None for candidate in _candidates(name, folders)):
        return True
    return not any(space in name for space in _WORDS) and _match(name, folders) is not None


def _match(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of another case or Unicode normal form that `name` means."""
    for spelling in _spellings(name.replace("\\", "/")):
        for folder in [Path("/")] if Path(spelling).is_absolute() else folders:
            match = _matching(folder, spelling)
            if match is not None:
                return match
    return None


def _candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    for spelling in _spellings(name):
        path = Path(spelling)
        yield from [path] if path.is_absolute() else [folder / path for folder in folders]


def _spellings(name: str) -> Iterator[str]:
    """`name` and what else it may mean, without looking at the disk beyond `~`."""
    if name.lower().startswith("file://"):
        path = unquote(name[len("file://") :])
        name = path[path.find("/") :] if "/" in path else path  # file://host/path
        if len(name) > 2 and name[0] == "/" and name[2] == ":":  # file:///C:/clips
            name = name[1:]
    if name.startswith("~"):
        name = os.path.expanduser(name)  # noqa: PTH111  pathlib raises for an unknown user
    yield name
    if "\\" in name:
        yield name.replace("\\", "/")
    if name != name.strip():
        yield name.strip()
    if "%" in name and unquote(name) != name:  # the path of a URL
        yield unquote(name)
    if not name.lower().endswith(AUDIO_ENDINGS):
        yield from (name + ending for ending in AUDIO_ENDINGS)


def _matching(folder: Path, name: str) -> Path | None:
    """The one file below `folder` whose path is `name` but for case and Unicode normal form; None if there is none, or
    more than one."""
    places = [folder]
    for part in [part for part in name.split("/") if part not in ("", ".")]:
        if part == "..":
            places = [place.parent for place in places]
            continue
        exact = [place / part for place in places if (place / part).exists()]
        places = exact or [place / other for place in places for other in _names(place).get(_folded(part), ())]
    return places[0] if len(places) == 1 and _problem(places[0]) is None else None


def _nearest(name: str, folders: Sequence[Path]) -> str:
    """The most similar existing file, for the message."""
    wanted = Path(name.replace("\\", "/"))
    if wanted.is_absolute():  # of another machine: the same file may lie beside the data
        places = [(Path("/"), (wanted.parent,)), *((folder, (Path(wanted.parent.name), Path())) for folder in folders)]
    else:
        places = [(folder, (wanted.parent, Path())) for folder in folders]
    for folder, parents in places:
        for parent in dict.fromkeys(parents):
            names = _names(folder / parent)
            endings = (f"{_folded(wanted.stem)}{ending}" for ending in AUDIO_ENDINGS)
            if other := next((name for name in endings if name in names), None):
                return f" (the nearest file is {(parent / names[other][0]).as_posix()!r})"
            close = difflib.get_close_matches(_folded(wanted.name), list(names)[:_MAX_COMPARED], n=1, cutoff=_CLOSE)
            if close:
                return f" (the nearest file is {(parent / names[close[0]][0]).as_posix()!r})"
    return ""


@lru_cache(maxsize=64)
def _names(folder: Path) -> dict[str, tuple[str, ...]]:
    """The names in `folder` by their folded form; none for a folder that is missing or too large."""
    names: dict[str, tuple[str, ...]] = {}
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count > _MAX_LISTED:
                    return {}
                names[_folded(entry.name)] = (*names.get(_folded(entry.name), ()), entry.name)
    except OSError:
        return {}
    return names


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _inside(path: Path, name: str, folders: Sequence[Path]) -> Path:
    """`path`, unless a relative `name` leads out of `folders`. Raises `DataError`."""
    plain = Path(os.path.normpath(path))
    is_absolute = any(Path(spelling).is_absolute() for spelling in _spellings(name))
    if not is_absolute and ".." in path.parts and not any(plain.is_relative_to(folder) for folder in folders):
        raise DataError(f"names {name!r}, which leads out of the data's folders; give its absolute path")
    return path


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


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
