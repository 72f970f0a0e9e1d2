"""Speaker embeddings as files that TensorBoard's projector tab reads; TensorFlow is not needed.

    <run>/projector_config.pbtxt                   what the tab lists: `voices step 500` and the others
    <run>/projector/step-00000500.tsv              one embedding per line
    <run>/projector/step-00000500-clips.tsv        what (reference, target, generated), speaker, voice, step of each

Guarantees
- A step's lines are those of the clips that have an embedding; both files always have equally many.
- The files of a step are written when the round ends or the tracker is flushed, not once per voice.
- With `purge_step` the files of that step and later are removed first.
- A running TensorBoard reads the list once, and a step when it is first shown: earlier steps stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np

from tracker_logging.events import FloatArray, VoiceComparison
from tracker_logging.trackers.plain_text import clean
from tracker_logging.trackers.purge import remove_steps
from tracker_logging.whole_file import write_whole_text

_COLUMNS = ("what", "speaker", "voice", "step")
_SHOWN = ("reference", "target", "generated")
Rows: TypeAlias = dict[tuple[str, str], tuple[FloatArray, list[str]]]


class ProjectorFiles:
    """The files of one run. Called by one thread at a time; raises `OSError`."""

    def __init__(self, directory: Path, *, purge_step: int | None = None) -> None:
        self._directory = directory
        folder = directory / "projector"
        if purge_step is not None and folder.is_dir():
            remove_steps(folder.glob("step-*.tsv"), step=purge_step)
            write_whole_text(directory / "projector_config.pbtxt", _config(folder))
        self._step = -1
        self._rows: Rows = {}
        self._is_written = True

    def add(self, event: VoiceComparison) -> None:
        """Add the voice's embeddings, if it has any, to those of its step; `write` writes them."""
        rows = _rows(event)
        if not rows:
            return
        if event.step != self._step:
            self.write()
            self._step, self._rows = event.step, {}
        self._rows |= rows
        self._is_written = False

    def write(self) -> None:
        """Write the files of the current step if voices were added since the last call."""
        if self._is_written:
            return
        folder, stem = self._directory / "projector", f"step-{self._step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = self._rows.values()
        vectors = ["\t".join(f"{value:.6g}" for value in vector) for vector, _ in rows]
        labels = ["\t".join(cells) for cells in (_COLUMNS, *(cells for _, cells in rows))]
        for name, lines in ((f"{stem}-clips.tsv", labels), (f"{stem}.tsv", vectors)):
            write_whole_text(folder / name, "".join(f"{line}\n" for line in lines))
        write_whole_text(self._directory / "projector_config.pbtxt", _config(folder))
        self._is_written = True


def _rows(event: VoiceComparison) -> Rows:
    """The event's embeddings and their cells, by voice and clip; without those that are not finite."""
    cells = (event.speaker or event.voice_id, event.voice_id, str(event.step))
    return {
        (event.voice_id, what): (vector, [" ".join(clean(cell).split()) for cell in (what, *cells)])
        for what in _SHOWN
        if (vector := event.embeddings.get(what)) is not None and np.isfinite(vector).all()
    }


def _config(folder: Path) -> str:
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    config = ProjectorConfig()
    for path in sorted(folder.glob("step-*[0-9].tsv"), reverse=True):
        config.embeddings.add(
            tensor_name=f"voices step {int(path.stem.removeprefix('step-'))}",
            tensor_path=f"{folder.name}/{path.name}",
            metadata_path=f"{folder.name}/{path.stem}-clips.tsv",
        )
    return str(config)  # protobuf's text format
