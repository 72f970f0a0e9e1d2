"""A sequence whose items are read on access, by index or slice, or one after the other with the errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

from tracker_logging.data.sample import DataError

Item = TypeVar("Item", covariant=True)


class LazySequence(Sequence[Item]):
    """Item i is `item(i)`; a slice is a list of items. Negative indices count from the end."""

    @abstractmethod
    def item(self, index: int) -> Item:
        """Item `index`, with 0 <= index < len. Raises `DataError` if it cannot be read."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self.item(position) for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.item(index % len(self))

    def outcomes(self) -> Iterator[Item | DataError]:
        """All items in order, a `DataError` in place of each that cannot be read."""
        return map(self.outcome, range(len(self)))

    def outcome(self, index: int) -> Item | DataError:
        """Item `index`, or the `DataError` if it cannot be read."""
        try:
            return self.item(index)
        except DataError as error:
            return error


def outcomes(items: Sequence[Item]) -> Iterator[Item | DataError]:
    """All `items` in order, a `DataError` in place of each that cannot be read."""
    return items.outcomes() if isinstance(items, LazySequence) else iter(items)
