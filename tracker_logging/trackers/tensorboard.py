"""Writes events to one TensorBoard run.

    tracker = TensorBoardTracker(Path("runs/a"))
    tracker.emit(Scalars(step=1, values={"loss": 2.0}))

Guarantees
- One event file per process; an emitted event can be read at once, also after `kill -9` (see `event_file`).
- Which scalars are cards, and the names that put what matters first: see `tensorboard_names`. Other scalars are
  tensors that no tab shows; families of them are pictures (`over_time`).
- Images, audio, text and tables are tensor summaries, which keep their description in every loader. Audio is one tag
  per clip (`voices/a/generated`): with a list of clips, a later step with fewer of them makes TensorBoard answer HTTP
  500.
- TensorBoard shows the *first* description of a tag for all steps, so a description holds only what is true of all of
  them: the tag's meaning, and a voice's texts. A step's caption (scores, transcript) is the clip's label, and in the
  table `voices/<id>/text`. A table without rows is not written.
- Audio is 16-bit, never normalised. Reference, target and codec clips are written when `new_fixed_clips` says so.
- Text and cells are data: escaped and cut, so that nothing in them becomes markup.
- Best values of a `Summary` are scalars `summary/best/TAG`: the HParams tab lists every scalar as a metric.
- `summary/interval/TAG` repeats a scalar at the steps where it has an interval, for Custom Scalars.
- The speaker embeddings of a voice's clips go to the projector tab (see `projector`).
- Custom Scalars gets a new layout when a chart of it gets its first values, so that none is empty.
- With `purge_step` the records of that step and later are removed from our files, and readers are told to ignore those
  in the files of others (SessionLog.START): a resumed run has no duplicates.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.audio import metadata as audio_metadata
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata

from tracker_logging import tags
from tracker_logging.config import Detail
from tracker_logging.events import (
    Audio,
    Event,
    Heatmap,
    Histogram,
    Image,
    Scalars,
    Summary,
    Table,
    Text,
    VoiceComparison,
)
from tracker_logging.rendering.heatmap import draw_heatmap
from tracker_logging.rendering.pcm import encode_wav
from tracker_logging.rendering.png import encode_png
from tracker_logging.sections import bounds_of
from tracker_logging.trackers.base import RunInfo
from tracker_logging.trackers.event_file import EventFile, remove_from, use_native_crc32c
from tracker_logging.trackers.over_time import FamilyPictures
from tracker_logging.trackers.parts import FIXED_CLIPS, clip_tag, parts
from tracker_logging.trackers.plain_text import clean, markdown_table, markdown_text
from tracker_logging.trackers.projector import ProjectorFiles
from tracker_logging.trackers.tensorboard_names import (
    BEST_PREFIX,
    DETAIL_PLUGIN,
    INTERVAL_PREFIX,
    has_card,
    shown_name,
)
from tracker_logging.trackers.tensorboard_run import layout_of, layout_summary, settings_summary


class TensorBoardTracker:
    """One run in `directory`. Safe on any thread; encodes and writes on the caller's.

    `purge_step`: the first step that a resumed run computes again; `again`: earlier "GROUP/STEP" that it repeats.
    `config`: settings for the HParams tab. `detail`: "full" makes a card of every scalar.
    Raises OSError where it cannot write.
    """

    def __init__(
        self,
        directory: Path,
        *,
        purge_step: int | None = None,
        again: Collection[str] = (),
        name: str = "run",
        config: Mapping[str, object] | None = None,
        detail: Detail = "standard",
    ) -> None:
        self._detail: Detail = detail
        self._described: set[str] = set()
        self._cards: set[str] = set()
        self._layout = layout_of(())
        self._families = FamilyPictures()
        use_native_crc32c()
        self._lock = threading.Lock()
        self._closed = False
        if purge_step is not None:
            remove_from(directory, step=purge_step, again=again)
        self._projector = ProjectorFiles(directory, purge_step=purge_step)
        self._file = EventFile(directory, on_begin=_begin_session)
        if purge_step is not None:
            self._file.append(_session(event_pb2.SessionLog.START, step=purge_step))
        if config:
            self._file.append(event_pb2.Event(wall_time=time.time(), summary=settings_summary(config, name=name)))

    @property
    def path(self) -> Path:
        """The event file."""
        return self._file.path

    def emit(self, event: Event) -> None:
        """Write the event: one record per tag."""
        without, texts = frozenset[str](), ""
        if isinstance(event, VoiceComparison):
            without = without if event.new_fixed_clips else FIXED_CLIPS
            texts = f"reference: “{event.reference_text}”\ntarget: “{event.target_text}”"
        simple = (event,) if isinstance(event, Summary) else parts(event)
        records = [_record(part.step, value) for part in simple for value in _values(part, without, texts)]
        with self._lock:
            if self._closed:
                return
            if isinstance(event, Scalars | Summary):
                records += self._scalars(event.step, _numbers(event))
            if isinstance(event, Summary):
                records += [_record(event.step, _image(i)) for i in self._families.images(event.step, is_last=True)]
            for record in records:
                self._file.append(record)
            if isinstance(event, VoiceComparison):
                self._projector.add(event)

    def _scalars(self, step: int, values: Mapping[str, float]) -> Iterator[Any]:
        """The records of the numbers, of the families that they complete, and of a layout that shows more."""
        values = {**values, **self._with_intervals(values)}
        cards = {tag for tag in values if has_card(tag, self._detail)}
        for tag, number in values.items():
            yield _record(step, *(self._card(tag, number) if tag in cards else (_stored(tag, number),)))
        self._families.add(step, {tag: number for tag, number in values.items() if tag not in cards})
        yield from (_record(step, _image(picture)) for picture in self._families.images(step))
        if not cards <= self._cards:
            self._cards |= cards
            layout = layout_of(self._cards)
            if layout != self._layout:
                self._layout = layout
                yield event_pb2.Event(wall_time=time.time(), step=step, summary=layout_summary(layout))

    def _with_intervals(self, values: Mapping[str, float]) -> dict[str, float]:
        """The numbers whose interval has cards, under the names that Custom Scalars draws."""
        return {
            INTERVAL_PREFIX + tag: number
            for tag, number in values.items()
            if all(bound in values and has_card(bound, self._detail) for bound in bounds_of(tag))
        }

    def _card(self, tag: str, number: float) -> tuple[Any, ...]:
        """A scalar. The first one of a tag comes after a copy with the description.

        TensorBoard's loaders take a description only of a tensor, `EventAccumulator.Scalars` only plain values. Of two
        values of one step the fast loader keeps the last.
        """
        name = shown_name(tag)
        plain = summary_pb2.Summary.Value(tag=name, simple_value=number)
        if tag in self._described:
            return (plain,)
        self._described.add(tag)
        metadata = scalar_metadata.create_summary_metadata(None, markdown_text(_described(tag)))
        return (_number_tensor(name, number, metadata), plain)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Write the projector's files; emitted events are in the event file already."""
        with self._lock:
            if not self._closed:
                self._projector.write()

    def close(self) -> None:
        """Write everything to the disk and close the file."""
        with self._lock:
            if not self._closed:
                self._closed = True
                try:
                    self._projector.write()
                    self._file.sync()
                finally:
                    self._file.close()


