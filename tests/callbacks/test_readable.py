from tracker_logging.callbacks.readable import readable_tokens, special_token_ids
from tracker_logging.demo.tokenizer import demo_tokenizer


def test_runs_of_one_token_are_written_once_with_their_count() -> None:
    assert readable_tokens([7, 8, *[60] * 75, 9], None) == "7 8 60×75 9"


def test_short_repeats_stay_as_they_are() -> None:
    assert readable_tokens([5, 5, 5], None) == "5 5 5"


def test_the_tokens_of_the_chat_template_are_structure() -> None:
    tokenizer = demo_tokenizer()
    structure = special_token_ids(tokenizer)
    header, word = tokenizer.encode("<|start_header_id|>user", add_special_tokens=False)
    assert header in structure and word not in structure
    assert special_token_ids(None) == frozenset()
