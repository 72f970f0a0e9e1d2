"""Do the texts match the clips, as far as the texts alone show it?

- Words are compared without case, punctuation, space and tags of voices: a normalised copy of a text is not a finding.
- Scripts by the names of Unicode characters; languages that are not in the table are not checked.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tracker_logging.data.chat_tokens import STRUCTURE
from tracker_logging.data.formats.conversation import INSTRUCTION
from tracker_logging.data.sample import VoiceSample
from tracker_logging.data.voices import untagged
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import Check, DataFinding, Place
from tracker_logging.doctor.data_checks.letters import script_of, words
from tracker_logging.doctor.data_checks.mojibake import mojibake
from tracker_logging.doctor.data_checks.record import Record, same_sound
from tracker_logging.doctor.data_checks.rows import NONE, Rows, firsts, joined
from tracker_logging.doctor.data_checks.structure import PLACEHOLDERS

MOST = 0.8  # share of texts with a final stop, above which the others are reported
REPEATED = 0.2  # share of the samples
FEW = 20  # texts, below which there is no majority
_QUOTED = 60  # characters of a text in a message
_NO_WORDS = hash("")

_DAMAGED = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_ORDER = re.compile(
    r"^\s*(?:please\s+)?(?:generate|synthesi[sz]e|speak|say|read|clone|convert)\b[^:]{0,80}"
    r"\b(?:voice|text|speech|speaker|sentence)\b[^:]{0,40}:",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:[a-z]+|#\d+|#x[\da-f]+);", re.IGNORECASE)
_HTML_TAG = re.compile(r"</?(?:a|b|br|div|em|font|i|p|span|strong|sub|sup|u)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_LATIN = (
    "en de fr es it pt nl sv da no nb nn fi pl cs sk sl hr hu ro tr vi id ms sw et lv lt ca eu gl ga cy is af sq tl"
)
_SCRIPTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(_LATIN.split(), frozenset({"LATIN"})),
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "kk", "ky", "mn"), frozenset({"CYRILLIC"})),
    **dict.fromkeys(("ar", "fa", "ur", "ps"), frozenset({"ARABIC"})),
    **dict.fromkeys(("hi", "mr", "ne", "sa"), frozenset({"DEVANAGARI"})),
    "zh": frozenset({"CJK"}),
    "yue": frozenset({"CJK"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
    "ko": frozenset({"HANGUL", "CJK"}),
    "el": frozenset({"GREEK"}),
    "he": frozenset({"HEBREW"}),
    "th": frozenset({"THAI"}),
    "ka": frozenset({"GEORGIAN"}),
    "hy": frozenset({"ARMENIAN"}),
    "bn": frozenset({"BENGALI"}),
    "ta": frozenset({"TAMIL"}),
    "te": frozenset({"TELUGU"}),
}  # fmt: skip


def text_findings(record: Record) -> Iterator[DataFinding]:
    """Problems of the texts of one sample."""
    sample, place = record.sample, record.place
    for field, text in _fields(record):
        token = next((token for token in STRUCTURE if token in text), None)
        if token:
            yield checks.STRUCTURE_IN_TEXT.at(place, seen=f"{token} in {quoted(text)}", field=field)
        damage = _damage(text)
        if damage is not None:
            yield checks.TEXT_ENCODING.at(place, seen=damage, field=field)
        if _has_html(text):
            yield checks.TEXT_MARKUP.at(place, seen=quoted(text), field=field)
        if not any(map(str.isalnum, untagged(text))):
            yield checks.TEXT_WITHOUT_WORDS.at(place, seen=quoted(text), field=field)
    reference_words, target_words = untagged(sample.reference_text), untagged(sample.target_text)
    if target_words.startswith(INSTRUCTION) or _ORDER.match(target_words):
        yield checks.INSTRUCTION_IN_TEXT.at(place, seen=quoted(sample.target_text), field="target text")
    reference, target = record.reference, record.target
    if reference is not None and target is not None:
        same_text = words(reference_words) == words(target_words) != ""
        if same_text and not same_sound(reference, target):
            yield checks.REFERENCE_TEXT_IS_TARGET.at(place, seen=quoted(sample.target_text), field="reference text")
    script, wanted = script_of(target_words), _SCRIPTS.get(_language(sample.language))
    if script and wanted and script not in wanted:
        seen = f"language {sample.language!r}, text in {script.capitalize()}: {quoted(sample.target_text)}"
        yield checks.LANGUAGE_SCRIPT.at(place, seen=seen, field="language")


def doubled_texts(place: Place, item: object, sample: VoiceSample) -> Iterator[DataFinding]:
    """Texts of the ChatML `item` that differ from those that its reader used for `sample`."""
    if not isinstance(item, Mapping) or ("messages" not in item and "misc" not in item):
        return
    reference, target = _written(item)
    for field, text in reference if sample.reference_audio is not None else ():
        if words(untagged(text)) != words(untagged(sample.reference_text)):
            seen = f"read: {quoted(sample.reference_text)}; {field}: {quoted(text)}"
            yield checks.TEXTS_DIFFER.at(place, seen=seen, field="reference text")
            break
    for field, text in target:
        check = _difference(untagged(text), untagged(sample.target_text))
        if check is not None:
            seen = f"read: {quoted(sample.target_text)}; {field}: {quoted(text)}"
            yield check.at(place, seen=seen, field="target text")
            break


def dataset_findings(rows: Rows) -> Iterator[DataFinding]:
    """One text for many clips, and target texts without a final stop where nearly all others have one."""
    total, texts, targets = len(rows), rows.column("target_text"), rows.column("target")
    if total < FEW:
        return
    pairs = np.flatnonzero((targets != NONE) & (texts != _NO_WORDS))
    pairs = pairs[firsts(joined(texts[pairs], targets[pairs])) == np.arange(len(pairs))]  # each clip of a text once
    first, counts = np.unique(firsts(texts[pairs]), return_counts=True) if len(pairs) else (pairs, pairs)
    if len(counts) and counts.max() > REPEATED * total:
        example = rows.record(pairs[first[counts.argmax()]]).sample
        seen = f"{counts.max()} of {total} clips: {quoted(example.target_text)}"
        yield checks.TEXTS_REPEATED.at(rows.place, seen=seen, field="target text")
    unfinished = np.flatnonzero(rows.column("is_finished") == 0)
    if len(unfinished) > (1 - MOST) * total:
        return
    for row in unfinished:
        record = rows.record(row)
        end = quoted(record.sample.target_text.rstrip()[-20:])
        yield checks.TEXT_UNFINISHED.at(record.place, seen=f"ends with {end}", field="target text")


def quoted(text: str) -> str:
    """The text in quotes, cut to one line; unprintable characters are escaped."""
    line = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
        for letter in (text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…")
    )
    return f'"{line}"'


def _fields(record: Record) -> Iterator[tuple[str, str]]:
    has_texts = record.sample.references_in == "turns"
    if record.reference is not None and has_texts:
        yield "reference text", record.sample.reference_text
    yield "target text", record.sample.target_text
    for utterance in record.more:
        if has_texts or utterance.role == "target":
            yield f"{utterance.role} text", utterance.text


def _damage(text: str) -> str | None:
    """How `text` was damaged by a wrong encoding; None if nothing shows it."""
    if text.isascii() and text.isprintable():
        return None
    found = mojibake(text)
    if found is not None and found.text is not None:
        return f"{quoted(text)} is {quoted(found.text)}, decoded as {found.decoded_as}"
    if found is not None:
        return f"{quoted(text)} was decoded as {found.decoded_as}"
    return quoted(text) if _DAMAGED.search(text) else None


def _has_html(text: str) -> bool:
    """Tags that models use for sounds, such as <laugh>, are not HTML."""
    entities = (entity[0] for entity in _ENTITY.finditer(text))
    return _HTML_TAG.search(text) is not None or any(html.unescape(entity) != entity for entity in entities)


def _language(language: str | None) -> str:
    return re.split(r"[-_]", (language or "").lower(), maxsplit=1)[0]


def _difference(whole: str, read: str) -> Check | None:
    """The check that fails when one place has `whole` and the reader used `read`; None if the words are equal."""
    full, used = words(whole), words(read)
    if full == used or not full or not used:
        return None
    if len(used) < len(full) and any(words(piece) == used for piece in _pieces(whole)):
        return checks.TEXT_CUT_AT_COLON
    short, long = sorted((full, used), key=len)
    return checks.TEXT_CUT if long.startswith(short) or long.endswith(short) else checks.TEXTS_DIFFER


def _pieces(text: str) -> Iterator[str]:
    """The parts, beginnings and ends of a text that is split on ":"."""
    parts = text.split(":")
    if len(parts) > 1:
        yield from parts
        for cut in range(1, len(parts)):
            yield ":".join(parts[:cut])
            yield ":".join(parts[cut:])


def _written(item: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(field, text) of every place of a one-turn ChatML item that has the reference text, and the target text."""
    misc, messages = item.get("misc"), item.get("messages")
    named = misc if isinstance(misc, Mapping) else {}
    reference = [("misc.ref_transcript", text) for text in [named.get("ref_transcript")] if isinstance(text, str)]
    target = [("misc.target_transcript", text) for text in [named.get("target_transcript")] if isinstance(text, str)]
    users = _of_role("user", messages)
    answers = _of_role("assistant", messages)
    if len(users) != 1 or len(answers) != 1:
        return reference, target
    asked = _texts(users[0].get("content"))
    target += [("the instruction", text.removeprefix(INSTRUCTION).strip()) for text in asked if _is_instruction(text)]
    target += [("the assistant's text", text) for text in _texts(answers[0].get("content"))[:1]]
    reference += [("the user's first text", text) for text in asked[:1] if len(asked) > 1 and not _is_instruction(text)]
    return reference, target


def _is_instruction(text: str) -> bool:
    return text.startswith(INSTRUCTION)


def _of_role(role: str, messages: object) -> list[Mapping[str, Any]]:
    every = messages if isinstance(messages, list) else []
    return [message for message in every if isinstance(message, Mapping) and message.get("role") == role]


def _texts(content: object) -> list[str]:
    """The texts of a content, stripped; malformed parts are skipped."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if part.get("type") == "text"]
    return [text.strip() for text in texts if isinstance(text, str) and text.strip() and not _holds_clip(text)]


def _holds_clip(text: str) -> bool:
    """Whether the text contains a clip's placeholder."""
    return any(mark in text for mark in PLACEHOLDERS)
