"""The table of voices in W&B: the scores of a round beside the clips and the mel of each voice.

    voices = VoiceRows()
    voices.hear(comparison)                  # clips, as they are logged
    voices.begin(table)                      # `voices/table` of the round
    for columns, rows, step in voices.take(): ...        # when all voices of it are complete

The scores of a round arrive before the events that complete its voices, so that the table waits for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracker_logging import tags
from tracker_logging.events import Cell, Clip, Table, VoiceComparison

CLIPS = ("reference", "target", "codec", "generated")
MEDIA_COLUMNS = (*CLIPS, "mel")


@dataclass
class VoiceMedia:
    """What is known of a voice at a step; `mel` is pixels [height, width, 3] uint8."""

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
        voice = self._media.setdefault(event.step, {}).setdefault(event.voice_id, VoiceMedia())
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
                yield _joined(table, place, [media.get(voice, VoiceMedia()) for voice in voices])


def _joined(table: Table, place: int, media: Sequence[VoiceMedia]) -> MediaTable:
    after = place + 1
    rows = tuple(
        MediaRow(before=row[:after], media=of_voice, after=row[after:])
        for row, of_voice in zip(table.rows, media, strict=True)
    )
    columns = (*table.columns[:after], *MEDIA_COLUMNS, *table.columns[after:])
    return MediaTable(step=table.step, columns=columns, rows=rows)


def is_voice_table(event: object) -> bool:
    """Whether an event is the table of a round."""
    return isinstance(event, Table) and event.tag == tags.VOICE_TABLE() and "voice" in event.columns
