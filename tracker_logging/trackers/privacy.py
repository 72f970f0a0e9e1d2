"""Keeps what identifies a person or a machine, and every secret, out of every tracker: one function for all backends.

    scrubber = Scrubber.of_this_machine()
    scrubber.text("read /home/joe/data/a.wav as joe@node17")   # "read ~/data/a.wav as ‹user›@‹host›"

Guarantees
- Secrets become "‹secret›": settings with a secret name at any depth, values of environment variables with one, user
  information and signatures in addresses, strings of the known shapes of keys (see `secrets`). Always.
- Unless paths are wanted (`--log_paths`): absolute paths keep their last part only ("…/a.wav"), the home directory
  becomes "~", the working directory "."; host and user name become "‹host›" and "‹user›". A name that could be a word
  ("will") is replaced only inside a path, an address or `user@host`. Generic ones such as root are left alone.
- Numbers, samples and pixels are untouched; so are tags and voice ids, which are ours.
- `ScrubbedTracker` also makes text safe (`plain_text.clean`): a backend gets valid and short text.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from tracker_logging.events import (
    Alert,
    Audio,
    Cell,
    Checkpoint,
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
from tracker_logging.trackers.plain_text import clean, number
from tracker_logging.trackers.secrets import (
    SECRET,
    is_secret_name,
    is_secret_variable,
    without_assigned_secrets,
    without_secrets,
)

_GENERIC = frozenset({"root", "user", "admin", "runner", "ubuntu", "debian", "docker", "jovyan", "nobody", "localhost"})
_PART = r"[^\s/\\'\"<>|:*?,;()\[\]{}]"
_POSIX_PATH = re.compile(rf"(?<![\w/.:~…<])/(?:{_PART}+/)+({_PART}+)")
_WINDOWS_PATH = re.compile(rf"(?<!\w)(?:[A-Za-z]:\\|\\\\)(?:{_PART}+\\)*({_PART}+)")
_FILE_ADDRESS = re.compile(r"file://(?=/)")
_SHORTEST_SECRET = 8
_SHORTEST_NAME = 3

Change = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubber:
    """What must not get out. `folders` maps a path to what is shown for it, `names` a user or host name likewise."""

    folders: Mapping[str, str]
    names: Mapping[str, str]
    secrets: frozenset[str]
    hides_paths: bool = True

    @staticmethod
    def of_this_machine(*, hides_paths: bool = True) -> Scrubber:
        """What this process knows about itself. Without `hides_paths` only secrets are hidden."""
        host = socket.gethostname()
        names = {host: "‹host›", host.partition(".")[0]: "‹host›", _user(): "‹user›"}
        values = (value for name, value in os.environ.items() if is_secret_variable(name))
        folders = {str(Path.cwd()): ".", os.path.expanduser("~"): "~"}  # noqa: PTH111 - never raises without a home
        return Scrubber(
            folders={path: shown for path, shown in folders.items() if len(path) > 1},
            names={n: shown for n, shown in names.items() if len(n) >= _SHORTEST_NAME and n.lower() not in _GENERIC},
            secrets=frozenset(value for value in values if len(value) >= _SHORTEST_SECRET),
            hides_paths=hides_paths,
        )

    def text(self, text: str) -> str:
        """`text` without secrets and, unless they are wanted, without paths and names."""
        for secret in self.secrets:
            text = text.replace(secret, SECRET)
        text = without_secrets(text)
        if not self.hides_paths:
            return text
        text = _FILE_ADDRESS.sub("", text)
        for folder in sorted(self.folders, key=len, reverse=True):
            text = re.sub(rf"(?<![\w/.]){re.escape(folder)}(?![\w.-])", self.folders[folder], text)
        text = _WINDOWS_PATH.sub(r"…/\1", _POSIX_PATH.sub(r"…/\1", text))
        for name, shown in self.names.items():
            text = _replace_name(text, name, shown)
        return text

    def config(self, config: Mapping[str, object]) -> dict[str, object]:
        """A run's settings, scrubbed at any depth. Values that are not plain or not finite become text."""
        return {
            self.text(str(key)): SECRET if is_secret_name(str(key)) and _is_set(value) else self._value(value)
            for key, value in config.items()
        }

    def _value(self, value: object) -> object:
        match value:
            case None | bool() | int():
                return value
            case float():
                return number(value)
            case Mapping():
                return self.config(value)
            case list() | tuple() | set() | frozenset():
                return self._items(list(value))
            case _:
                return clean(self.text(without_assigned_secrets(str(value))))

    def _items(self, items: Sequence[object]) -> list[object]:
        """What follows a secret name is secret: in a pair ("Authorization", "…"), and after a flag "--hub_token"."""
        scrubbed = [self._value(item) for item in items]
        for place, (name, value) in enumerate(pairwise(items), start=1):
            is_name = (
                isinstance(name, str)
                and is_secret_name(name)
                and (len(items) == 2 or name[0] == "-")
                and "=" not in name
            )
            if is_name and isinstance(value, str):
                scrubbed[place] = SECRET
        return scrubbed


class ScrubbedTracker:
    """Passes every event on with its texts changed; the event itself is not modified."""

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


def private_and_plain(scrubber: Scrubber) -> Change:
    """The change to make to every text: scrub, then `clean`."""
    return lambda text: clean(scrubber.text(text))


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
        case Checkpoint():
            return replace(event, name=change(event.name))
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
        group=maybe(event.group),
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


def _replace_name(text: str, name: str, shown: str) -> str:
    """`text` with `shown` for a name: anywhere if it cannot be a word ("node17"), else in paths and addresses only."""
    exact = re.escape(name)
    if not name.isalpha():
        return re.sub(rf"(?<!\w){exact}(?!\w)", shown, text)
    file = r"/(?:[\w.-]+/)*[\w-]+\.\w{1,5}\b"
    places = (
        rf"(?<![\w]){exact}(?=@)",  # user@host
        rf"(?<=[\w›]@){exact}(?!\w)",
        rf"(?<=//){exact}(?=[:/\s]|$)",  # an address
        rf"(?<!\w){exact}(?=:\d)",
        rf"(?<!\w){exact}(?=\.(?:local|lan|internal|cluster|home|[\w-]+\.[a-z]{{2,}})\b)",
        rf"(?<=[/\\]){exact}(?=[/\\])",  # within a path, or at the end of one of a home directory
        rf"(?<=/home/){exact}(?!\w)|(?<=[/\\]Users[/\\]){exact}(?!\w)|(?<=~){exact}(?=/)",
        rf"(?<![\w/]){exact}(?={file})",  # at the begin of a relative one
    )
    return re.sub("|".join(places), shown, text)


def _is_set(value: object) -> bool:
    """A setting that is missing, switched or empty is no secret."""
    return not (value is None or isinstance(value, bool) or value in ("", {}, [], ()))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
