"""Writes events to a local Trackio run (`trackio show` displays it): a third live backend, the extra `trackio`.

    TrackioTracker(Path("runs/a"), project="voice-cloning", name="a", config={})

Guarantees
- Sound is handed over as 16-bit samples: Trackio peak-normalises floats, which would hide a silent clip.
- One key per clip (`voices/a/generated`), texts and tables as Markdown with every cell escaped, images as pixels.
- Data lie where Trackio keeps them (`TRACKIO_DIR`), not in the run's directory: Trackio reads that setting at import.
- Trackio has no summary of a run: a `Summary` event is ignored.
- On a resumed run a value whose step the run already holds is not sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import trackio

from tracker_logging.events import Alert, Audio, Event, Heatmap, Histogram, Image, Scalars, Table, Text
from tracker_logging.rendering.heatmap import draw_heatmap
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.trackers.parts import clip_tag, parts
from tracker_logging.trackers.plain_text import clean, markdown_table, markdown_text


class TrackioTracker:
    """One run of a project, by name. Safe from any thread; encodes on the caller's."""

    def __init__(
        self, directory: Path, *, project: str, name: str, config: Mapping[str, object], resume: bool = False
    ) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._written = _written_steps(project, name) if resume else {}
        self._run: Any = trackio.init(
            project=project,
            name=name,
            config={key.lstrip("_"): value for key, value in config.items()},
            resume="allow" if resume else "never",
            embed=False,
        )
        self._run.config["_Username"] = None  # Trackio puts the Hub's user name there where there is a token

    def emit(self, event: Event) -> None:
        """Log one entry for each simple event, and an alert as an alert too."""
        is_new = False
        for part in parts(event):
            with self._lock:
                row = {key: value for key, value in self._row(part) if part.step > self._written.get(key, -1)}
                is_new = bool(row) and not self._closed
                if is_new:
                    self._run.log(row, step=part.step)
        if isinstance(event, Alert) and is_new:
            levels = trackio.AlertLevel
            level = {"info": levels.INFO, "warning": levels.WARN, "error": levels.ERROR}[event.level]
            self._run.alert(title=clean(event.title, longest=200), text=clean(event.text), level=level, step=event.step)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: Trackio writes twice a second by itself and has no call to wait for it."""

    def close(self) -> None:
        """Finish the run."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._run.finish()

    def _row(self, event: Event) -> Iterator[tuple[str, Any]]:
        match event:
            case Scalars():
                yield from ((key, float(value)) for key, value in event.values.items())
            case Histogram():
                yield event.tag, trackio.Histogram(np_histogram=(event.counts, event.edges))
            case Text():
                yield event.tag, trackio.Markdown(markdown_text(event.text))
            case Table():
                yield event.tag, trackio.Markdown(markdown_table(event.columns, event.rows))
            case Image():
                pixels = draw_heatmap(event.picture) if isinstance(event.picture, Heatmap) else event.picture
                yield event.tag, trackio.Image(np.asarray(pixels), caption=event.caption or None)
            case Audio():
                for name, clip in event.clips.items():
                    samples = to_pcm16(clip.samples)
                    sound = trackio.Audio(samples, sample_rate=clip.sample_rate, caption=clip.caption or name)
                    yield clip_tag(event.tag, name), sound
            case _:
                raise TypeError(f"Trackio cannot write {type(event).__name__}")


def _written_steps(project: str, name: str) -> dict[str, int]:
    """For each key that the run holds, its last step."""
    last: dict[str, int] = {}
    for row in trackio.SQLiteStorage.get_logs(project, name):
        for key in row:
            last[key] = max(last.get(key, -1), int(row["step"]))
    return last
