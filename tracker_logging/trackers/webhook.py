"""Posts each finding that opens or is resolved to a user's address (a chat channel, a pager) as JSON.

    {"run": "a", "event": "opened", "step": 500, "name": "silence", "level": "warning", "since": 400, "until": null,
     "seen": "…", "likely cause": "…", "certainty": "likely", "what to do": "…", "text": "[a] opened: Silence …"}

Guarantees
- Training never waits: posting has its own thread and a timeout, and at most `WAITING` findings are queued.
- A finding of a level in `LEAST` is posted once when it opens and once when it is resolved. What cannot be posted is
  counted in `errors` and logged once, without the address, which may be a secret. It is also in `findings.json`.
- Only http and https; redirects are not followed.
"""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tracker_logging import tags
from tracker_logging.doctor.finding import title
from tracker_logging.events import Event, Table
from tracker_logging.worker import WorkerThread

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
WAITING = 32
LEAST = ("warning", "error")


def check_address(url: str) -> None:
    """Raise ValueError unless `url` is an http or https address. The message does not repeat it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("alert_webhook: not an http:// or https:// address. Fix: give the complete address.")


class WebhookTracker:
    """Reads `doctor/findings` tables and ignores other events. Call `emit` and `close` on one thread."""

    def __init__(self, url: str, *, run: str, timeout_s: float = TIMEOUT_S) -> None:
        check_address(url)
        self.errors = 0
        self._url = url
        self._run = run
        self._timeout_s = timeout_s
        self._posted: set[tuple[str, Any, bool]] = set()
        self._worker = WorkerThread(depth=WAITING)
        self._opener = urllib.request.build_opener(_NoRedirect())

    def emit(self, event: Event) -> None:
        """Queue what changed since the last table."""
        if not (isinstance(event, Table) and event.tag == tags.FINDINGS()):
            return
        for row in event.rows:
            finding = dict(zip(event.columns, row, strict=True))
            is_open = finding["until"] is None
            key = (str(finding["name"]), finding["since"], is_open)
            if finding["level"] in LEAST and key not in self._posted:
                self._posted.add(key)
                body = self._body(event.step, finding, what="opened" if is_open else "healed")
                if not self._worker.submit(partial(self._post, body)):
                    self._failed(f"{WAITING} findings are queued already")

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: training does not wait for a slow server."""

    def close(self) -> None:
        """Post what is queued, for a few seconds at most."""
        self._worker.close(timeout_s=CLOSE_TIMEOUT_S)

    def _body(self, step: int, finding: Mapping[str, Any], *, what: str) -> bytes:
        text = f"[{self._run}] step {step}, {finding['level']} {what}: {title(finding['name'])}. {finding['seen']}."
        body = {"run": self._run, "event": what, "step": step, **finding, "text": text}
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")

    def _post(self, body: bytes) -> None:
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                pass
        except urllib.error.HTTPError as error:
            self._failed(f"the server answered {error.code}")
        except Exception as error:
            self._failed(type(error).__name__)

    def _failed(self, what: str) -> None:
        self.errors += 1
        if self.errors == 1:
            logger.warning(
                "--alert_webhook: a finding could not be posted (%s). It is in findings.json; later ones are still "
                "posted. Logged once, counted in tracker/errors.",
                what,
            )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a finding is sent to the given address only."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None
