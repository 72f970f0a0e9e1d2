"""Writes events to one W&B run: the one that is already there, or one of our own.

    tracker = WandbTracker(Path("runs/a"), project="voice-cloning", name="a", config={"every": 100})
    tracker.emit(Scalars(step=100, values={"outputs/nll/mean": 4.3}))

Guarantees
- A run that exists (`wandb.run`, say of the Trainer's `WandbCallback`) is joined and never finished; a run that we
  began is finished by `close`, or when the next one begins in the same process (two trainings in a notebook are two
  runs). Without a key, and where the server takes no run, it is offline; `WANDB_MODE`
  overrides. No source, console output, git state, host or command line is collected by a run of ours.
- Never `step=` (W&B drops rows whose step goes back and merges open rows with the Trainer's). Every row carries
  `train/global_step`, which is the x-axis of every chart.
- The clips of a voice are a list under one key: one panel, with a caption each. A panel shows one step at a time, so
  the fixed clips go with every step that carries them.
- Everything lies inside the run directory: an offline run can be moved, then synced. That is why texts and tables are
  HTML panels, one per step under one key, and not `wandb.Table`: a table of any log mode is an artifact that is staged
  outside the run directory under an absolute path (a moved run loses it). IMMUTABLE shows a key's latest step only by
  default, INCREMENTAL adds an artifact version per step whose row lists all versions before it (rows of hundreds of
  entries), and one growing table with a step column writes everything again each time. An HTML panel has a step slider
  that shows any earlier step, needs no artifact, and looks the same offline and online.
- While a server is away W&B tries again and sends everything when it comes back; what it could not send before the end
  is in the run's directory, and the command that uploads it is said.
- After `kill -9` all that was flushed is in the run's log on this machine (W&B's own default is every 15 s).
- On a resumed run (`run_id` with `written`) a value whose step the run already holds is not sent again: no doubles.
"""

from __future__ import annotations

import logging
import netrc
import os
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import soundfile  # noqa: F401 - W&B imports it by name while another thread may be half-way through doing so
import wandb

from tracker_logging.events import Alert, Audio, Event, Heatmap, Histogram, Image, Scalars, Summary, Table, Text
from tracker_logging.rendering.heatmap import draw_heatmap
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.trackers.parts import parts
from tracker_logging.trackers.plain_text import clean, html_table, html_text
from tracker_logging.trackers.wandb_record import STEP

LONGEST_CAPTION = 1_000
INIT_TIMEOUT_S = 30.0
FINISH_TIMEOUT_S = 45.0
LOG_INTERVAL_S = 0.2
logger = logging.getLogger(__name__)