def open_backend(directory: Path, run: RunInfo) -> TensorBoardTracker:
    """The run in `directory`, continued where `run` is resumed."""
    return TensorBoardTracker(
        directory,
        purge_step=run.purge_step,
        again=run.again,
        name=run.name or directory.name,
        config=run.config,
        detail=run.detail,
    )


def _session(status: Any, *, step: int) -> Any:
    return event_pb2.Event(wall_time=time.time(), step=step, session_log=event_pb2.SessionLog(status=status))


def _begin_session(file: EventFile) -> None:
    """The first START that a reader sees purges nothing; it marks the run as one that may be resumed."""
    if not any(path != file.path for path in file.path.parent.glob("events.out.tfevents.*.tracker_logging.*")):
        file.append(_session(event_pb2.SessionLog.START, step=0))


def _record(step: int, *values: Any) -> Any:
    return event_pb2.Event(wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=values))


def _numbers(event: Scalars | Summary) -> dict[str, float]:
    """The scalars of an event by tag."""
    if isinstance(event, Scalars):
        return {tag: float(number) for tag, number in event.values.items()}
    return {f"{BEST_PREFIX}{tag}": value.best for tag, value in event.values.items() if value.best is not None}


def _stored(tag: str, number: float) -> Any:
    """A scalar without a card."""
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=DETAIL_PLUGIN),
        data_class=summary_pb2.DATA_CLASS_TENSOR,
    )
    return _number_tensor(tag, number, metadata)


