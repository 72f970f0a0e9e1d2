"""Opens the trackers of a run by name, each behind its own thread and its own breaker.

    tracker = open_tracker(["tensorboard", "wandb"], directory=Path("runs/a"), run=RunInfo(name="a"))

Guarantees
- A wrong name, a missing package and a directory that cannot be written are refused here, before training, with the
  cure in the message. What fails later never reaches training (`GuardedTracker`).
- Each backend is opened on its own thread at the first event: a server that is slow or down does not delay training.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracker_logging.trackers.background import QUEUE_MB, BackgroundTracker
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.fan_out import FanOutTracker
from tracker_logging.trackers.guarded import GuardedTracker
from tracker_logging.trackers.null import NullTracker


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a backend must know of the run.

    `run_id`: the W&B run to go on with (None: a new one, or the one that is already there). `purge_step`: on a resumed
    run the first step that will be computed again. `config`: plain values to show beside the run.
    """

    name: str
    project: str = "voice-cloning"
    config: Mapping[str, object] = field(default_factory=dict)
    run_id: str | None = None
    purge_step: int | None = None


_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}
BACKENDS = tuple(_PACKAGES)


def check_backends(names: Sequence[str]) -> None:
    """Raise ValueError for a name that is no backend and for one whose package is missing, with the cure."""
    for name in names:
        if name not in _PACKAGES:
            raise ValueError(f"report_to: {name!r} is no backend. Choose of {', '.join(BACKENDS)} (or none).")
        package = _PACKAGES[name]
        if package and importlib.util.find_spec(package) is None:
            raise ValueError(f"report_to: {name} needs a package that is not installed. Cure: pip install {package}")


def open_tracker(backends: Sequence[str], *, directory: Path, run: RunInfo, queue_mb: float = QUEUE_MB) -> Tracker:
    """The tracker of a run that writes to `directory`; one that does nothing where `backends` is empty.

    Raises ValueError as `check_backends` does, and where `directory` cannot be written.
    """
    check_backends(backends)
    if not backends:
        return NullTracker()
    _check_writable(directory)
    trackers = [_behind_thread(name, _opener(name, directory, run), queue_mb) for name in dict.fromkeys(backends)]
    return trackers[0] if len(trackers) == 1 else FanOutTracker(trackers)


def _behind_thread(name: str, open_backend: Callable[[], Tracker], queue_mb: float) -> Tracker:
    return BackgroundTracker(GuardedTracker(open_backend, name=name), name=name, queue_mb=queue_mb)


def _opener(name: str, directory: Path, run: RunInfo) -> Callable[[], Tracker]:
    def tensorboard() -> Tracker:
        from tracker_logging.trackers.tensorboard import TensorBoardTracker

        return TensorBoardTracker(directory, purge_step=run.purge_step)

    def wandb() -> Tracker:
        from tracker_logging.trackers.wandb import WandbTracker

        return WandbTracker(directory, project=run.project, name=run.name, config=run.config, run_id=run.run_id)

    return {"tensorboard": tensorboard, "wandb": wandb}[name]


def _check_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ValueError(
            f"logging directory {directory} cannot be written ({error.strerror}). "
            "Cure: name another one with --logging_dir, or make it writable."
        ) from error
