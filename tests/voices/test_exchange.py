import json
import threading

import pytest
from torch.distributed import HashStore

from tracker_logging.voices.exchange import SingleProcess, StoreExchange


def exchanges(world_size: int) -> list[StoreExchange]:
    store = HashStore()
    return [StoreExchange(store, rank=rank, world_size=world_size) for rank in range(world_size)]


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_every_item_is_shared_out_and_all_ranks_have_equally_many(count: int) -> None:
    shares = [one.share(range(count)) for one in exchanges(3)]
    assert {item for share in shares for item in share} == set(range(count))
    assert [len(share) for share in shares] == [-(-count // 3)] * 3
    assert all(share[: len(range(rank, count, 3))] == list(range(rank, count, 3)) for rank, share in enumerate(shares))


def test_messages_arrive_rank_by_rank_whoever_is_first() -> None:
    ranks = exchanges(3)
    late = threading.Timer(0.1, lambda: ranks[1].publish("round/1", {"rank": 1}))
    late.start()
    ranks[2].publish("round/1", {"rank": 2})
    assert ranks[0].collect("round/1", own={"rank": 0}, timeout_s=10.0) == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
    late.join()


def test_a_silent_rank_is_none_and_its_late_message_disturbs_no_later_round() -> None:
    ranks = exchanges(2)
    assert ranks[0].collect("round/1", own="here", timeout_s=0.05) == ["here", None]
    ranks[1].publish("round/1", "late")
    ranks[1].publish("round/2", "in time")
    assert ranks[0].collect("round/2", own="here", timeout_s=10.0) == ["here", "in time"]


def test_messages_are_json_and_are_taken_out_of_the_store() -> None:
    store = HashStore()
    StoreExchange(store, rank=1, world_size=2).publish("round/1", {"codes": [[1, 2]]})
    assert json.loads(store.get("round/1/1")) == {"codes": [[1, 2]]}
    StoreExchange(store, rank=0, world_size=2).collect("round/1", own=None, timeout_s=1.0)
    assert not store.check(["round/1/1"])


def test_a_single_process_has_only_itself() -> None:
    alone = SingleProcess()
    assert alone.share([1, 2]) == [1, 2]
    assert alone.collect("round/1", own="me", timeout_s=0.0) == ["me"]
