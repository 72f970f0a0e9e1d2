"""What the files of a backend hold, one entry after the other, and how entries become a run.

Every reader (`tensorboard.py`, `json_lines.py`, `wandb.py`) yields the same entries in the order of writing:

    for entry in tensorboard.entries(Path("outputs/runs/a")): ...
    contents = collect(tensorboard.entries(Path("outputs/runs/a")))
    contents.of(float)["outputs/nll/mean"]        # {100: 4.31, 200: 3.95}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from tracker_logging.events import Findings
from tracker_logging.runs.model import AlertMessage, Clip, Histogram, Picture, Table
from tracker_logging.trackers.plain_text import number

Value: TypeAlias = float | str | Table | Clip | Picture | Histogram
T = TypeVar("T", float, str, Table, Clip, Picture, Histogram)


@dataclass(frozen=True, slots=True)
class Logged:
    """A value under a tag at a step: a number, a text, a table, a clip, a picture or a histogram."""

    step: int
    tag: str
    value: Value


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the run, possibly nested."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run was resumed: what was written before for `step` and later is void."""

    step: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read, as a sentence."""

    text: str


Entry: TypeAlias = Logged | Settings | Resumed | AlertMessage | Findings | Problem


@dataclass
class Contents:
    """Entries put in order: by kind of value, tag and step, a later value in place of an earlier one."""

    settings: dict[str, Any] = field(default_factory=dict)
    alerts: list[AlertMessage] = field(default_factory=list)
    report: Findings | None = None
    problems: list[str] = field(default_factory=list)
    _values: dict[type, dict[str, dict[int, Any]]] = field(default_factory=dict)

    def of(self, kind: type[T]) -> dict[str, dict[int, T]]:
        """Tag → {step: value} of the values of one type, tags in alphabetical order, steps ascending."""
        return {tag: dict(sorted(steps.items())) for tag, steps in sorted(self._values.get(kind, {}).items()) if steps}

    def add(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry:
            case Logged():
                self._values.setdefault(type(entry.value), {}).setdefault(entry.tag, {})[entry.step] = entry.value
            case Settings():
                self.settings |= flat(entry.values)
            case Resumed():
                self._forget_from(entry.step)
            case AlertMessage():
                self.alerts.append(entry)
            case Findings():
                self.report = entry
            case Problem():
                self.problems.append(entry.text)

    def _forget_from(self, step: int) -> None:
        for tags in self._values.values():
            for tag, values in tags.items():
                tags[tag] = {at: value for at, value in values.items() if at < step}
        self.alerts = [alert for alert in self.alerts if alert.step < step]


def collect(entries: Iterable[Entry]) -> Contents:
    """All entries put in order."""
    contents = Contents()
    for entry in entries:
        contents.add(entry)
    return contents


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name. Whole floats become integers: TensorBoard keeps every number as a float. One that
    is not finite becomes text.

    >>> flat({"lr": 0.5, "data": {"seed": 3.0}, "resume": None, "max_grad_norm": float("inf")})
    {'lr': 0.5, 'data.seed': 3, 'resume': 'none', 'max_grad_norm': 'Infinity'}
    """
    plain: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            plain |= flat(value, f"{prefix}{name}.")
        else:
            plain[f"{prefix}{name}"] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if abs(value) < 1e15 and value == int(value) else number(value)
    return "none" if value is None else value if isinstance(value, str | int | bool) else str(value)
