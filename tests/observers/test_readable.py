from torch import nn

from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.families.processors import ProcessorParts
from tracker_logging.guard import ErrorGuard
from tracker_logging.observers.readable import readable_tokens
from tracker_logging.session.observer import Training


def test_runs_of_one_token_are_written_once_with_their_count() -> None:
    assert readable_tokens([7, 8, *[60] * 75, 9], None) == "7 8 60×75 9"


def test_short_repeats_stay_as_they_are() -> None:
    assert readable_tokens([5, 5, 5], None) == "5 5 5"


def test_the_tokens_of_the_chat_template_are_structure() -> None:
    tokenizer = demo_tokenizer()
    header, word = tokenizer.encode("<|start_header_id|>user", add_special_tokens=False)
    assert header in special_ids_of(tokenizer) and word not in special_ids_of(tokenizer)
    assert special_ids_of(None) == frozenset()


def special_ids_of(tokenizer: object) -> frozenset[int]:
    return Training(
        model=nn.Identity(),
        parts=ProcessorParts(tokenizer=tokenizer, codec=None, voices=None, passed="test"),
        rank=0,
        world_size=1,
        guard=ErrorGuard(),
        emit=lambda event: None,
        wake=lambda: None,
    ).special_ids
