import logging

import pytest

from tracker_logging.callbacks.fence import FAILURES_UNTIL_OFF, Fence


def test_what_raises_inside_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    fence = Fence()
    for _ in range(2):
        with fence.guard("outputs"):
            raise ValueError("no codes")
    assert fence.errors == 2
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "Logging part 'outputs' failed (ValueError: no codes). "
        "It is left out at this step and tried again at the next; training goes on."
    ]


def test_a_part_that_keeps_failing_is_switched_off_and_others_stay_on(caplog: pytest.LogCaptureFixture) -> None:
    fence = Fence()
    for _ in range(FAILURES_UNTIL_OFF):
        with fence.guard("outputs"):
            raise ValueError("no codes")
    assert not fence.open("outputs")
    assert fence.open("inputs")
    assert "off until the end of the run" in caplog.records[-1].getMessage()


def test_a_success_forgives_earlier_failures() -> None:
    fence = Fence()
    for _ in range(5):
        with fence.guard("outputs"):
            raise ValueError
        with fence.guard("outputs"):
            pass
    assert fence.open("outputs")
    assert fence.errors == 5


def test_an_interrupt_is_not_held_back() -> None:
    with pytest.raises(KeyboardInterrupt), Fence().guard("outputs"):
        raise KeyboardInterrupt
