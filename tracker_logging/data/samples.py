"""A dataset as a sequence of samples that are parsed on access.

Guarantees
- Holds the indices of its samples and its source, no sample: 2 MB for 100,000 lines of JSON.
- Selecting and shuffling work on indices; nothing is read for it.

    samples = open_samples(Path("train.jsonl"))
    train, evaluation = samples.split(share=0.005, seed=42)
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Protocol, overload

import numpy as np
import numpy.typing as npt

from tracker_logging.data.sample import DataError, VoiceSample


class Source(Protocol):
    """Samples by index. Item i raises `DataError` if the sample cannot be used. Can be pickled."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> VoiceSample: ...


def read_sample(source: Source, index: int) -> VoiceSample:
    """Sample `index` of `source`. Raises `DataError` for whatever a reader raises: one bad sample of many must not end
    a training that skips bad ones."""
    try:
        return source[index]
    except DataError:
        raise
    except Exception as error:  # a reader that fails on data that nobody thought of
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise DataError(f"sample {index} cannot be read ({reason}). Correct or drop the sample.") from error


class Samples(Sequence[VoiceSample]):
    """Item i is sample `indices[i]` of `source`, and raises `DataError` if it cannot be used.

    With `skip_bad`, iteration leaves out bad samples, so that it may yield fewer than `len`.
    """

    def __init__(self, source: Source, indices: npt.ArrayLike, *, skip_bad: bool = False) -> None:
        self.source = source
        self.indices = np.asarray(indices, dtype=np.int64)
        self.skip_bad = skip_bad

    def take(self, positions: Sequence[int]) -> Samples:
        """The samples at `positions`, in that order."""
        return Samples(self.source, self.indices[np.asarray(positions, dtype=np.int64)], skip_bad=self.skip_bad)

    def split(self, *, share: float, seed: int) -> tuple[Samples, Samples]:
        """(the rest, `share` of the samples by chance); at least one each. Raises `DataError` for fewer than two."""
        if len(self) < 2:
            raise DataError("One sample cannot be split into training and evaluation. Add data, or do not evaluate.")
        shuffled = random.Random(seed).sample(range(len(self)), len(self))
        count = min(max(1, round(share * len(self))), len(self) - 1)
        return self.take(shuffled[count:]), self.take(shuffled[:count])

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> VoiceSample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> VoiceSample | Samples:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        return read_sample(self.source, int(self.indices[index]))

    def __iter__(self) -> Iterator[VoiceSample]:
        for index in range(len(self)):
            try:
                yield self[index]
            except DataError:
                if not self.skip_bad:
                    raise


def evenly(samples: Sequence[VoiceSample], most: int) -> list[VoiceSample]:
    """At most `most` of `samples`, evenly spread, in order. A bad sample is left out if `samples` skips bad
    ones, else it raises `DataError`."""
    positions = spread(len(samples), most)
    return list(
        samples.take(positions) if isinstance(samples, Samples) else [samples[position] for position in positions]
    )


def spread(count: int, most: int) -> list[int]:
    """At most `most` indices below `count`, evenly spread, with the first and the last."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []
