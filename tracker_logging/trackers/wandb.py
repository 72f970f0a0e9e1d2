"""Writes events to one W&B run: the one that is already active, or one of our own.

    tracker = WandbTracker(Path("runs/a"), config={"every": 100})
    tracker.emit(Scalars(step=100, values={"outputs/nll/mean": 4.3}))

Guarantees
- An active run (`wandb.run`, for example of the Trainer's `WandbCallback`) is joined and never finished; a run that we
  began is finished by `close`, or when the next one begins in the same process (two trainings in a notebook are two
  runs). How a run of ours is begun: see `wandb_settings`.
- Never `step=` (W&B drops rows whose step goes back and merges open rows with the Trainer's). Every row carries
  `train/global_step`, which is the x-axis of every chart.
- The clips of a voice are a list under one key: one panel, with a caption each. A panel shows one step at a time, so
  the fixed clips are part of every step.
- Tables are native (`wandb.Table`): they sort, filter, group and join across runs. Each is an artifact whose files are
  staged in `wandb/data` of the run directory (`WANDB_DATA_DIR`), so that everything is inside it. W&B's record names
  them by absolute paths: a run that was moved is uploaded with `tracker-logging sync RUN`. Texts, and the facts of a
  single voice, are HTML panels, which have a step slider.
- Checkpoints and training data are linked by name, step and digest (`wandb_links`); no file of them is uploaded.
- `voices/table` has the clips and the mel of each voice beside its scores (`voice_table`).
- While a server is unreachable W&B tries again and sends everything when it is back. What it could not send before the
  end is in the run's directory, and the command that uploads it is logged.
- After `kill -9` everything flushed is in the run's log on this machine (W&B's own default is every 15 s).
- On a resumed run (`run_id` with `written`) a value whose step the run already holds is not sent again: no duplicates.
"""

from __future__ import annotations

import logging
import os
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import soundfile  # noqa: F401 - W&B imports it by name while another thread may be half-way through doing so
import wandb

from tracker_logging import tags
from tracker_logging.events import Alert, Cell, Checkpoint, Clip, Event, Summary
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.trackers import wandb_settings
from tracker_logging.trackers.base import RunInfo
from tracker_logging.trackers.plain_text import clean, html_table, html_text, plain
from tracker_logging.trackers.rows import short_caption
from tracker_logging.trackers.voice_table import VoiceTableTracker
from tracker_logging.trackers.wandb_links import checkpoint_link, data_link
from tracker_logging.trackers.wandb_record import STEP, latest_run_id, written_steps

logger = logging.getLogger(__name__)


class WandbTracker(VoiceTableTracker):
    """One run. Safe on any thread; encodes on the caller's. Raises what `wandb.init` raises where it cannot begin."""

    _latest: ClassVar[WandbTracker | None] = None  # of those that began a run

    def __init__(
        self,
        directory: Path,
        *,
        project: str | None = None,
        name: str | None = None,
        config: Mapping[str, object] | None = None,
        run_id: str | None = None,
        written: Mapping[str, int] | None = None,
        tags: Sequence[str] = (),
        group: str | None = None,
        notes: str | None = None,
    ) -> None:
        _finish_earlier()
        self._is_dirty = False
        self._is_ours = wandb.run is None
        self._run: Any = wandb.run
        if self._is_ours:
            self._data_directory = wandb_settings.enter_data_directory(directory)
            self._run = wandb_settings.begin_run(
                directory, project=project, name=name, run_id=run_id, tags=tags, group=group, notes=notes
            )
            WandbTracker._latest = self
            self._run.define_metric(STEP)
            self._run.define_metric("*", step_metric=STEP, step_sync=True)
            if not self._run.offline and self._run.url:  # W&B warns where an offline run is asked for it
                wandb.termlog(f"View run at {self._run.url}")
                logger.info("W&B run: %s", self._run.url)
        # What another run holds says nothing about the one that was joined.
        super().__init__(written=written or {} if self._run.id == run_id else {})
        self._run.config.update(dict(config or {}), allow_val_change=True)
        self._not_linked: Mapping[str, object] | None = dict(config or {})

    @property
    def run_id(self) -> str:
        """The run's id, for resuming it."""
        return str(self._run.id)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Wait until W&B's process has taken everything and its log on this machine holds it (0.4 s).

        W&B has no call for that: reading the summary goes through the same queue as the rows, and the log is written
        every `LOG_INTERVAL_S`. A run that we joined writes its log as its owner configured it, by default every 15 s.
        """
        with self._lock:
            if self._is_dirty and not self._closed:
                self._run.summary.get(STEP)
                self._is_dirty = False
                threading.Event().wait(2 * wandb_settings.LOG_INTERVAL_S)

    def emit(self, event: Event) -> None:
        """As every backend that takes rows, and what the run is linked with."""
        super().emit(event)
        with self._lock:
            if not self._closed:
                self._link(event)

    def _link(self, event: Event) -> None:
        """Log what the run is linked with: its data once, and each checkpoint."""
        config, self._not_linked = self._not_linked, None
        data = None if config is None else data_link(config)
        if data is not None:
            self._run.log_artifact(data)
        if isinstance(event, Checkpoint):
            self._run.log_artifact(checkpoint_link(self.run_id, event), aliases=["latest", f"step-{event.step}"])

    def _summarise(self, summary: Summary) -> None:
        self._run.summary.update(_summary_values(summary))
        self._is_dirty = True

    def _log(self, row: Mapping[str, Any], *, step: int) -> None:
        self._run.log({**row, STEP: step})
        self._is_dirty = True

    def _notify(self, alert: Alert, *, title: str, text: str) -> None:
        level = {"info": "INFO", "warning": "WARN", "error": "ERROR"}[alert.level]
        self._run.alert(title=title, text=text, level=level)

    def _finish(self) -> None:
        """Finish the run if it is ours. Waits at most `FINISH_TIMEOUT_S` for a slow or unreachable server."""
        if not self._is_ours:
            return
        try:
            self._run.finish()
            wandb_settings.leave_data_directory(self._data_directory)
        except TimeoutError:
            logger.warning(
                "W&B: not everything was uploaded within %.0f s of the end, because the server is slow or unreachable. "
                "All of it is on this machine; upload it later with: tracker-logging sync %s",
                wandb_settings.FINISH_TIMEOUT_S,
                shlex.quote(str(Path(self._run.dir).parents[2])),
            )

    def _histogram(self, counts: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> Any:
        return wandb.Histogram(np_histogram=(counts, edges))

    def _text(self, text: str) -> Any:
        return _html(html_text(text))

    def _table(self, tag: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
        if tags.find(tag) is tags.VOICE_TEXT:
            return _html(html_table(columns, rows))
        data = [[plain(cell) for cell in row] for row in rows]
        return wandb.Table(columns=[clean(name) for name in columns], data=data, allow_mixed_types=True)

    def _image(self, pixels: npt.NDArray[np.uint8], *, caption: str | None) -> Any:
        return wandb.Image(pixels, caption=caption, mode="RGB", file_type="png")

    def _clip(self, name: str, clip: Clip) -> Any:
        caption = short_caption(clip.caption or name)
        return wandb.Audio(to_pcm16(clip.samples), sample_rate=clip.sample_rate, caption=caption)

    def _clip_cell(self, step: int, key: str, clip: Clip) -> Any:
        return self._clip(key.rpartition("/")[2], clip)

    def _mel_cell(self, step: int, voice: str, mel: npt.NDArray[np.uint8]) -> Any:
        return self._image(mel, caption=None)

    def _audio(self, tag: str, clips: Mapping[str, Clip]) -> Iterator[tuple[str, Any]]:
        panel = [self._clip(name, clip) for name, clip in clips.items()]
        if panel:
            yield tag, panel


class _OpenWandb:
    """The backend `wandb`."""

    def check(self) -> None:
        """Raise `ValueError` before training for an environment that cannot work."""
        wandb_settings.check_environment()

    def __call__(self, directory: Path, run: RunInfo) -> WandbTracker:
        """A new run, the active one, or where `run` is resumed the one that it names or that `directory` holds."""
        is_resumed = run.purge_step is not None
        run_id = (wandb_settings.chosen_run_id() if is_resumed else None) or run.run_id
        # With WANDB_DIR the latest run may be that of another training.
        if run_id is None and is_resumed and not os.environ.get("WANDB_DIR"):
            run_id = latest_run_id(directory)
        root = wandb_settings.run_root(directory)
        written = written_steps(root, run_id=run_id) if run_id and is_resumed else {}
        return WandbTracker(
            directory,
            project=run.project,
            name=run.name,
            config=run.config,
            run_id=run_id,
            written=written,
            tags=run.tags,
            group=run.group,
            notes=run.notes,
        )


open_backend = _OpenWandb()


def _summary_values(summary: Summary) -> dict[str, float | int]:
    """`base/TAG`, `best/TAG`, `best_step/TAG` and `last_step/TAG`. W&B itself keeps the last value under the tag."""
    values: dict[str, float | int] = {}
    for tag, value in summary.values.items():
        values[f"last_step/{tag}"] = value.last_step
        if value.base is not None:
            values[f"base/{tag}"] = value.base
        if value.best is not None and value.best_step is not None:
            values |= {f"best/{tag}": value.best, f"best_step/{tag}": value.best_step}
    return values


def _finish_earlier() -> None:
    """W&B writes one run at a time: one of an earlier training in this process would be joined."""
    earlier = WandbTracker._latest
    if earlier is not None and earlier._run is wandb.run:
        logger.info("W&B: the run %s is finished because another one begins in the same process.", earlier.run_id)
        earlier.close()


def _html(page: str) -> Any:
    return wandb.Html(page, inject=False, data_is_not_path=True)
