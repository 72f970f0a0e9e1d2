"""Shares voice work over ranks without a collective, so that no rank can hang another.

Guarantees
- Every item belongs to some rank, and all ranks get the same number: some items are done twice if there are too few,
  which takes no longer. (Sharded models do not need the same number of forwards: see `probes/gathering.py`.)
- A rank other than 0 publishes its result in the process group's key-value store and continues at once.
- Rank 0 polls the store until a deadline, on any thread; a missing message is `None`. A rank that missed three
  deadlines in a row is polled once, without waiting, until it publishes again.
- Messages are JSON: nothing from another process is executed.

    exchange = exchange_for(rank=session.rank, world_size=session.world_size)
    mine = exchange.share(prompts)
    exchange.publish("voices/100", result)                                 # ranks 1 …
    results = exchange.collect("voices/100", own=result, timeout_s=60.0)   # rank 0: one entry per rank
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
_POLL_S = 0.02
_MISSES_UNTIL_NOT_AWAITED = 3


class Exchange(Protocol):
    """Shares out work and brings results to rank 0. Rank 0 calls `collect`, the others call `publish`."""

    rank: int
    world_size: int

    def share(self, items: Sequence[Item]) -> list[Item]:
        """The items of this rank; some belong to two ranks, so that all have the same number."""

    def publish(self, key: str, message: Any) -> None:
        """Send `message` (plain JSON values) to rank 0. Returns at once."""

    def collect(self, key: str, *, own: Any, timeout_s: float) -> list[Any | None]:
        """[world_size] messages by rank; None for a rank that sent nothing within `timeout_s` seconds."""


class SingleProcess:
    """The exchange of a run with one process."""

    rank, world_size = 0, 1

    def share(self, items: Sequence[Item]) -> list[Item]:
        return list(items)

    def publish(self, key: str, message: Any) -> None:
        """Nothing to do: there is no other rank."""

    def collect(self, key: str, *, own: Any, timeout_s: float) -> list[Any | None]:
        return [own]


class StoreExchange:
    """The exchange over a `torch.distributed` key-value store."""

    def __init__(self, store: Any, *, rank: int, world_size: int) -> None:
        self._store = store
        self.rank = rank
        self.world_size = world_size
        self._missed: Counter[int] = Counter()

    def share(self, items: Sequence[Item]) -> list[Item]:
        each = -(-len(items) // self.world_size)
        return [items[(self.rank + turn * self.world_size) % len(items)] for turn in range(each)]

    def publish(self, key: str, message: Any) -> None:
        self._store.set(f"{key}/{self.rank}", json.dumps(message))

    def collect(self, key: str, *, own: Any, timeout_s: float) -> list[Any | None]:
        deadline = time.monotonic() + timeout_s
        return [own, *(self._wait(key, rank, deadline) for rank in range(1, self.world_size))]

    def _wait(self, round_key: str, rank: int, deadline: float) -> Any | None:
        key = f"{round_key}/{rank}"
        # `store.wait` would hold the store's lock and block the process group's own threads; `check` returns at once.
        while not self._store.check([key]):
            if time.monotonic() >= deadline or self._missed[rank] >= _MISSES_UNTIL_NOT_AWAITED:
                self._missed[rank] += 1
                return None
            time.sleep(_POLL_S)
        self._missed[rank] = 0
        message = json.loads(self._store.get(key))
        self._store.delete_key(key)
        return message


def exchange_for(*, rank: int, world_size: int) -> Exchange:
    """The exchange of this run: over the default process group's store when there are several processes."""
    if world_size == 1:
        return SingleProcess()
    from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

    return StoreExchange(PrefixStore("tracker_logging", _get_default_store()), rank=rank, world_size=world_size)
