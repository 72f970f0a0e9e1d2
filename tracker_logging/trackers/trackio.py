"""Writes events to a local Trackio run (`trackio show` displays it): a third live backend, the extra `trackio`.

    TrackioTracker(Path("runs/a"), project="voice-cloning", name="a", config={})

Guarantees
- Audio is passed as 16-bit samples: Trackio peak-normalises floats, which would hide a silent clip.
- One key per clip (`voices/a/generated`), images as pixels, tables as Trackio's tables, alerts (the doctor's among
  them) as Trackio's alerts. Texts, and the facts of a single voice, are Markdown with everything escaped.
- `voices/table` has the mel of each voice beside its scores, and the keys of its clips: a cell cannot play one.
- Data lie where Trackio keeps them (`TRACKIO_DIR`), not in the run's directory: Trackio reads that setting at import.
- Trackio has no summary of a run: a `Summary` event is ignored.
- On a resumed run a value whose step the run already holds is not sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import trackio

from tracker_logging import tags
from tracker_logging.events import Alert, Cell, Clip
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.trackers.base import DEFAULT_PROJECT, RunInfo
from tracker_logging.trackers.plain_text import clean, markdown_table, markdown_text, plain
from tracker_logging.trackers.rows import short_caption
from tracker_logging.trackers.voice_table import VoiceTableTracker


class TrackioTracker(VoiceTableTracker):
    """One run of a project, by name. Safe on any thread; encodes on the caller's."""

    def __init__(
        self, directory: Path, *, project: str, name: str, config: Mapping[str, object], resume: bool = False
    ) -> None:
        super().__init__(written=_written_steps(project, name) if resume else {})
        self._run: Any = trackio.init(
            project=project,
            name=name,
            config={key.lstrip("_"): value for key, value in config.items()},
            resume="allow" if resume else "never",
            embed=False,
        )
        self._run.config["_Username"] = None  # Trackio puts the Hub's user name there where there is a token

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: Trackio writes twice a second by itself and has no call to wait for it."""

    def _log(self, row: Mapping[str, Any], *, step: int) -> None:
        self._run.log(dict(row), step=step)

    def _notify(self, alert: Alert, *, title: str, text: str) -> None:
        levels = trackio.AlertLevel
        level = {"info": levels.INFO, "warning": levels.WARN, "error": levels.ERROR}[alert.level]
        self._run.alert(title=title, text=text, level=level, step=alert.step)

    def _finish(self) -> None:
        self._run.finish()

    def _histogram(self, counts: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> Any:
        return trackio.Histogram(np_histogram=(counts, edges))

    def _text(self, text: str) -> Any:
        return trackio.Markdown(markdown_text(text))

    def _table(self, tag: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
        if tags.find(tag) is tags.VOICE_TEXT:
            return trackio.Markdown(markdown_table(columns, rows))
        return trackio.Table([clean(name) for name in columns], [[plain(cell) for cell in row] for row in rows])

    def _image(self, pixels: npt.NDArray[np.uint8], *, caption: str | None) -> Any:
        return trackio.Image(pixels, caption=caption)

    def _mel_cell(self, step: int, voice: str, mel: npt.NDArray[np.uint8]) -> Any:
        return trackio.Image(mel)

    def _clip(self, name: str, clip: Clip) -> Any:
        caption = short_caption(clip.caption or name)
        return trackio.Audio(to_pcm16(clip.samples), sample_rate=clip.sample_rate, caption=caption)


def open_backend(directory: Path, run: RunInfo) -> TrackioTracker:
    """A new run, or the one of that name where `run` is resumed."""
    return TrackioTracker(
        directory,
        project=run.project or DEFAULT_PROJECT,
        name=run.name or directory.name,
        config=run.config,
        resume=run.purge_step is not None,
    )


def _written_steps(project: str, name: str) -> dict[str, int]:
    """For each key that the run holds, its last step."""
    last: dict[str, int] = {}
    for row in trackio.SQLiteStorage.get_logs(project, name):
        for key in row:
            last[key] = max(last.get(key, -1), int(row["step"]))
    return last
