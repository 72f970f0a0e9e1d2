"""Alerts in the formats of chat services, each posted to a server that refuses what the service's documents refuse."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tracker_examples import comparison, finding

from tracker_logging.events import Findings, Summary, SummaryValue
from tracker_logging.trackers.webhook import WebhookTracker
from tracker_logging.trackers.webhook_formats import format_of, target_of

SECRET = "SEC-very-secret"
Answer = tuple[int, bytes]


def slack(path: str, body: dict[str, Any]) -> Answer:
    """api.slack.com/messaging/webhooks: text, or blocks of known types within their limits; "ok" as plain text."""
    if body.keys() - {"text", "blocks"} or not body["text"]:
        return 400, b"invalid_payload"
    for block in body["blocks"]:
        kind, limit = {"header": ("plain_text", 150), "section": ("mrkdwn", 3000)}[block["type"]]
        text = block["text"]
        if (
            text["type"] != kind
            or not 1 <= len(text["text"]) <= limit
            or (kind == "mrkdwn" and "<script" in text["text"])
        ):
            return 400, b"invalid_blocks"
    return 200, b"ok"


def discord(path: str, body: dict[str, Any]) -> Answer:
    """Webhook resource: embeds with a title of 256 and a description of 4,096 characters; 204 without content."""
    (embed,) = body["embeds"]
    fits = 1 <= len(embed["title"]) <= 256 and 1 <= len(embed["description"]) <= 4096
    is_right = fits and body["allowed_mentions"] == {"parse": []} and 0 <= embed["color"] <= 0xFFFFFF
    return (204, b"") if is_right and not body.keys() - {"embeds", "allowed_mentions"} else (400, b'{"code": 50035}')


def lark(path: str, body: dict[str, Any]) -> Answer:
    """Custom bots: 200 with a code; signed with the HMAC of nothing under the key `timestamp\\nsecret`."""
    digest = hmac.new(f"{body.get('timestamp')}\n{SECRET}".encode(), b"", hashlib.sha256).digest()
    if body.get("sign") != base64.b64encode(digest).decode():
        return 200, b'{"code": 19021, "msg": "sign match fail or timestamp is not within one hour"}'
    is_right = body["msg_type"] == "text" and body["content"].keys() == {"text"}
    return 200, b'{"code": 0, "msg": "success"}' if is_right else b'{"code": 9499, "msg": "Bad Request"}'


def dingtalk(path: str, body: dict[str, Any]) -> Answer:
    """Custom robots: 200 with an errcode; the address has the HMAC of timestamp and secret under the secret."""
    query = parse_qs(urlsplit(path).query)
    signed = f"{query['timestamp'][0]}\n{SECRET}".encode()
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    if query["access_token"] != ["abc"] or query["sign"] != [base64.b64encode(digest).decode()]:
        return 200, b'{"errcode": 310000, "errmsg": "sign not match"}'
    is_right = body["msgtype"] == "text" and body["text"].keys() == {"content"}
    return 200, b'{"errcode": 0, "errmsg": "ok"}' if is_right else b'{"errcode": 40035, "errmsg": "missing parameter"}'


def telegram(path: str, body: dict[str, Any]) -> Answer:
    """sendMessage: chat_id and a text of 1 to 4,096 characters."""
    is_right = body.keys() == {"chat_id", "text"} and body["chat_id"] == "-100" and 1 <= len(body["text"]) <= 4096
    return (200, b'{"ok": true, "result": {}}') if is_right else (400, b'{"ok": false, "error_code": 400}')


SERVICES: dict[str, tuple[Callable[[str, dict[str, Any]], Answer], str]] = {
    "slack": (slack, "/services/T/B/x"),
    "discord": (discord, "/api/webhooks/1/x"),
    "lark": (lark, f"/open-apis/bot/v2/hook/x#{SECRET}"),
    "dingtalk": (dingtalk, f"/robot/send?access_token=abc#{SECRET}"),
    "telegram": (telegram, "/bot1:x/sendMessage?chat_id=-100"),
}


@pytest.fixture
def serve() -> Iterator[Callable[[str], tuple[str, list[tuple[dict[str, Any], Answer]]]]]:
    servers = []

    def start(name: str) -> tuple[str, list[tuple[dict[str, Any], Answer]]]:
        answer, path = SERVICES[name]
        posts: list[tuple[dict[str, Any], Answer]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == "application/json" and SECRET not in self.path
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                given = answer(self.path, body)
                posts.append((body, given))
                self.send_response(given[0])
                self.end_headers()
                self.wfile.write(given[1])

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"{name}+http://127.0.0.1:{server.server_port}{path}", posts

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_takes_findings_and_the_end(name: str, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    url, posts = serve(name)
    tracker = WebhookTracker(url, run="a")
    tracker.emit(comparison(200))
    tracker.emit(Findings(step=200, findings=(finding("silence", level="warning", since=100),)))
    long = finding("no_gradient", level="error")
    tracker.emit(Findings(step=300, findings=(type(long)(**{**_fields(long), "seen": "x<script>" * 3000}),)))
    values = {"voices/sim_o/mean": SummaryValue(last=0.5, last_step=300, best=0.75, best_step=200)}
    tracker.emit(Summary(step=300, values=values))
    tracker.close()
    assert tracker.errors == 0, (caplog.text, [answer for _, answer in posts])
    texts = [json.dumps(body, ensure_ascii=False) for body, _ in posts]
    assert len(texts) == 3
    for part in ("[a] step 200, warning opened: Silence", "Since step 100", "Fix: a fix.", "tracker-logging open a"):
        assert part in texts[0], part
    assert "Clip: voices/rms_03/step-00000200.flac" in texts[0]
    assert "ended at step 300" in texts[2] and "voices/sim_o/mean 0.5 (best 0.75, step 200)" in texts[2]
    assert not any(SECRET in text for text in texts)


def _fields(of: Any) -> dict[str, Any]:
    return {name: getattr(of, name) for name in type(of).__dataclass_fields__}


@pytest.mark.parametrize("name", ["lark", "dingtalk"])
def test_a_refusal_that_is_answered_with_200_is_an_error(
    name: str, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    url, posts = serve(name)
    tracker = WebhookTracker(url.replace(SECRET, "SEC-wrong"), run="a")
    with caplog.at_level(logging.DEBUG):
        tracker.emit(Findings(step=200, findings=(finding(),)))
        tracker.close()
    assert (len(posts), tracker.errors) == (1, 1)
    assert "code" in caplog.text and "SEC-wrong" not in caplog.text and "127.0.0.1" not in caplog.text


def test_the_host_chooses_the_service() -> None:
    hosts = {
        "https://hooks.slack.com/services/T/B/x": "slack",
        "https://discord.com/api/webhooks/1/x": "discord",
        "https://open.feishu.cn/open-apis/bot/v2/hook/x": "lark",
        "https://open.larksuite.com/open-apis/bot/v2/hook/x": "lark",
        "https://oapi.dingtalk.com/robot/send?access_token=x": "dingtalk",
        "https://api.telegram.org/bot1:x/sendMessage?chat_id=1": "telegram",
        "https://example.org/hooks.slack.com": "generic",
    }
    assert {url: format_of(url).name for url in hosts} == hosts


@pytest.mark.parametrize("url", ["mail+https://x/y", "slack+ftp://x/y", "https://api.telegram.org/bot1:x/sendMessage"])
def test_an_address_that_cannot_work_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="alert_webhook: ") as refused:
        target_of(url)
    assert url not in str(refused.value)
