"""Runs on remote places: a local copy of what was asked for, of any place that `fsspec` reaches.

    copy = RemoteCopy("s3://bucket/runs")
    copy.refresh()                       # names and sizes only; files are empty until they are fetched
    copy.fetch(copy.root / "a")          # the content of one run
    open_run("s3://bucket/runs/a")       # all of it

Guarantees
- A file is fetched once per version (size, and time or checksum as the place reports them).
- A copy is only ever read: nothing is written to the remote place.
- Where the place cannot be reached, `OSError` is raised and the copy stays as it was.
- The copy lies below `XDG_CACHE_HOME` (default `~/.cache`), in `tracker_logging/remote`.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

_URL = re.compile(r"^([a-z][a-z0-9+.-]+)://")
_STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "updated", "last_modified", "created")
_AT_ONCE = 8  # files


def is_remote(place: object) -> bool:
    """Whether a place has a scheme, such as s3://, gs:// or file://.

    >>> is_remote("s3://bucket/runs"), is_remote("outputs/runs"), is_remote("C:/runs")
    (True, False, False)
    """
    return _URL.match(str(place)) is not None


def local_place(place: Path | str) -> Path:
    """`place`, or the complete local copy of a remote one. Raises `OSError`."""
    if not is_remote(place):
        return Path(place)
    copy = RemoteCopy(str(place))
    copy.refresh()
    copy.fetch(copy.root)
    return copy.root


class RemoteCopy:
    """The local copy of one remote directory. Safe from several threads.

    Raises `ValueError` for a scheme that is not known, with the package that would know it where fsspec tells.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            import fsspec

            self._files, self._path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ValueError(f"{url} cannot be opened: {error}") from error
        name = re.sub(r"[^\w.-]", "_", self.url.rpartition("/")[2]) or "runs"
        digest = hashlib.blake2b(self.url.encode(), digest_size=8).hexdigest()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.root = cache / "tracker_logging" / "remote" / digest / name
        self._lock = threading.Lock()
        self._versions: dict[str, str] = {}
        self._times: dict[str, float | None] = {}

    def refresh(self) -> None:
        """Look at what is there: new and changed files are empty until they are fetched, removed ones are removed."""
        listing = self._list()
        with self._lock:
            for relative, version in listing.items():
                path = self.root / relative
                known = self._versions.get(relative) == version or self._version(path) == version
                if not known or not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)  # so that the time of its directory changes
                    self._write(path, b"", "")
                    self._set_time(path, relative)
            for path in [p for p in self.root.rglob("*") if p.is_file()]:
                if str(path.relative_to(self.root)) not in listing:
                    path.unlink(missing_ok=True)
            self._versions = listing

    def fetch(self, place: Path, *, suffixes: Collection[str] = ()) -> None:
        """Get the content of a file or of all files below a directory (`suffixes`: only of those). Raises `OSError`."""
        wanted = [
            (relative, version)
            for relative, version in self._versions.items()
            if (path := self.root / relative).is_relative_to(place)
            and (not suffixes or path.suffix in suffixes)
            and self._version(path) != version
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._fetch, wanted))

    def _fetch(self, file: tuple[str, str]) -> None:
        relative, version = file
        try:
            content = self._files.cat_file(f"{self._path}/{relative}")
        except FileNotFoundError:
            return  # removed since the listing
        except Exception as error:  # each package has errors of its own
            raise OSError(f"{self.url}/{relative} cannot be read ({type(error).__name__})") from error
        self._write(self.root / relative, content, version)
        self._set_time(self.root / relative, relative)

    def _set_time(self, path: Path, relative: str) -> None:
        """The time of the remote file, where the place tells it."""
        if (changed := self._times.get(relative)) is not None:
            os.utime(path, (changed, changed))

    def _list(self) -> dict[str, str]:
        try:
            self._files.invalidate_cache()
            found: Mapping[str, Mapping[str, Any]] = self._files.find(self._path, detail=True)
        except Exception as error:  # each package has errors of its own
            raise OSError(f"{self.url} cannot be read ({type(error).__name__}: {error})") from error
        prefix = self._path.rstrip("/") + "/"
        names = {path: path.removeprefix(prefix) for path in found if path.startswith(prefix)}
        self._times = {name: _time(found[path]) for path, name in names.items()}
        return {
            name: f"{found[path]['size']} {next((found[path][key] for key in _STAMPS if found[path].get(key)), '')}"
            for path, name in names.items()
            if ".." not in name.split("/")
        }

    def _write(self, path: Path, content: bytes, version: str) -> None:
        """Content and version of a file. In place: only a file that is new changes the time of its directory."""
        note = self._note(path)
        note.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        note.write_text(version, encoding="utf-8")

    def _version(self, path: Path) -> str | None:
        try:
            return self._note(path).read_text(encoding="utf-8")
        except OSError:
            return None

    def _note(self, path: Path) -> Path:
        """The file that holds the version of another: in a tree of its own."""
        return self.root.parent / "versions" / path.relative_to(self.root)


def _time(about: Mapping[str, Any]) -> float | None:
    """When a remote file was written, in seconds since 1970; None where the place does not tell."""
    for key in ("LastModified", "mtime", "last_modified", "created"):
        value = about.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
