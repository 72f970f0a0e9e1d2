"""The comparison page inline in a notebook.

show("outputs/runs/a")
show(["outputs/runs/a", "s3://bucket/runs/b"], height=900)
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tracker_logging.runs.remote import local_place

from .compare import compare, write_page


class Shown:
    """What a notebook displays: the page in a frame of its own, which loads nothing."""

    def __init__(self, page: str, *, height: int) -> None:
        self.page = page
        self.height = height

    def _repr_html_(self) -> str:
        frame = 'sandbox="allow-scripts allow-downloads allow-modals" style="width: 100%; border: 0"'
        return f'<iframe srcdoc="{html.escape(self.page)}" height="{self.height}" {frame}></iframe>'


def show(runs: str | Path | Sequence[str | Path], *, height: int = 820, max_mb: float = 10.0) -> Shown:
    """The runs on one page: leaderboard, voices, curves and settings. The first run is the baseline of the others.

    `runs`: one or several, as `open_run` takes them. `height` in pixels. `max_mb` (1 MB = 1,000,000 bytes) limits the
    audio, which is left out by whole steps. Raises `NotARunError` for a place without a run, `OSError` for a remote one
    that cannot be read.
    """
    places = [runs] if isinstance(runs, str | Path) else list(runs)
    report = compare([local_place(place) for place in places])
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "page.html"
        write_page(report, output, max_mb=max_mb)
        return Shown(output.read_text(encoding="utf-8"), height=height)
