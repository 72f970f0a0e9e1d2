"""Opens the trackers of a run by name, each behind its own thread and its own breaker.

    tracker = open_tracker(["tensorboard", "wandb"], directory=Path("runs/a"), run=RunInfo(name="a"))

Guarantees
- A wrong name, a missing package and a directory that cannot be written are refused here, before training, with the
  cure in the message. What fails later never reaches training (`GuardedTracker`).
- Texts and settings go through the same `privacy` and `plain_text` for every backend, unless `log_paths`.
- Each backend is opened on its own thread at the first event: a server that is slow or down does not delay training.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tracker_logging.trackers.background import QUEUE_MB, BackgroundTracker
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.fan_out import FanOutTracker
from tracker_logging.trackers.guarded import GuardedTracker
from tracker_logging.trackers.null import NullTracker
from tracker_logging.trackers.privacy import Change, ScrubbedTracker, Scrubber, private_and_plain
from tracker_logging.trackers.webhook import WebhookTracker


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a backend must know of the run.

    `run_id`: the W&B run to go on with (None: a new one, or the one that is already there). `purge_step`: on a resumed
    run the first step that will be computed again. `again`: what else will be, as "GROUP/STEP": the first part of the
    tags, and an earlier step. `config`: plain values to show beside the run.
    """

    name: str
    project: str = "voice-cloning"
    config: Mapping[str, object] = field(default_factory=dict)
    run_id: str | None = None
    purge_step: int | None = None
    again: frozenset[str] = frozenset()


_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "jsonl": None, "trackio": "trackio"}
BACKENDS = tuple(_PACKAGES)
_FILES = ("voices", "findings")  # plain files that stand beside every backend


def check_backends(names: Sequence[str]) -> None:
    """Raise ValueError for a name that is no backend and for one whose package is missing, with the cure."""
    for name in names:
        if name not in _PACKAGES:
            raise ValueError(f"report_to: {name!r} is no backend. Choose of {', '.join(BACKENDS)} (or none).")
        package = _PACKAGES[name]
        if package and importlib.util.find_spec(package) is None:
            raise ValueError(f"report_to: {name} needs a package that is not installed. Cure: pip install {package}")


def open_tracker(
    backends: Sequence[str],
    *,
    directory: Path,
    run: RunInfo,
    queue_mb: float = QUEUE_MB,
    log_paths: bool = False,
    alert_webhook: str | None = None,
) -> Tracker:
    """The tracker of a run that writes to `directory`; one that does nothing where `backends` is empty.

    `log_paths`: let absolute paths, host and user names through. `alert_webhook`: where findings are posted. Raises
    ValueError as `check_backends` does, for an address that is none, and where `directory` cannot be written. Where W&B
    has no key and there is a terminal, W&B asks for one here, once.
    """
    check_backends(backends)
    if not backends:
        return NullTracker()
    _check_writable(directory)
    if "wandb" in backends:
        _ask_for_key()
    scrubber = None if log_paths else Scrubber.of_this_machine()
    if scrubber is not None:
        run = replace(run, config=scrubber.config(run.config))
    change = private_and_plain(scrubber)
    trackers: list[Tracker] = [
        _behind_thread(name, _OPENERS[name](directory, run), change=change, queue_mb=queue_mb)
        for name in (*dict.fromkeys(backends), *_FILES)
    ]
    if alert_webhook is not None:
        trackers.append(ScrubbedTracker(WebhookTracker(alert_webhook, run=run.name), change=change))
    return FanOutTracker(trackers)


# Each of these imports its backend now, on the thread that opens the run, since not every module can be imported while
# Python ends; the function that it returns then opens the backend on its own thread, at the first event.
def _tensorboard(directory: Path, run: RunInfo) -> Callable[[], Tracker]:
    from tracker_logging.trackers.tensorboard import TensorBoardTracker

    return partial(
        TensorBoardTracker, directory, purge_step=run.purge_step, again=run.again, name=run.name, config=run.config
    )


def _wandb(directory: Path, run: RunInfo) -> Callable[[], Tracker]:
    from tracker_logging.trackers.wandb import WandbTracker
    from tracker_logging.trackers.wandb_record import latest_run_id, written_steps

    def open_run() -> Tracker:
        run_id = run.run_id or (latest_run_id(directory) if run.purge_step is not None else None)
        written = written_steps(directory, run_id=run_id) if run_id else {}
        return WandbTracker(
            directory, project=run.project, name=run.name, config=run.config, run_id=run_id, written=written
        )

    return open_run


def _jsonl(directory: Path, run: RunInfo) -> Callable[[], Tracker]:
    from tracker_logging.trackers.jsonl import JsonLinesTracker

    return partial(
        JsonLinesTracker,
        directory,
        name=run.name,
        project=run.project,
        config=run.config,
        purge_step=run.purge_step,
        again=run.again,
    )


def _trackio(directory: Path, run: RunInfo) -> Callable[[], Tracker]:
    from tracker_logging.trackers.trackio import TrackioTracker

    is_resumed = run.purge_step is not None
    return partial(TrackioTracker, directory, project=run.project, name=run.name, config=run.config, resume=is_resumed)


def _voices(directory: Path, run: RunInfo) -> Callable[[], Tracker]:
    from tracker_logging.trackers.voice_folder import VoiceFolderTracker

    return partial(VoiceFolderTracker, directory)


def _findings(directory: Path, run: RunInfo) -> Callable[[], Tracker]:
    from tracker_logging.trackers.findings_file import FindingsFileTracker

    return partial(FindingsFileTracker, directory)


_OPENERS = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "jsonl": _jsonl,
    "trackio": _trackio,
    "voices": _voices,
    "findings": _findings,
}


def _behind_thread(
    name: str, open_backend: Callable[[], Tracker], *, change: Change, queue_mb: float
) -> BackgroundTracker:
    guarded = GuardedTracker(lambda: ScrubbedTracker(open_backend(), change=change), name=name)
    return BackgroundTracker(guarded, name=name, queue_mb=queue_mb)


def _ask_for_key() -> None:
    """Let W&B ask for a key before training rather than during it; not without a terminal, and not if told a mode."""
    import wandb

    from tracker_logging.trackers.wandb import has_key

    if wandb.run is None and not os.environ.get("WANDB_MODE") and not has_key() and sys.stdin.isatty():
        wandb.login()


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
