"""What a backend implements, and what it is told about the run.

    class Tracker:
        emit(event)    take one event
        flush(...)     make what was emitted readable
        close()        flush and release; a closed tracker ignores events

A backend is a factory `(directory, run) -> Tracker`, see `docs/backends.md`. A decorator (background, fan-out, guarded,
scrubbed) is a tracker that holds a tracker, so composition is nesting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from tracker_logging.config import Detail
from tracker_logging.events import Event

DEFAULT_PROJECT = "voice-cloning"


@runtime_checkable
class Tracker(Protocol):
    """Where events go."""

    def emit(self, event: Event) -> None:
        """Take one event. Called on any thread; a backend may block, `BackgroundTracker` never does."""

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return when everything emitted before can be read back, or after `timeout_s` seconds."""

    def close(self) -> None:
        """Flush and release files, threads and connections. A second call does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a backend needs to know about the run.

    `name`, `project`: None where the user chose none; then the backend's own default applies (for W&B its environment).
    `config`: plain values to show beside the run, without secrets. `run_id`: the W&B run to continue (None: a new one,
    or the one that is already active). `purge_step`: in a resumed run the first step that will be computed again; what
    the backend holds of it and later must go, or must not be written again. `again`: what else will be computed again,
    as "GROUP/STEP": the first part of the tags, and an earlier step. `detail`: how much a backend that draws each
    number shows at once. `tags`, `group`, `notes`: how the user files the run, where a backend has a place for it.
    """

    name: str | None = None
    project: str | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    run_id: str | None = None
    purge_step: int | None = None
    again: frozenset[str] = frozenset()
    detail: Detail = "standard"
    tags: tuple[str, ...] = ()
    group: str | None = None
    notes: str | None = None


OpenBackend: TypeAlias = Callable[[Path, RunInfo], Tracker]