def _number_tensor(name: str, number: float, metadata: Any) -> Any:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=_shape(()), float_val=[number])
    return summary_pb2.Summary.Value(tag=name, metadata=metadata, tensor=tensor)


def _values(event: Event, without: frozenset[str], texts: str) -> Iterator[Any]:
    """The summary values of a simple event other than numbers. Clips: those not named in `without`; `texts` is the same
    at all steps."""
    match event:  # another kind, of a later version, is ignored
        case Histogram():
            yield _histogram(event)
        case Text():
            yield _tensor(event.tag, [markdown_text(event.text)], _text_metadata(event.tag))
        case Table() if event.rows:
            table = markdown_table(event.columns, event.rows)
            yield _tensor(event.tag, [table], _text_metadata(event.tag))
        case Image():
            yield _image(event)
        case Audio():
            for name, clip in event.clips.items():
                if name not in without:
                    described = markdown_text(f"{_meaning(event.tag)}\n{texts}".strip())
                    metadata = audio_metadata.create_summary_metadata(
                        name, described, audio_metadata.Encoding.Value("WAV")
                    )
                    yield _tensor(
                        clip_tag(event.tag, name), [encode_wav(clip), clean(clip.caption)], metadata, shape=(1, 2)
                    )


def _image(event: Image) -> Any:
    pixels = draw_heatmap(event.picture) if isinstance(event.picture, Heatmap) else event.picture
    size = (str(pixels.shape[1]), str(pixels.shape[0]))
    metadata = image_metadata.create_summary_metadata(None, markdown_text(_meaning(event.tag) or event.caption))
    return _tensor(event.tag, [*size, encode_png(pixels)], metadata)


def _histogram(event: Histogram) -> Any:
    rows = np.stack([event.edges[:-1], event.edges[1:], event.counts], axis=1)
    metadata = histogram_metadata.create_summary_metadata(None, markdown_text(_meaning(event.tag)))
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_DOUBLE, tensor_shape=_shape(rows.shape), tensor_content=rows.astype("<f8").tobytes()
    )
    return summary_pb2.Summary.Value(tag=shown_name(event.tag), metadata=metadata, tensor=tensor)


def _tensor(tag: str, strings: Sequence[str | bytes], metadata: Any, *, shape: tuple[int, ...] | None = None) -> Any:
    """Strings as a tensor of `shape` (default: one row). Not built with numpy, which strips trailing NUL bytes."""
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=_shape(shape or (len(strings),)),
        string_val=[string.encode("utf-8") if isinstance(string, str) else string for string in strings],
    )
    return summary_pb2.Summary.Value(tag=shown_name(tag), metadata=metadata, tensor=tensor)


def _shape(sizes: Iterable[int]) -> Any:
    dimensions = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes]
    return tensor_shape_pb2.TensorShapeProto(dim=dimensions)


def _text_metadata(tag: str) -> Any:
    return text_metadata.create_summary_metadata(None, markdown_text(_meaning(tag)))


def _meaning(tag: str) -> str:
    known = tags.find(tag)
    return known.meaning if known else ""


def _described(tag: str) -> str:
    """Meaning, unit and which values are better, of a scalar."""
    name = tag.removeprefix(BEST_PREFIX).removeprefix(INTERVAL_PREFIX)
    known, score = tags.find(name), _score_of(name)
    if known is None:
        return ""
    meaning = known.meaning if score is None else f"{score.meaning}; {known.meaning}"
    unit = known.unit if score is None else score.unit
    better = {"higher": "higher is better", "lower": "lower is better"}.get(tags.direction(name), "")
    which = "best value so far: " if tag.startswith(BEST_PREFIX) else ""
    which = "where there is an interval: " if tag.startswith(INTERVAL_PREFIX) else which
    return ". ".join(part for part in (f"{which}{meaning}", unit and f"Unit: {unit}", better) if part)


def _score_of(name: str) -> tags.Score | None:
    return next((score for score in tags.SCORES if tags.VOICE_SCORE(score=score.name) == name), None)
