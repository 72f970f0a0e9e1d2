"""Is an item of a ChatML-like file a valid conversation? Checks the JSON itself, before a reader converts it.

- Any format with `messages` is checked: cloning in one user message, or in user / assistant turns.
- An item that is not an object, or has no `messages`, is left to its reader.

>>> [finding.name for finding in structure_findings(Place("train.json"), {"messages": "hello"})]
['messages_malformed']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tracker_logging.data.formats.text_table import UNNAMED
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.rows import NONE, Rows, firsts

ROLES = ("system", "scene", "user", "assistant")
PART_TYPES = ("text", "audio", "audio_url", "input_audio")
FEW, SELDOM, MOST_NAMED = 5, 0.2, 100
"""Samples of a file, and the share and number without a reference up to which each of them is named."""
PLACEHOLDERS = ("<audio>", "<|AUDIO|>", "<|AUDIO_OUT|>", "<|audio|>")


def structure_findings(place: Place, item: object, *, is_prompt: bool = False) -> Iterator[DataFinding]:
    """Problems of the conversation; malformed contents end the check. `is_prompt`: it may end with the user's text."""
    if isinstance(item, list):  # a bare list of messages, as some pipelines write
        item = {"messages": item}
    if not isinstance(item, Mapping) or "messages" not in item:
        return
    messages = item["messages"]
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        kind = type(messages).__name__
        seen = f"a JSON {kind}" if not isinstance(messages, list) else "a list with items that are not objects"
        yield checks.MESSAGES_MALFORMED.at(place, seen=seen, field="messages")
        return
    malformed = list(_contents(place, messages))
    yield from malformed or _roles(
        place,
        [str(message.get("role")) for message in messages],
        may_lack_user="audios" in item,
        may_end_with_user=is_prompt,
    )
    if not malformed:
        yield from _placeholders(place, item, messages)


def record_findings(record: Record) -> Iterator[DataFinding]:
    """Missing clips of one sample."""
    if record.target is None and not record.is_prompt:
        yield checks.TARGET_MISSING.at(record.place, seen="no target audio", field="target audio")


def dataset_findings(rows: Rows) -> Iterator[DataFinding]:
    """Missing references (not of prompts, each of which is named), keys without effect, and ids of several samples."""
    if not rows.are_prompts:
        yield from _missing_references(rows)
    for key, count in rows.unknown_keys.items():
        seen = f"in {count} of {len(rows)} samples"
        if key.startswith(UNNAMED):
            seen += ", under no name in the header: a text that was split at a delimiter has to be quoted"
        yield checks.UNKNOWN_KEY.at(rows.place, seen=seen, field=key)
    first = firsts(rows.column("sample_id"))
    for earliest, count in zip(*np.unique(first, return_counts=True), strict=True):
        if count > 1:
            records = [rows.record(row) for row in np.flatnonzero(first == earliest)[:3]]
            places = ", ".join(record.place.sample for record in records)
            seen = f"{records[0].sample.sample_id!r} names {count} samples: {places}"
            yield checks.SAMPLE_ID_REPEATED.at(rows.place, seen=seen + (", …" if count > 3 else ""))


def _missing_references(rows: Rows) -> Iterator[DataFinding]:
    """One finding per sample where few have none; else one for the file, which mixes both kinds or has no reference."""
    without = np.flatnonzero(rows.column("reference") == NONE)
    share = len(without) / max(1, len(rows))
    if len(rows) < FEW or (share <= SELDOM and len(without) <= MOST_NAMED):
        for row in without:
            yield checks.REFERENCE_MISSING.at(rows.place_of(row), seen="no reference audio", field="reference audio")
        return
    check = checks.REFERENCES_MIXED if SELDOM < share < 1 else checks.REFERENCE_MISSING
    seen = f"in {len(without)} of {len(rows)} samples no reference audio"
    yield check.at(rows.place, seen=seen, field="reference audio")


def _contents(place: Place, messages: Sequence[Mapping[str, Any]]) -> Iterator[DataFinding]:
    for index, message in enumerate(messages):
        content, field = message.get("content"), f"messages[{index}].content"
        if isinstance(content, str):
            continue
        parts = [content] if isinstance(content, Mapping) else content
        if not isinstance(parts, list):
            what = "missing" if content is None else f"a JSON {type(content).__name__}"
            yield checks.CONTENT_MALFORMED.at(place, seen=what, field=field)
            continue
        for number, part in enumerate(parts):
            fault = _part_fault(part)
            if fault:
                yield checks.CONTENT_MALFORMED.at(place, seen=fault, field=f"{field}[{number}]")


def _part_fault(part: object) -> str | None:
    if isinstance(part, str):
        return None
    if not isinstance(part, Mapping):
        return f"a part that is a JSON {type(part).__name__}"
    kind, text = part.get("type"), part.get("text")
    if isinstance(text, str) or (kind in PART_TYPES and kind != "text"):
        return None
    return f"a text part whose text is a JSON {type(text).__name__}" if kind == "text" else f"a part of type {kind!r}"


def _roles(
    place: Place, roles: Sequence[str], *, may_lack_user: bool, may_end_with_user: bool
) -> Iterator[DataFinding]:
    """`may_lack_user`: ms-swift, where the assistant's text can be the text of the only clip. `may_end_with_user`: a
    prompt."""
    order = ", ".join(roles) or "no message"
    for role in dict.fromkeys(roles):
        if role not in ROLES:
            yield checks.ROLE_UNKNOWN.at(place, seen=f"role {role!r}", field="messages")
    known = [role for role in roles if role in ROLES]
    needed = ("user",) if may_end_with_user else ("user", "assistant")
    missing = [role for role in needed if role not in known]
    if may_lack_user and missing == ["user"]:
        return
    if missing:
        seen = f"no message of role {' and '.join(missing)} (roles: {order})"
        yield checks.ROLE_MISSING.at(place, seen=seen, field="messages")
        return
    repeated = next((role for role, following in pairwise(known) if role == following), None)
    if repeated:
        yield checks.ROLE_REPEATED.at(place, seen=f"{repeated} twice in a row ({order})", field="messages")
    turns = [role for role in known if role in ("user", "assistant")]
    late = any(role in ("system", "scene") for role in known[known.index(turns[0]) :])
    if turns[0] == "assistant" or (turns[-1] == "user" and not may_end_with_user) or late:
        yield checks.ROLE_ORDER.at(place, seen=order, field="messages")


def _placeholders(
    place: Place, item: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> Iterator[DataFinding]:
    """The numbers of placeholders and clips, where texts have placeholders or clips are in a separate list."""
    placeholders, clips = 0, 0
    for message in messages:
        content = message["content"]
        for part in [content] if isinstance(content, str | Mapping) else content:
            is_text = isinstance(part, str) or isinstance(part.get("text"), str)
            text = part if isinstance(part, str) else part.get("text", "")
            placeholders += sum(text.count(mark) for mark in PLACEHOLDERS) if is_text else 0
            clips += not is_text
    listed = item.get("audios")
    if isinstance(listed, list):
        clips += len(listed)
    if placeholders != clips and (placeholders or isinstance(listed, list)):
        yield checks.PLACEHOLDERS_DIFFER.at(
            place, seen=f"{placeholders} placeholders for {clips} clips", field="messages"
        )
