"""The accepted samples of data files as columns of numbers, from which checks over a whole file are computed.

- About 100 bytes per sample and 350 per distinct clip: a million samples fit in memory. The sample itself is read again
  where a finding needs its words (`Rows.record`).
- A file on disk is one clip, whatever links lead to it. Texts are compared by a hash of their letters and digits.

>>> shared = Shared()
>>> shared.names.number("slt"), shared.names.number("awb"), shared.names.number("slt"), shared.names.name(1)
(0, 1, 0, 'awb')
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.data.formats.lazy import LazySequence
from tracker_logging.data.groups import GROUP
from tracker_logging.data.sample import REFERENCE_FROM, VoiceSample
from tracker_logging.data.voices import untagged
from tracker_logging.doctor.data_checks.checks import Place
from tracker_logging.doctor.data_checks.letters import is_finished, script_of, weighted_letters, words
from tracker_logging.doctor.data_checks.record import Clip, Record

Numbers = npt.NDArray[Any]

NONE = -1  # no clip, no name
BLOCK = 4_096
# Keys that known pipelines write and that training ignores.
KNOWN_KEYS = frozenset(
    {"start_index", "id", "duration", "task_type", "sample_id", "reference_language", "raw_text", REFERENCE_FROM, GROUP}
)

_TYPES = {
    "reference": "i", "target": "i", "reference_text": "q", "target_text": "q", "reference_letters": "f",
    "target_letters": "f", "reference_script": "i", "target_script": "i", "sample_id": "q", "speaker": "i",
    "language": "i", "is_usable": "b", "is_finished": "b", "is_own_speaker": "b",
}  # fmt: skip


class Names:
    """Consecutive numbers for names."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def number(self, name: str | None) -> int:
        """`NONE` for None and for an empty name."""
        if not name:
            return NONE
        number = self._numbers.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
        return number

    def name(self, number: int) -> str:
        """The name of `number`; "" for `NONE`."""
        return self._names[number] if number >= 0 else ""


