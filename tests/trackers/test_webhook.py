"""A real server on loopback that answers, refuses or hangs: findings arrive once, and training never waits."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tracker_logging.events import Finding, Findings, Scalars
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.webhook import WAITING, WebhookTracker, check_address

DEADLINE_S = 20.0
COLUMNS = ("name", "level", "since", "until", "seen", "likely cause", "certainty", "what to do")
SECRET = "T0-a-secret"


class Server:
    """Keeps what is posted. `answer` is a status, or None to let go of the line only when the test ends."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.answer: int | None = 200
        self.ended = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.paths.append(self.path)
                outer.posted.append(json.loads(body))
                if outer.answer is None:
                    outer.ended.wait(DEADLINE_S)
                    return
                self.send_response(outer.answer)
                if outer.answer == 302:
                    self.send_header("Location", f"{outer.address}/elsewhere")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.ended.set()
    server.http.shutdown()
    server.http.server_close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def finding(name: str = "silence", *, level: Any = "warning", since: int = 100, until: int | None = None) -> Finding:
    return Finding(
        name=name,
        level=level,
        seen="90 % (voices/silent_clips)",
        cause="a cause.",
        certainty="likely",
        fix="a fix.",
        since=since,
        until=until,
    )


def report(*findings: Finding, step: int = 200) -> Findings:
    return Findings(step=step, findings=findings)


def test_a_finding_is_posted_once_when_it_opens_and_once_when_it_is_resolved(server: Server) -> None:
    tracker = WebhookTracker(f"{server.address}/{SECRET}", run="a")
    tracker.emit(Scalars(step=1, values={"doctor/open/warning": 1.0}))
    tracker.emit(report(finding()))
    tracker.emit(report(finding(), finding("clipping"), step=300))
    tracker.emit(report(finding(until=400), finding("clipping"), step=400))
    tracker.emit(report(finding(until=400), finding("clipping"), finding(since=500), step=500))
    tracker.close()
    told = [(body["event"], body["name"], body["step"]) for body in server.posted]
    assert told == [
        ("opened", "silence", 200), ("opened", "clipping", 300), ("resolved", "silence", 400),
        ("opened", "silence", 500),
    ]  # fmt: skip
    assert tracker.errors == 0
    first = server.posted[0]
    assert {name: first[name] for name in COLUMNS} == {
        "name": "silence",
        "level": "warning",
        "since": 100,
        "until": None,
        "seen": "90 % (voices/silent_clips)",
        "likely cause": "a cause.",
        "certainty": "likely",
        "what to do": "a fix.",
    }
    assert first["run"] == "a"
    assert first["text"] == "[a] step 200, warning opened: Silence. 90 % (voices/silent_clips)."


def test_findings_of_level_info_are_not_posted(server: Server) -> None:
    tracker = WebhookTracker(server.address, run="a")
    tracker.emit(report(finding(level="info"), finding("no_gradient", level="error")))
    tracker.close()
    assert [body["name"] for body in server.posted] == ["no_gradient"]


def test_a_refusal_is_logged_once_without_the_address_and_counted(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = 500
    tracker = WebhookTracker(f"{server.address}/{SECRET}", run="a")
    with caplog.at_level(logging.DEBUG):
        tracker.emit(report(finding()))
        tracker.emit(report(finding(), finding("clipping")))
        wait_for(lambda: tracker.errors == 2)
        server.answer = 200
        tracker.emit(report(finding(), finding("clipping"), finding("repetition")))
        tracker.close()
    assert (len(server.posted), tracker.errors) == (3, 2)
    assert len(caplog.records) == 1
    assert "the server answered 500" in caplog.text and "findings.json" in caplog.text
    assert SECRET not in caplog.text


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.answer = 302
    tracker = WebhookTracker(f"{server.address}/{SECRET}", run="a")
    tracker.emit(report(finding()))
    tracker.close()
    assert (server.paths, tracker.errors) == ([f"/{SECRET}"], 1)


def test_a_server_that_hangs_does_not_block_training(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker_logging.trackers.webhook.CLOSE_TIMEOUT_S", 0.2)
    server.answer = None
    tracker = WebhookTracker(server.address, run="a", timeout_s=DEADLINE_S)
    tracker.emit(report(finding("first")))
    wait_for(lambda: len(server.posted) == 1)
    done = threading.Event()

    def go_on() -> None:
        for number in range(WAITING + 5):
            tracker.emit(report(finding(f"finding_{number}")))
        tracker.flush(timeout_s=60.0)
        tracker.close()
        done.set()

    threading.Thread(target=go_on, daemon=True).start()
    assert done.wait(DEADLINE_S / 2), "neither emitting nor flushing nor closing waits for the server"
    assert tracker.errors == 5, "what does not fit the queue is counted"
    assert len(server.posted) == 1


def test_a_server_that_hangs_times_out(server: Server) -> None:
    server.answer = None
    tracker = WebhookTracker(server.address, run="a", timeout_s=0.1)
    tracker.emit(report(finding()))
    wait_for(lambda: tracker.errors == 1)
    tracker.close()


def test_an_unreachable_server_is_a_counted_error() -> None:
    tracker = WebhookTracker("http://127.0.0.1:9/", run="a")
    tracker.emit(report(finding()))
    tracker.close()
    assert tracker.errors == 1


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "hooks.example.org/abc", "http:///nowhere", "", "javascript:1"]
)
def test_invalid_addresses_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError, match="alert_webhook: not an http") as refused:
        check_address(url)
    assert not url or url not in str(refused.value)


def test_the_address_is_in_nothing_that_is_written(tmp_path: Any, server: Server) -> None:
    url = f"{server.address}/{SECRET}"
    tracker = open_tracker(
        ["tensorboard", "jsonl"], directory=tmp_path / "run", run=RunInfo(name="a"), alert_webhook=url
    )
    server.answer = 500
    tracker.emit(report(finding()))
    tracker.flush()
    wait_for(lambda: tracker.errors == 1)
    tracker.close()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
