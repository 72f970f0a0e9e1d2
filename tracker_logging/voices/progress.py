"""A progress bar that is quiet where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(title: str, *, total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """A function that is told how many more are done. Nothing is drawn unless `shown`, on a terminal."""
    # tqdm takes None for "only on a terminal".
    with tqdm(total=total, desc=title, leave=False, disable=None if shown and total else True) as bar:
        yield lambda done: bar.update(done) and None
