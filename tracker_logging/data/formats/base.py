"""What a format is: something that knows its own files and reads them as samples.

Guarantees
- `open` gives a source whose samples are parsed one by one, when they are asked for.
- `read` goes through all of them once, with an error in the place of each that cannot be used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.data.samples import Source

Reading: TypeAlias = Iterator[VoiceSample | DataError]


class Format(ABC):
    """A way of writing data down."""

    name: str

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether `path`, a file or directory that exists, is to be read in this format. Does not raise."""

    @abstractmethod
    def open(self, path: Path, shelf: AudioShelf) -> Source:
        """The samples of `path`. Raises `DataError` for what is wrong with the whole."""

    def read(self, path: Path, shelf: AudioShelf | None = None) -> Reading:
        """The samples in order; an error in the place of each that cannot be used. Raises `DataError` like `open`."""
        source = self.open(path, shelf or AudioShelf())
        for index in range(len(source)):
            try:
                yield source[index]
            except DataError as error:
                yield error
