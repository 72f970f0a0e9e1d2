"""Download one file from an http or https URL, or a place that `fsspec` opens (s3, gs, hf, …), in bounded time.

content = download("https://example.org/slt.flac", max_bytes=200_000_000)
content = download("s3://bucket/slt.flac", max_bytes=200_000_000)       # with the package s3fs
"""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from typing import Any

from tracker_logging.data.sample import DataError

GRACE_S = 15.0
MIN_BYTES_PER_S = 20_000

# What fsspec opens beside object stores: files of this machine, wrappers around other places, and old protocols.
_NOT_STORES = frozenset(
    re.findall(
        r"\S+",
        "file local dir data reference simplecache filecache blockcache cached generic async_wrapper jupyter jlab git "
        "github zip tar libarchive archive ftp sftp ssh smb",
    )
)
_TIMEOUT_S = 15.0  # of one socket operation
_CHUNK = 1 << 16


def download(address: str, *, max_bytes: int) -> bytes:
    """The content of `address`. A redirect to another scheme (ftp, file) is not followed.

    Raises `DataError` (message begins with a verb) for another scheme, a missing package of a store, a failure, more
    than `max_bytes`, and a server that after `GRACE_S` seconds has sent less than `MIN_BYTES_PER_S` on average, headers
    included.
    """
    if not address.lower().startswith(("http://", "https://")):
        _check_store(address)
    transfer = _Transfer(address, max_bytes)
    # A socket timeout ends only a silent server; the waiting for one that drips has to be done from outside.
    thread = threading.Thread(target=transfer.run, name="tracker_logging download", daemon=True)
    begin = time.monotonic()
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.1)
        elapsed = time.monotonic() - begin
        if thread.is_alive() and elapsed > GRACE_S + transfer.received / MIN_BYTES_PER_S:
            transfer.stopped = True
            raise DataError(
                f"is too slow at {address[:80]!r} ({transfer.received} bytes in {elapsed:.0f} s); "
                "download the file yourself"
            )
    if transfer.error is not None:
        raise DataError(
            f"cannot be downloaded from {address[:80]!r} ({transfer.error}); download the file yourself"
        ) from transfer.error
    if transfer.received > max_bytes:
        raise DataError(f"is larger than {max_bytes / 1e6:g} MB at {address[:80]!r}; download the file yourself")
    return bytes(transfer.content)


class _Transfer:
    """One request, to be run in a thread. `received` grows while it runs; `stopped` ends it at the next chunk."""

    def __init__(self, address: str, max_bytes: int) -> None:
        self.address, self.max_bytes = address, max_bytes
        self.content = bytearray()
        self.received = 0
        self.stopped = False
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with _opened(self.address) as answer:
                read = getattr(answer, "read1", answer.read)
                while not self.stopped and self.received <= self.max_bytes and (chunk := read(_CHUNK)):
                    self.content += chunk
                    self.received = len(self.content)
        except Exception as error:  # each store raises kinds of its own
            self.error = error


def _opened(address: str) -> Any:
    """`address` open for reading bytes, as a context manager."""
    if address.lower().startswith("http"):
        return _opener().open(address, timeout=_TIMEOUT_S)
    import fsspec  # type: ignore[import-untyped]

    return fsspec.open(address, "rb")


def _check_store(address: str) -> None:
    """Raises `DataError` unless `address` is a place of a store that fsspec knows."""
    scheme = address.partition("://")[0].lower()
    try:
        from fsspec.registry import known_implementations, registry  # type: ignore[import-untyped]
    except ImportError:
        known: set[str] = set()
    else:
        known = {*known_implementations, *registry}
    if not known and scheme not in _NOT_STORES:
        fix = "install fsspec and the package of that store (s3fs, gcsfs)"
        raise DataError(f"is at {scheme}:// ({address[:80]!r}); {fix}")
    if scheme not in known - _NOT_STORES or "::" in address:
        raise DataError(f"is a URL that is neither http nor https ({address[:80]!r}); download the file yourself")


def _opener() -> urllib.request.OpenerDirector:
    """An opener for http and https only: urllib's default one would follow a redirect to ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
