"""Keeps what names a person or a machine out of every tracker: one function for all backends.

    scrubber = Scrubber.of_this_machine()
    scrubber.text("read /home/joe/data/a.wav on node17")   # "read ~/data/a.wav on ‹host›"

Guarantees
- Absolute paths keep their last part only ("…/a.wav"); the home directory becomes "~", the working directory ".".
- Host and user name become "‹host›" and "‹user›" where they stand as words (generic ones such as root name nobody).
- Values of environment variables whose name says secret (KEY, TOKEN, SECRET, PASSWORD, CREDENTIAL) and strings of the
  known shapes of keys become "‹secret›".
- Numbers, samples and pixels are untouched; so are tags and voice ids, which are ours.
- `ScrubbedTracker` also makes text harmless (`plain_text.clean`): what a backend gets is valid, short and one-way.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tracker_logging.events import (
    Alert,
    Audio,
    Cell,
    Clip,
    Event,
    Finding,
    Findings,
    Heatmap,
    Image,
    Table,
    Text,
    VoiceComparison,
)
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.plain_text import clean

_GENERIC = frozenset({"root", "user", "admin", "runner", "ubuntu", "debian", "docker", "jovyan", "nobody", "localhost"})
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_SECRET_SHAPE = re.compile(r"\b(?:hf_\w{20,}|sk-[\w-]{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|AKIA[0-9A-Z]{16})\b")
_PART = r"[^\s/\\'\"<>|:*?,;()\[\]{}]"
_POSIX_PATH = re.compile(rf"(?<![\w/.:~…<])/(?:{_PART}+/)+({_PART}+)")
_WINDOWS_PATH = re.compile(rf"(?<!\w)(?:[A-Za-z]:\\|\\\\)(?:{_PART}+\\)*({_PART}+)")
_FILE_ADDRESS = re.compile(r"file://(?=/)")
_SHORTEST_SECRET = 8
_SHORTEST_NAME = 3

Change = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubber:
    """What must not get out: `folders` maps a path to what is shown for it; `names` and `secrets` likewise."""

    folders: Mapping[str, str]
    names: Mapping[str, str]
    secrets: frozenset[str]

    @staticmethod
    def of_this_machine() -> Scrubber:
        """What this process can find out about itself."""
        host = socket.gethostname()
        names = {host: "‹host›", host.partition(".")[0]: "‹host›", _user(): "‹user›"}
        values = (value for name, value in os.environ.items() if _SECRET_NAME.search(name))
        folders = {str(Path.cwd()): ".", os.path.expanduser("~"): "~"}  # noqa: PTH111 - never raises without a home
        return Scrubber(
            folders={path: shown for path, shown in folders.items() if len(path) > 1},
            names={n: shown for n, shown in names.items() if len(n) >= _SHORTEST_NAME and n.lower() not in _GENERIC},
            secrets=frozenset(value for value in values if len(value) >= _SHORTEST_SECRET),
        )

    def text(self, text: str) -> str:
        """`text` without paths, names and secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "‹secret›")
        text = _FILE_ADDRESS.sub("", _SECRET_SHAPE.sub("‹secret›", text))
        for folder in sorted(self.folders, key=len, reverse=True):
            text = re.sub(rf"(?<![\w/.]){re.escape(folder)}(?![\w.-])", self.folders[folder], text)
        text = _WINDOWS_PATH.sub(r"…/\1", _POSIX_PATH.sub(r"…/\1", text))
        for name, shown in self.names.items():
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", shown, text)
        return text

    def config(self, config: Mapping[str, object]) -> dict[str, object]:
        """A run's settings with every string in them scrubbed, at any depth; what is no plain value as text."""
        return {str(key): self._value(value) for key, value in config.items()}

    def _value(self, value: object) -> object:
        match value:
            case None | bool() | int() | float():
                return value
            case Mapping():
                return self.config(value)
            case list() | tuple() | set() | frozenset():
                return [self._value(item) for item in value]
            case _:
                return clean(self.text(str(value)))


class ScrubbedTracker:
    """Hands every event on with its texts changed; the event itself is left as it is."""

    def __init__(self, tracker: Tracker, *, change: Change) -> None:
        self.inner = tracker
        self._change = change

    @property
    def errors(self) -> int:
        """Exceptions that the tracker counted."""
        return int(getattr(self.inner, "errors", 0))

    def emit(self, event: Event) -> None:
        """Change the texts (a millisecond for 100 kB), then emit. Raises what the tracker raises."""
        self.inner.emit(with_texts(event, self._change))

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Flush the tracker."""
        self.inner.flush(timeout_s=timeout_s)

    def close(self) -> None:
        """Close the tracker."""
        self.inner.close()


def private_and_plain(scrubber: Scrubber | None) -> Change:
    """The change to make to every text: scrub (unless None, as with `--log_paths`), then `clean`."""
    return clean if scrubber is None else lambda text: clean(scrubber.text(text))


def with_texts(event: Event, change: Change) -> Event:
    """`event` with `change` made to every text in it that came from data or from the machine."""
    match event:
        case Text():
            return replace(event, text=change(event.text))
        case Table():
            rows = tuple(tuple(_cell(cell, change) for cell in row) for row in event.rows)
            return replace(event, columns=tuple(map(change, event.columns)), rows=rows)
        case Image():
            picture = event.picture if isinstance(event.picture, np.ndarray) else _heatmap(event.picture, change)
            return replace(event, picture=picture, caption=change(event.caption))
        case Audio():
            return replace(event, clips=_clips(event.clips, change))
        case Alert():
            return replace(event, title=change(event.title), text=change(event.text))
        case Findings():
            return replace(event, findings=tuple(_finding(finding, change) for finding in event.findings))
        case VoiceComparison():
            return _comparison(event, change)
        case _:
            return event


def _comparison(event: VoiceComparison, change: Change) -> VoiceComparison:
    def maybe(text: str | None) -> str | None:
        return None if text is None else change(text)

    return replace(
        event,
        clips=_clips(event.clips, change),
        reference_text=change(event.reference_text),
        target_text=change(event.target_text),
        speaker=maybe(event.speaker),
        language=maybe(event.language),
        transcript=maybe(event.transcript),
        stop_reason=maybe(event.stop_reason),
        error=maybe(event.error),
        scorers={name: change(choice) for name, choice in event.scorers.items()},
    )


def _finding(finding: Finding, change: Change) -> Finding:
    return replace(finding, seen=change(finding.seen), cause=change(finding.cause), fix=change(finding.fix))


def _heatmap(heatmap: Heatmap, change: Change) -> Heatmap:
    return replace(
        heatmap,
        title=change(heatmap.title),
        row_labels=tuple(map(change, heatmap.row_labels)),
        column_labels=tuple(map(change, heatmap.column_labels)),
    )


def _clips(clips: Mapping[str, Clip], change: Change) -> dict[str, Clip]:
    return {name: replace(clip, caption=change(clip.caption)) for name, clip in clips.items()}


def _cell(cell: Cell, change: Change) -> Cell:
    return change(cell) if isinstance(cell, str) else cell


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
