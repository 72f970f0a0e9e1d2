"""The message formats of chat services for `--alert_webhook`, chosen by the host of the address.

| service | address | documented at |
|---|---|---|
| Slack | `https://hooks.slack.com/services/…` | api.slack.com/messaging/webhooks |
| Discord | `https://discord.com/api/webhooks/…` | discord.com/developers/docs/resources/webhook |
| Lark, Feishu | `https://open.larksuite.com/open-apis/bot/v2/hook/…` | open.larksuite.com, custom bots |
| DingTalk | `https://oapi.dingtalk.com/robot/send?access_token=…` | open.dingtalk.com, custom robots |
| Telegram | `https://api.telegram.org/bot…/sendMessage?chat_id=…` | core.telegram.org/bots/api#sendmessage |
| any other | http or https | the JSON of `webhook.py` |

A name before the address chooses the format for another host, such as a proxy: `slack+https://…`. The secret of a bot
of Lark or DingTalk that checks signatures follows as `#SECRET`; it is never sent.

>>> format_of("https://hooks.slack.com/services/T/B/x").name, format_of("telegram+http://127.0.0.1/x?chat_id=1").name
('slack', 'telegram')
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, quote_plus, urlsplit, urlunsplit

Level = Literal["info", "warning", "error"]
_COLOURS = {"info": 0x3B7DD8, "warning": 0xE0A100, "error": 0xC62828}


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is told: `title` and `lines` for people, `fields` for programs."""

    title: str
    lines: tuple[str, ...]
    level: Level
    fields: Mapping[str, Any]

    def text(self, longest: int) -> str:
        """Title and lines as plain text of at most `longest` characters."""
        return _cut("\n".join((self.title, *self.lines)), longest)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A service. `body`: (message, secret, address) → JSON; `failure`: the answer → why it was refused, or None."""

    name: str
    hosts: tuple[str, ...]
    body: Callable[[Message, str, str], Mapping[str, Any]]
    failure: Callable[[Mapping[str, Any]], str | None] = lambda answer: None


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where messages go."""

    format: Format
    address: str
    secret: str

    def request(self, message: Message) -> tuple[str, bytes]:
        """The address and the body of one post."""
        body = json.dumps(self.format.body(message, self.secret, self.address), ensure_ascii=False)
        return _signed_address(self), body.encode("utf-8", "replace")


def target_of(url: str) -> Target:
    """Where an address of the user leads. Raises `ValueError`, which does not repeat it, for one that is none."""
    parts = urlsplit(url)
    scheme = parts.scheme.rpartition("+")[2]
    chosen = format_of(url)
    if scheme not in ("http", "https") or not parts.hostname or parts.scheme not in (scheme, f"{chosen.name}+{scheme}"):
        raise ValueError(
            "alert_webhook: not an http:// or https:// address. Fix: give the complete address, for a proxy with the "
            f"name of the service before it ({', '.join(each.name for each in FORMATS)}): slack+https://…"
        )
    if chosen.name == "telegram" and not parse_qs(parts.query).get("chat_id"):
        raise ValueError("alert_webhook: the address of Telegram needs ?chat_id=… at its end.")
    address = urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))
    return Target(format=chosen, address=address, secret=parts.fragment)


def format_of(url: str) -> Format:
    """The format of an address, by the name before it or by its host."""
    parts = urlsplit(url)
    name, plus, _ = parts.scheme.rpartition("+")
    for each in FORMATS:
        if each.name == name if plus else (parts.hostname or "") in each.hosts:
            return each
    return GENERIC


def _generic(message: Message, secret: str, address: str) -> Mapping[str, Any]:
    return message.fields


def _slack(message: Message, secret: str, address: str) -> Mapping[str, Any]:
    """Characters of Slack's markup are escaped; a block holds at most 3,000 characters, a header 150."""
    text = "\n".join(message.lines)
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    header = {"type": "header", "text": {"type": "plain_text", "text": _cut(message.title, 150)}}
    section = {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, 2900) or "…"}}
    return {"text": _cut(message.title, 2900), "blocks": [header, section]}


def _discord(message: Message, secret: str, address: str) -> Mapping[str, Any]:
    """Nobody is mentioned by what a text holds; a title has at most 256 characters, a description 4,096."""
    embed = {
        "title": _cut(message.title, 256),
        "description": _cut("\n".join(message.lines), 4096),
        "color": _COLOURS[message.level],
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _lark(message: Message, secret: str, address: str) -> Mapping[str, Any]:
    body: dict[str, Any] = {"msg_type": "text", "content": {"text": message.text(15_000)}}
    if secret:
        timestamp = str(int(time.time()))
        digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
        body |= {"timestamp": timestamp, "sign": base64.b64encode(digest).decode()}
    return body


def _dingtalk(message: Message, secret: str, address: str) -> Mapping[str, Any]:
    return {"msgtype": "text", "text": {"content": message.text(15_000)}}


def _telegram(message: Message, secret: str, address: str) -> Mapping[str, Any]:
    (chat, *_) = parse_qs(urlsplit(address).query)["chat_id"]
    return {"chat_id": chat, "text": message.text(4096)}


def _signed_address(target: Target) -> str:
    """Telegram's parameters are in the body; DingTalk's signature is in the address."""
    parts = urlsplit(target.address)
    if target.format.name == "telegram":
        return urlunsplit(parts._replace(query=""))
    if target.format.name == "dingtalk" and target.secret:
        timestamp = str(round(time.time() * 1000))
        digest = hmac.new(target.secret.encode(), f"{timestamp}\n{target.secret}".encode(), hashlib.sha256).digest()
        signature = f"timestamp={timestamp}&sign={quote_plus(base64.b64encode(digest))}"
        return urlunsplit(parts._replace(query=f"{parts.query}&{signature}"))
    return target.address


def _code(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    """Services that answer 200 also to what they refuse: a code other than 0."""
    return lambda answer: None if answer.get(name, 0) == 0 else f"it answered {name} {answer[name]}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


FORMATS = (
    Format(name="slack", hosts=("hooks.slack.com",), body=_slack),
    Format(name="discord", hosts=("discord.com", "discordapp.com"), body=_discord),
    Format(name="lark", hosts=("open.larksuite.com", "open.feishu.cn"), body=_lark, failure=_code("code")),
    Format(name="dingtalk", hosts=("oapi.dingtalk.com",), body=_dingtalk, failure=_code("errcode")),
    Format(
        name="telegram",
        hosts=("api.telegram.org",),
        body=_telegram,
        failure=lambda answer: None if answer.get("ok", True) else "it answered ok: false",
    ),
)
GENERIC = Format(name="generic", hosts=(), body=_generic)
