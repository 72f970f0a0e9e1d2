from tracker_logging.callbacks.readable import readable_tokens


def test_runs_of_one_token_are_written_once_with_their_count() -> None:
    assert readable_tokens([7, 8, *[60] * 75, 9], None) == "7 8 60×75 9"


def test_short_repeats_stay_as_they_are() -> None:
    assert readable_tokens([5, 5, 5], None) == "5 5 5"
