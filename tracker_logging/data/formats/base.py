"""The interface of a format: recognise a path, and open it as samples.

Guarantees
- `open` returns a source whose samples are parsed on access.
- `read` yields all samples in order, and a `DataError` in place of each bad one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.data.samples import Source, read_sample

Reading: TypeAlias = Iterator[VoiceSample | DataError]


class Format(ABC):
    """A file or directory format for training data."""

    name: str

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether `path`, an existing file or directory, is in this format. Raises `OSError` alone, for one that may
        not be read."""

    @abstractmethod
    def open(self, path: Path, shelf: AudioShelf) -> Source:
        """The samples of `path`. Raises `DataError` if the file or directory as a whole cannot be read."""

    def read(self, path: Path, shelf: AudioShelf | None = None) -> Reading:
        """The samples in order, a `DataError` in place of each bad one. Raises `DataError` like `open`."""
        source = self.open(path, shelf or AudioShelf())
        for index in range(len(source)):
            try:
                yield read_sample(source, index)
            except DataError as error:
                yield error
