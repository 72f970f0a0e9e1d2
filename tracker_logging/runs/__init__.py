"""Reads runs: the one reader of the project, for dashboards, commands, tests and your own scripts.

A run is read from whatever is there: TensorBoard event files, JSON lines, an offline W&B run or the `voices` folder.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from tracker_logging.events import Scalars
    >>> from tracker_logging.trackers.tensorboard import TensorBoardTracker
    >>> folder = Path(tempfile.mkdtemp())
    >>> tracker = TensorBoardTracker(folder / "runs" / "a", config={"lr": 0.5})
    >>> for step, value in ((100, 0.25), (200, 0.5)):
    ...     tracker.emit(Scalars(step=step, values={"voices/sim_margin/mean": value}))
    >>> tracker.close()

    >>> [run.name for run in list_runs(folder / "runs")]
    ['a']
    >>> run = open_run(folder / "runs" / "a")
    >>> run.scalars["voices/sim_margin/mean"].values
    (0.25, 0.5)
    >>> run.summary["voices/sim_margin/mean"].best_step, run.settings
    (200, {'lr': 0.5})

Guarantees
- A torn file is read up to the tear; of a step that was written twice the later value counts; a run that was moved can
  be read. What cannot be read is named in `Run.problems`.
- Nothing is written, and no server is asked.
"""

from __future__ import annotations

from tracker_logging.runs.model import (
    AlertMessage,
    Clip,
    Histogram,
    NotARunError,
    Picture,
    Run,
    Series,
    Source,
    Table,
    Voice,
    VoiceStep,
)
from tracker_logging.runs.open import RunSummary, list_runs, open_run

__all__ = [
    "AlertMessage",
    "Clip",
    "Histogram",
    "NotARunError",
    "Picture",
    "Run",
    "RunSummary",
    "Series",
    "Source",
    "Table",
    "Voice",
    "VoiceStep",
    "list_runs",
    "open_run",
]
