"""Opens the trackers of a run by name, each behind its own thread and its own error guard.

    tracker = open_tracker(["tensorboard", "wandb"], directory=Path("runs/a"), run=RunInfo(name="a"))

Guarantees
- A wrong name, a backend that cannot be loaded and a directory that cannot be written are refused here, before
  training, with the fix in the message. What fails later never reaches training (`GuardedTracker`).
- Texts and settings go through the same `privacy` and `plain_text` for every backend.
- Each backend is opened on its own thread at the first event: a server that is slow or down does not delay training.
- All trackers share one `WaitingBudget`: training waits for them a bounded time per hour.
- `strict`: no threads and no containment; an error is raised where the event is emitted. For authors of backends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tracker_logging.trackers.background import QUEUE_MB, BackgroundTracker
from tracker_logging.trackers.base import OpenBackend, Tracker
from tracker_logging.trackers.base import RunInfo as RunInfo
from tracker_logging.trackers.fan_out import FanOutTracker
from tracker_logging.trackers.findings_file import FindingsFileTracker
from tracker_logging.trackers.guarded import GuardedTracker
from tracker_logging.trackers.loop_scalars import WithoutLoopScalars
from tracker_logging.trackers.null import NullTracker
from tracker_logging.trackers.privacy import Change, ScrubbedTracker, Scrubber, private_and_plain
from tracker_logging.trackers.registry import backend_names, load_backends
from tracker_logging.trackers.registry import check_backends as check_backends
from tracker_logging.trackers.summary_file import SummaryFileTracker
from tracker_logging.trackers.voice_folder import VoiceFolderTracker
from tracker_logging.trackers.waiting import WaitingBudget
from tracker_logging.trackers.webhook import WebhookTracker

# Plain files that are written beside every backend.
_FILES: dict[str, OpenBackend] = {
    "voices": lambda directory, run: VoiceFolderTracker(directory, purge_step=run.purge_step),
    "findings": lambda directory, run: FindingsFileTracker(directory, purge_step=run.purge_step),
    "summary": lambda directory, run: SummaryFileTracker(directory, purge_step=run.purge_step),
}


def open_tracker(
    report_to: str | Sequence[str],
    *,
    directory: Path,
    run: RunInfo,
    queue_mb: float = QUEUE_MB,
    log_paths: bool = False,
    alert_webhook: str | None = None,
    written_by_loop: Collection[str] = (),
    strict: bool = False,
) -> Tracker:
    """The tracker of a run that writes to `directory`; one that does nothing where `report_to` names no backend.

    `log_paths`: let absolute paths, host and user names through. `alert_webhook`: where findings are posted.
    `written_by_loop`: the backends to whose run the training loop writes its own numbers (see `WithoutLoopScalars`).
    Raises `ValueError` as `check_backends` does, for an invalid webhook address, and for a directory that cannot be
    written.
    """
    backends = load_backends(backend_names(report_to))
    if not backends:
        return NullTracker()
    _check_writable(directory)
    scrubber = Scrubber.of_this_machine(hides_paths=not log_paths)
    run = replace(run, config=scrubber.config(run.config))
    change = private_and_plain(scrubber)
    budget = WaitingBudget()
    trackers: list[Tracker] = []
    for name, open_backend in (backends | _FILES).items():
        open_scrubbed = partial(_open_scrubbed, open_backend, directory, run, change=change)
        guarded = GuardedTracker(open_scrubbed, name=name, strict=strict)
        tracker: Tracker = guarded
        if not strict:
            tracker = BackgroundTracker(guarded, name=name, queue_mb=queue_mb, budget=budget)
        trackers.append(WithoutLoopScalars(tracker) if name in written_by_loop else tracker)
    if alert_webhook is not None:
        webhook = WebhookTracker(alert_webhook, run=run.name or directory.name)
        trackers.append(ScrubbedTracker(webhook, change=change))
    return FanOutTracker(trackers, strict=strict)


def _open_scrubbed(open_backend: OpenBackend, directory: Path, run: RunInfo, *, change: Change) -> Tracker:
    return ScrubbedTracker(open_backend(directory, run), change=change)


def _check_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ValueError(
            f"logging directory {directory} cannot be written ({error.strerror}). "
            "Fix: choose another one with --logging_dir, or make it writable."
        ) from error
