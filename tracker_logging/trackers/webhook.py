"""Posts each finding that opens or is resolved, and the end of the run, to a URL of the user's: a chat, a pager.

    {"run": "a", "event": "opened", "step": 500, "name": "silence", "level": "warning", "since": 400, "until": null,
     "seen": "…", "likely cause": "…", "certainty": "likely", "what to do": "…", "text": "[a] opened: Silence …",
     "clip": "voices/ab12/step-00000500.flac", "view": "tracker-logging open a"}

Chat services get the format that they ask for (`webhook_formats.py`).

Guarantees
- Training never waits: a separate thread posts with a timeout, and its queue holds at most `WAITING` messages.
- A finding of a level in `LEVELS` is posted once when it opens and once when it is resolved (`"event": "resolved"`). A
  failed post is counted in `errors` and logged once, without the URL: it may be a secret. `findings.json` has all.
- The end (`"event": "ended"`) is posted where the run has a summary, with its last and best values.
- `clip`: within the run, the newest generated clip, or of those of one step the least similar to its prompt.
- Only http and https; no redirect is followed.
"""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from functools import partial
from typing import Any

from tracker_logging import tags
from tracker_logging.events import Event, Finding, Findings, Summary, VoiceComparison
from tracker_logging.trackers.parts import finding_row
from tracker_logging.trackers.webhook_formats import Message, target_of
from tracker_logging.worker import WorkerThread

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
WAITING = 32
LONGEST_ANSWER = 65_536
LEVELS = ("warning", "error")


def check_address(url: str) -> None:
    """Raise ValueError unless `url` is an address that messages can be sent to. The message does not repeat it."""
    target_of(url)


class WebhookTracker:
    """Posts what changes between `Findings` events, and the end. `emit` and `close`: one thread."""

    def __init__(self, url: str, *, run: str, timeout_s: float = TIMEOUT_S) -> None:
        self.errors = 0
        self._target = target_of(url)
        self._run = run
        self._timeout_s = timeout_s
        self._posted: set[tuple[str, int | None, bool]] = set()
        self._clip: tuple[int, float, str] | None = None  # step, similarity, file
        self._summary: Summary | None = None
        self._open = 0
        self._worker = WorkerThread(depth=WAITING)
        self._opener = urllib.request.build_opener(_NoRedirect())

    def emit(self, event: Event) -> None:
        """Queue what has changed since the last report; keep what messages name."""
        match event:
            case VoiceComparison() if "generated" in event.clips and event.stage != "generated":
                self._keep_clip(event)
            case Summary():
                self._summary = event
            case Findings():
                self._open = sum(finding.is_open for finding in event.findings)
                for finding in event.findings:
                    key = (finding.name, finding.since, finding.is_open)
                    if finding.level in LEVELS and key not in self._posted:
                        self._posted.add(key)
                        self._send(self._message(event.step, finding))

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: nobody waits for a slow server."""

    def close(self) -> None:
        """Post the end and what is queued, for at most `CLOSE_TIMEOUT_S`."""
        if self._summary is not None:
            self._send(self._ended(self._summary))
            self._summary = None
        self._worker.close(timeout_s=CLOSE_TIMEOUT_S)

    def _keep_clip(self, event: VoiceComparison) -> None:
        similarity = event.scores.get("sim_o", float("inf"))
        if self._clip is None or (event.step, -similarity) > (self._clip[0], -self._clip[1]):
            file = f"voices/{tags.safe_part(event.voice_id, '-')}/step-{event.step:08d}.flac"
            self._clip = (event.step, similarity, file)

    @property
    def _where(self) -> dict[str, str]:
        return {"view": f"tracker-logging open {self._run}"} | ({} if self._clip is None else {"clip": self._clip[2]})

    def _message(self, step: int, finding: Finding) -> Message:
        change = "opened" if finding.is_open else "resolved"
        text = f"[{self._run}] step {step}, {finding.level} {change}: {finding.title}. {finding.seen}."
        fields = {"run": self._run, "event": change, "step": step, **finding_row(finding), "text": text, **self._where}
        since = "" if finding.since is None else f"Since step {finding.since}. "
        lines = (f"{finding.seen}. {since}", f"Fix: {finding.fix}", *self._places)
        title = f"[{self._run}] step {step}, {finding.level} {change}: {finding.title}"
        return Message(title=title, lines=lines, level=finding.level, fields=fields)

    def _ended(self, summary: Summary) -> Message:
        values = []
        for tag, value in summary.values.items():
            best = "" if value.best is None else f" (best {value.best:.4g}, step {value.best_step})"
            values.append(f"{tag} {value.last:.4g}{best}")
        title = f"[{self._run}] ended at step {summary.step}, findings open: {self._open}"
        fields = {"run": self._run, "event": "ended", "step": summary.step, "open": self._open, "text": title}
        lines = (*values, *self._places)
        return Message(title=title, lines=lines, level="info", fields={**fields, "values": values, **self._where})

    @property
    def _places(self) -> tuple[str, ...]:
        return tuple(f"{name.capitalize()}: {place}" for name, place in self._where.items())

    def _send(self, message: Message) -> None:
        if not self._worker.submit(partial(self._post, message)):
            self._failed(f"{WAITING} findings are queued already")

    def _post(self, message: Message) -> None:
        address, body = self._target.request(message)
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                content = answer.read(LONGEST_ANSWER)
            refused = self._target.format.failure(_document(content))
            if refused is not None:
                self._failed(refused)
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


def _document(content: bytes) -> dict[str, Any]:
    """The JSON object that a service answered; empty for another answer."""
    try:
        answer = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a finding is sent to the given address only."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None
