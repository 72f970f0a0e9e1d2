"""Posts each finding that opens or is resolved to a URL of the user's, as JSON: a chat channel, a pager.

    {"run": "a", "event": "opened", "step": 500, "name": "silence", "level": "warning", "since": 400, "until": null,
     "seen": "…", "likely cause": "…", "certainty": "likely", "what to do": "…", "text": "[a] opened: Silence …"}

Guarantees
- Training never waits: a separate thread posts with a timeout, and its queue holds at most `WAITING` findings.
- A finding of a level in `LEVELS` is posted once when it opens and once when it is resolved (`"event": "resolved"`). A
  failed post is counted in `errors` and logged once, without the URL: it may be a secret. `findings.json` has all.
- Only http and https; no redirect is followed.
"""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tracker_logging.events import Event, Finding, Findings
from tracker_logging.trackers.parts import finding_row
from tracker_logging.worker import WorkerThread

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
WAITING = 32
LEVELS = ("warning", "error")


def check_address(url: str) -> None:
    """Raise ValueError unless `url` is an http or https address. The message does not repeat it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("alert_webhook: not an http:// or https:// address. Fix: give the complete address.")


class WebhookTracker:
    """Posts what changes between `Findings` events and ignores all other events. `emit` and `close`: one thread."""

    def __init__(self, url: str, *, run: str, timeout_s: float = TIMEOUT_S) -> None:
        check_address(url)
        self.errors = 0
        self._url = url
        self._run = run
        self._timeout_s = timeout_s
        self._posted: set[tuple[str, int | None, bool]] = set()
        self._worker = WorkerThread(depth=WAITING)
        self._opener = urllib.request.build_opener(_NoRedirect())

    def emit(self, event: Event) -> None:
        """Queue what has changed since the last report."""
        if not isinstance(event, Findings):
            return
        for finding in event.findings:
            key = (finding.name, finding.since, finding.is_open)
            if finding.level in LEVELS and key not in self._posted:
                self._posted.add(key)
                body = self._body(event.step, finding)
                if not self._worker.submit(partial(self._post, body)):
                    self._failed(f"{WAITING} findings are queued already")

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: nobody waits for a slow server."""

    def close(self) -> None:
        """Post what is queued, for at most `CLOSE_TIMEOUT_S`."""
        self._worker.close(timeout_s=CLOSE_TIMEOUT_S)

    def _body(self, step: int, finding: Finding) -> bytes:
        change = "opened" if finding.is_open else "resolved"
        text = f"[{self._run}] step {step}, {finding.level} {change}: {finding.title}. {finding.seen}."
        body = {"run": self._run, "event": change, "step": step, **finding_row(finding), "text": text}
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
                "--alert_webhook: a finding could not be posted (%s). It is in findings.json; later findings are still "
                "posted. Logged once, counted in tracker/errors.",
                what,
            )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a finding is sent to the given address only."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None
