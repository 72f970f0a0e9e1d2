"""The table of voices: the scores of a round beside the clips and the mel of each voice, for backends that take rows.

    class MyTracker(VoiceTableTracker):
        def _clip_cell(self, step, key, clip): ...         # where a cell can hold a clip
        def _mel_cell(self, step, voice, mel): ...         # where a cell can hold a picture

Guarantees
- The scores of a round arrive before the events that complete its voices: the table waits for them, at most until the
  run ends.
- A cell that cannot hold the clip or the picture holds the key under which the backend has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from tracker_logging import tags
from tracker_logging.events import Cell, Clip, Event, Image, Table, VoiceComparison
from tracker_logging.trackers.parts import clip_tag
from tracker_logging.trackers.rows import RowTracker

CLIPS = ("reference", "target", "codec", "generated")
MEDIA_COLUMNS = (*CLIPS, "mel")


@dataclass
class VoiceMedia:
    """What is known of a voice at a step; `voice` as tags have it, `mel` is pixels [height, width, 3] uint8."""

    voice: str
    clips: Mapping[str, Clip] = field(default_factory=dict)
    mel: npt.NDArray[np.uint8] | None = None
    is_complete: bool = False


@dataclass(frozen=True)
class MediaRow:
    """A row: `before` and `after` the media."""

    before: Sequence[Cell]
    media: VoiceMedia
    after: Sequence[Cell]


@dataclass(frozen=True)
class MediaTable:
    """`voices/table` with media; `columns` in the order of the cells of a row."""

    step: int
    columns: tuple[str, ...]
    rows: tuple[MediaRow, ...]


class VoiceRows:
    """Keeps the clips of the voices of the latest steps, for one thread."""

    def __init__(self) -> None:
        self._media: dict[int, dict[str, VoiceMedia]] = {}
        self._tables: dict[int, Table] = {}

    def hear(self, event: VoiceComparison, *, mel: npt.NDArray[np.uint8] | None) -> None:
        """Take the clips of a voice, and its mel where it was drawn."""
        voice = self._media.setdefault(event.step, {}).setdefault(event.voice_id, _unknown(event.voice_id))
        voice.clips = {**voice.clips, **event.shown_clips}
        voice.mel = mel if mel is not None else voice.mel
        voice.is_complete = event.stage != "generated"
        for step in sorted(self._media)[:-2]:
            if step not in self._tables:
                del self._media[step]

    def begin(self, table: Table) -> None:
        """Take the scores of a round."""
        self._tables[table.step] = table

    def take(self, *, is_last: bool = False) -> Iterator[MediaTable]:
        """The tables whose voices are all complete; if `is_last`, those that are left too, with what there is."""
        for step, table in list(self._tables.items()):
            place = table.columns.index("voice")
            voices = [str(row[place]) for row in table.rows]
            media = self._media.get(step, {})
            complete = all(voice in media and media[voice].is_complete for voice in voices)
            if complete or is_last:
                del self._tables[step]
                yield _joined(table, place, [media.get(voice) or _unknown(voice) for voice in voices])


class VoiceTableTracker(RowTracker):
    """Rows of events as `RowTracker` has them, and `voices/table` with the media of its voices."""

    def __init__(self, *, written: Mapping[str, int]) -> None:
        super().__init__(written=written)
        self._voices = VoiceRows()
        self._mels: dict[tuple[int, str], npt.NDArray[np.uint8]] = {}  # drawn for an event that is being logged

    def emit(self, event: Event) -> None:
        """As every backend that takes rows; the table of a round waits for the media of its voices."""
        if is_voice_table(event):
            with self._lock:
                self._voices.begin(event)
        else:
            super().emit(event)
        if isinstance(event, VoiceComparison):
            place = event.step, tags.VOICE_MEL(voice=tags.safe_part(event.voice_id, "_"))
            with self._lock:
                self._voices.hear(event, mel=self._mels.pop(place, None))
        with self._lock:
            if not self._closed:
                self._log_voice_tables(is_last=False)

    def _row(self, event: Event) -> Iterator[tuple[str, Any]]:
        if isinstance(event, Image) and tags.VOICE_MEL.pattern.match(event.tag):
            self._mels[event.step, event.tag] = np.asarray(event.picture)
        yield from super()._row(event)

    def close(self) -> None:
        """Log the tables that still wait for a voice, with what there is, and finish the run."""
        with self._lock:
            if not self._closed:
                self._log_voice_tables(is_last=True)
        super().close()

    def _log_voice_tables(self, *, is_last: bool) -> None:
        for table in self._voices.take(is_last=is_last):
            if table.step > self._written.get(tags.VOICE_TABLE(), -1):
                self._log({tags.VOICE_TABLE(): self._voice_table(table)}, step=table.step)

    def _voice_table(self, table: MediaTable) -> Any:
        """The value of `voices/table`."""
        return self._table(tags.VOICE_TABLE(), table.columns, self._rows_with_media(table))

    def _rows_with_media(self, table: MediaTable) -> list[list[Any]]:
        return [[*row.before, *self._media_cells(table.step, row.media), *row.after] for row in table.rows]

    def _media_cells(self, step: int, media: VoiceMedia) -> list[Any]:
        """The cells of `MEDIA_COLUMNS`, None for what there is not."""
        key = tags.VOICE(voice=media.voice)
        clips = [
            self._clip_cell(step, clip_tag(key, name), media.clips[name]) if name in media.clips else None
            for name in CLIPS
        ]
        return [*clips, None if media.mel is None else self._mel_cell(step, media.voice, media.mel)]

    def _clip_cell(self, step: int, key: str, clip: Clip) -> Any:
        """A clip that the backend has under `key`."""
        return key

    def _mel_cell(self, step: int, voice: str, mel: npt.NDArray[np.uint8]) -> Any:
        """The mel picture of a voice."""
        return tags.VOICE_MEL(voice=voice)


def _unknown(voice_id: str) -> VoiceMedia:
    return VoiceMedia(voice=tags.safe_part(voice_id, "_"))


def _joined(table: Table, place: int, media: Sequence[VoiceMedia]) -> MediaTable:
    after = place + 1
    rows = tuple(
        MediaRow(before=row[:after], media=of_voice, after=row[after:])
        for row, of_voice in zip(table.rows, media, strict=True)
    )
    columns = (*table.columns[:after], *MEDIA_COLUMNS, *table.columns[after:])
    return MediaTable(step=table.step, columns=columns, rows=rows)


def is_voice_table(event: object) -> TypeGuard[Table]:
    """Whether an event is the table of a round."""
    return isinstance(event, Table) and event.tag == tags.VOICE_TABLE() and "voice" in event.columns
