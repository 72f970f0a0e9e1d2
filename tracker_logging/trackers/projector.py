"""Speaker embeddings as files that TensorBoard's projector tab reads; TensorFlow is not needed.

    <run>/projector_config.pbtxt                   what the tab lists: `voices step 500` and the others
    <run>/projector/step-00000500.tsv              one embedding per line
    <run>/projector/step-00000500-clips.tsv        what (reference, target, generated), speaker, voice, step of each

Guarantees
- A step's lines are those of the clips whose speaker could be heard; both files always have equally many.
- A TensorBoard that runs reads the list once, and a step when it is first looked at: earlier steps stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np

from tracker_logging.events import FloatArray, VoiceComparison
from tracker_logging.trackers.plain_text import clean
from tracker_logging.trackers.whole_file import write_whole_text

_COLUMNS = ("what", "speaker", "voice", "step")
_SHOWN = ("reference", "target", "generated")
Rows: TypeAlias = dict[tuple[str, str], tuple[FloatArray, list[str]]]


class ProjectorFiles:
    """The files of one run. Called by one thread at a time; raises `OSError`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._step = -1
        self._rows: Rows = {}

    def add(self, event: VoiceComparison) -> None:
        """Write the voice's embeddings, if it has any, beside those of the voices of the same step."""
        heard = _rows(event)
        if not heard:
            return
        is_first = event.step != self._step
        self._step, self._rows = event.step, heard if is_first else self._rows | heard
        self._write(lists_step=is_first)

    def _write(self, *, lists_step: bool) -> None:
        folder, stem = self._directory / "projector", f"step-{self._step:08d}"
        folder.mkdir(exist_ok=True)
        rows = self._rows.values()
        vectors = ["\t".join(f"{value:.6g}" for value in vector) for vector, _ in rows]
        labels = ["\t".join(cells) for cells in (_COLUMNS, *(cells for _, cells in rows))]
        for name, lines in ((f"{stem}-clips.tsv", labels), (f"{stem}.tsv", vectors)):
            write_whole_text(folder / name, "".join(f"{line}\n" for line in lines))
        if lists_step:
            write_whole_text(self._directory / "projector_config.pbtxt", _config(folder))


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