class WandbTracker:
    """One run. Safe from any thread; encodes on the caller's. Raises what `wandb.init` raises where it cannot begin."""

    _latest: ClassVar[WandbTracker | None] = None  # of those that began a run

    def __init__(
        self,
        directory: Path,
        *,
        project: str,
        name: str,
        config: Mapping[str, object],
        run_id: str | None = None,
        written: Mapping[str, int] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._closed = self._is_dirty = False
        self._written = dict(written or {})
        _finish_earlier()
        self._is_ours = wandb.run is None
        self._run: Any = wandb.run
        if self._is_ours:
            directory.mkdir(parents=True, exist_ok=True)
            begin = partial(_begin, directory, project=project, name=name, run_id=run_id)
            try:
                self._run = begin(mode=wandb_mode())
            except wandb.errors.CommError as error:
                logger.warning(
                    "W&B: no run could be begun on the server (%s). It is written offline; upload it later with: "
                    "wandb sync RUN_DIRECTORY/wandb/offline-run-*",
                    str(error).partition("\n")[0],  # what follows is advice on a setting that is ours
                )
                self._run = begin(mode="offline")
            WandbTracker._latest = self
            self._run.define_metric(STEP)
            self._run.define_metric("*", step_metric=STEP, step_sync=True)
        self._run.config.update(dict(config), allow_val_change=True)

    @property
    def run_id(self) -> str:
        """The run's id, for resuming it."""
        return str(self._run.id)

    def emit(self, event: Event) -> None:
        """Log one row for each simple event, an alert as an alert too, and a summary in the run's summary."""
        is_new = False
        if isinstance(event, Summary):
            with self._lock:
                if not self._closed:
                    self._run.summary.update(_summary_values(event))
                    self._is_dirty = True
        for part in parts(event):
            with self._lock:
                row = {key: value for key, value in self._row(part) if part.step > self._written.get(key, -1)}
                is_new = bool(row) and not self._closed
                if is_new:
                    self._run.log({**row, STEP: part.step})
                    self._is_dirty = True
        if isinstance(event, Alert) and is_new:
            level = {"info": "INFO", "warning": "WARN", "error": "ERROR"}[event.level]
            self._run.alert(title=clean(event.title, longest=200), text=clean(event.text), level=level)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Wait until W&B's process has taken everything and its log on this machine holds it (0.4 s).

        W&B has no call for that: reading the summary goes through the same queue as the rows, and the log is written
        every `LOG_INTERVAL_S`. A run that we joined writes its log as its owner told it to, by default every 15 s.
        """
        with self._lock:
            if self._is_dirty and not self._closed:
                self._run.summary.get(STEP)
                self._is_dirty = False
                threading.Event().wait(2 * LOG_INTERVAL_S)

    def close(self) -> None:
        """Finish the run if it is ours. Waits at most `FINISH_TIMEOUT_S` for a server that is slow or away."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._is_ours:
                    self._finish()

    def _finish(self) -> None:
        try:
            self._run.finish()
        except TimeoutError:
            logger.warning(
                "W&B: not everything was uploaded within %.0f s of the end, for the server is slow or away. All of it "
                "lies on this machine; upload it later with: wandb sync RUN_DIRECTORY/wandb/run-*-%s",
                FINISH_TIMEOUT_S,
                self._run.id,
            )

    def _row(self, event: Event) -> Iterator[tuple[str, Any]]:
        """The keys and values of a simple event."""
        match event:
            case Scalars():
                yield from ((key, float(value)) for key, value in event.values.items())
            case Histogram():
                yield event.tag, wandb.Histogram(np_histogram=(event.counts, event.edges))
            case Text():
                yield event.tag, self._html(html_text(event.text))
            case Table():
                yield event.tag, self._html(html_table(event.columns, event.rows))
            case Image():
                pixels = draw_heatmap(event.picture) if isinstance(event.picture, Heatmap) else event.picture
                caption = clean(event.caption, longest=LONGEST_CAPTION) or None
                yield event.tag, wandb.Image(np.asarray(pixels), caption=caption, mode="RGB", file_type="png")
            case Audio():
                clips = [
                    wandb.Audio(
                        to_pcm16(clip.samples),
                        sample_rate=clip.sample_rate,
                        caption=clean(clip.caption or name, longest=LONGEST_CAPTION),
                    )
                    for name, clip in event.clips.items()
                ]
                if clips:
                    yield event.tag, clips
            case _:
                raise TypeError(f"W&B cannot write {type(event).__name__}")

    def _html(self, page: str) -> Any:
        return wandb.Html(page, inject=False, data_is_not_path=True)


def _summary_values(summary: Summary) -> dict[str, float | int]:
    """`best/TAG`, `best_step/TAG` and `last_step/TAG`. W&B itself keeps the last value under the tag."""
    values: dict[str, float | int] = {}
    for tag, value in summary.values.items():
        values[f"last_step/{tag}"] = value.last_step
        if value.best is not None and value.best_step is not None:
            values |= {f"best/{tag}": value.best, f"best_step/{tag}": value.best_step}
    return values


def _finish_earlier() -> None:
    """W&B writes one run at a time: one of an earlier training in this process would be joined."""
    earlier = WandbTracker._latest
    if earlier is not None and earlier._run is wandb.run:
        logger.info("W&B: the run %s is finished, for another begins in the same process.", earlier.run_id)
        earlier.close()


def wandb_mode() -> Any:
    """`WANDB_MODE` where it is set, "offline" where there is no key, else None (W&B's own default: online)."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    return None if has_key() else "offline"


def has_key() -> bool:
    """Is there a key for the W&B server, in the environment or in the netrc file?"""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    try:
        return host is not None and netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _begin(directory: Path, *, project: str, name: str, run_id: str | None, mode: Any) -> Any:
    wanted = {
        "console": "off",
        "silent": True,
        "host": "",
        "disable_git": True,
        "save_code": False,
        "init_timeout": INIT_TIMEOUT_S,
        "finish_timeout": FINISH_TIMEOUT_S,
        "finish_timeout_raises": True,
        "x_disable_meta": True,
        "x_disable_machine_info": True,
        "x_transaction_log_flush_interval": LOG_INTERVAL_S,
    }
    known = {name: value for name, value in wanted.items() if name in wandb.Settings.model_fields}
    settings = wandb.Settings(**known)
    resume: Any = "allow" if run_id else None
    return wandb.init(
        dir=str(directory), project=project, name=name, id=run_id, resume=resume, mode=mode, settings=settings
    )
