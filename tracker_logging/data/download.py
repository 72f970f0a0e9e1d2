"""Download one file from an http or https URL into memory.

content = download("https://example.org/slt.flac", max_bytes=200_000_000)
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from tracker_logging.data.sample import DataError

_TIMEOUT_S = 30.0


def download(address: str, *, max_bytes: int) -> bytes:
    """The content of `address`. A redirect to another scheme (ftp, file) is not followed.

    Raises `DataError` (message begins with a verb) for another scheme, a failure, and more than `max_bytes`.
    """
    if not address.lower().startswith(("http://", "https://")):
        raise DataError(f"is a URL that is neither http nor https ({address[:80]!r}); download the file yourself")
    try:
        with _opener().open(address, timeout=_TIMEOUT_S) as answer:
            content: bytes = answer.read(max_bytes + 1)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise DataError(f"cannot be downloaded from {address[:80]!r} ({error}); download the file yourself") from error
    if len(content) > max_bytes:
        raise DataError(f"is larger than {max_bytes / 1e6:g} MB at {address[:80]!r}; download the file yourself")
    return content


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