class Clips:
    """Every distinct clip: its number, and columns over all of them."""

    def __init__(self) -> None:
        self._numbers: dict[int | str, int] = {}
        self._frames, self._rates, self._channels, self._sizes = array("q"), array("i"), array("i"), array("q")
        self.paths: list[str] = []

    def __len__(self) -> int:
        return len(self.paths)

    def number(self, clip: Clip | None) -> int:
        """`NONE` without a clip."""
        if clip is None:
            return NONE
        number = self._numbers.setdefault(clip.identity, len(self.paths))
        if number == len(self.paths):
            is_good = clip.problem is None
            self.paths.append(str(clip.path))
            self._frames.append(clip.frames if is_good else 0)
            self._rates.append(clip.sample_rate if is_good else 0)
            self._channels.append(clip.channels)
            self._sizes.append(clip.size)
        return number

    @property
    def frames(self) -> Numbers:
        """Samples per channel; 0 for a clip with a problem."""
        return np.array(self._frames, dtype=np.int64)

    @property
    def rates(self) -> Numbers:
        """Hz; 0 for a clip with a problem."""
        return np.array(self._rates, dtype=np.int64)

    @property
    def channels(self) -> Numbers:
        return np.array(self._channels, dtype=np.int64)

    @property
    def sizes(self) -> Numbers:
        """Bytes of the file."""
        return np.array(self._sizes, dtype=np.int64)

    @property
    def seconds(self) -> Numbers:
        """0 for a clip with a problem."""
        return self.frames / np.maximum(self.rates, 1)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the files that are checked together share."""

    clips: Clips = field(default_factory=Clips)
    names: Names = field(default_factory=Names)


@dataclass(frozen=True, slots=True)
class Utterances:
    """Clips with a valid header and their texts, in order: `row`, `is_target`, number of the `clip`, `text` as a hash,
    `letters` (weighted by duration), `script` as a number of `Names`, and `seconds`."""

    row: Numbers
    is_target: Numbers
    clip: Numbers
    text: Numbers
    letters: Numbers
    script: Numbers
    seconds: Numbers

    def where(self, mask: Numbers) -> Utterances:
        """The utterances for which `mask` holds, or with these positions."""
        return Utterances(*(getattr(self, name)[mask] for name in self.__slots__))


class Rows:
    """The accepted samples of one file. `read`: the record of a row, read again. `are_prompts`: see `Record`."""

    def __init__(
        self, place: Place, shared: Shared, read: Callable[[int], Record], *, are_prompts: bool = False
    ) -> None:
        self.place = place
        self.are_prompts = are_prompts
        self.shared = shared
        self.unknown_keys: Counter[str] = Counter()
        self.more: dict[int, tuple[int, ...]] = {}  # row -> the clips of `Record.more`
        self._read = read
        self._columns: dict[str, array[Any]] = {name: array(kind) for name, kind in _TYPES.items()}
        self._recent: list[tuple[float, ...]] = []  # rows that are not in the columns yet: they are moved in blocks
        self._count = 0

    @classmethod
    def of(cls, records: list[Record], place: Place, shared: Shared) -> Rows:
        """The rows of records that stay in memory."""
        rows = cls(place, shared, records.__getitem__)
        for record in records:
            rows.add(record)
        return rows

    def __len__(self) -> int:
        return self._count

    def add(self, record: Record) -> None:
        """Take the numbers of `record` as the next row."""
        sample, names, clips = record.sample, self.shared.names, self.shared.clips
        reference, target = _text_numbers(sample.reference_text), _text_numbers(sample.target_text)
        if record.more:
            self.more[len(self)] = tuple(clips.number(utterance.clip) for utterance in record.more)
        self._recent.append((
            clips.number(record.reference), clips.number(record.target), reference[0], target[0], reference[1],
            target[1], names.number(reference[2]), names.number(target[2]), hash(sample.sample_id),
            names.number(sample.speaker), names.number(sample.language), record.is_usable,
            is_finished(sample.target_text), _is_own_speaker(sample),
        ))  # fmt: skip
        self._count += 1
        if len(self._recent) == BLOCK:
            self._move()
        if sample.extra:
            self.unknown_keys.update(_unknown_keys(sample.extra))

    def column(self, name: str) -> Numbers:
        """The values of one column, [rows]."""
        self._move()
        values = self._columns[name]
        return np.array(values) if len(values) else np.zeros(0, dtype=values.typecode)

    def _move(self) -> None:
        for column, values in zip(self._columns.values(), zip(*self._recent, strict=True), strict=False):
            column.extend(values)
        self._recent.clear()

    def record(self, row: int | np.integer[Any]) -> Record:
        """The record of `row`, read again. Raises `DataError` where the file has changed."""
        return self._read(int(row))

    def place_of(self, row: int | np.integer[Any]) -> Place:
        """The place of `row`, for a finding."""
        return self.record(row).place

    def utterances(self) -> Utterances:
        """References and targets with a valid header, those of a row together."""

        def both(name: str) -> Numbers:
            return np.stack([self.column(f"reference{name}"), self.column(f"target{name}")], axis=1).reshape(-1)

        clip = both("")
        seconds = np.append(self.shared.clips.seconds, 0.0)[clip]  # the last is that of NONE
        row = np.repeat(np.arange(len(self)), 2)
        is_target = np.arange(len(clip)) % 2 == 1
        every = Utterances(row, is_target, clip, both("_text"), both("_letters"), both("_script"), seconds)
        return every.where(seconds > 0)

    def records(self) -> Records:
        """The records, each read on access."""
        return Records([self])


class Records(LazySequence[Record]):
    """The records of one or more files, one after the other; each is read again on access."""

    def __init__(self, files: Iterable[Rows]) -> None:
        self._files = tuple(files)

    def __len__(self) -> int:
        return sum(map(len, self._files))

    def item(self, index: int) -> Record:
        for rows in self._files:
            if index < len(rows):
                return rows.record(index)
            index -= len(rows)
        raise IndexError(index)

    def of(self, file: str, row: int) -> Record | None:
        """The record of a row of `file`; None if there is none."""
        rows = next((rows for rows in self._files if rows.place.file == file), None)
        return rows.record(row) if rows is not None and 0 <= row < len(rows) else None


def firsts(keys: Numbers) -> Numbers:
    """For each key the position of the first equal one."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


def joined(*columns: Numbers) -> Numbers:
    """One 64-bit key for the values of several columns, equal where all are equal (a hash)."""
    key = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        key = (key ^ column.astype(np.int64).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


def counted(numbers: Numbers) -> Iterator[tuple[int, int]]:
    """(value, count), the most frequent first, of the values that are not `NONE`; ties in the order of appearance."""
    values, first, counts = np.unique(numbers[numbers != NONE], return_index=True, return_counts=True)
    for position in np.lexsort((first, -counts)):
        yield int(values[position]), int(counts[position])


def _unknown_keys(extra: Mapping[str, object]) -> Iterator[str]:
    for key, value in extra.items():
        if key == "misc" and isinstance(value, Mapping):
            yield from (f"misc.{inner}" for inner in value if inner not in KNOWN_KEYS)
        elif key not in KNOWN_KEYS:
            yield key


def _is_own_speaker(sample: VoiceSample) -> bool:
    """Whether the speaker is the id or the file name of the sample."""
    speaker, audio = sample.speaker, sample.target_audio
    if speaker is None or speaker == sample.sample_id:
        return speaker is not None
    return audio is not None and speaker in str(audio) and speaker == audio.stem


@lru_cache(maxsize=16_384)
def _text_numbers(text: str) -> tuple[int, float, str | None]:
    """A hash of the words without tags, their weighted letters, and their script."""
    text = untagged(text)
    return hash(words(text)), weighted_letters(text), script_of(text)
