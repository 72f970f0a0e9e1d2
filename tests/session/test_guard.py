import logging

import pytest

from tracker_logging.guard import FAILURES_UNTIL_OFF, ErrorGuard


def test_an_error_is_counted_and_logged_once_per_cause(caplog: pytest.LogCaptureFixture) -> None:
    guard = ErrorGuard()
    for _ in range(2):
        with guard.contain("outputs"):
            raise ValueError("no codes")
    assert guard.errors == 2
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "Logging of 'outputs' failed (ValueError: no codes). "
        "It is skipped at this step and tried again at the next one; training continues."
    ]


def test_a_part_that_keeps_failing_is_switched_off_and_others_stay_on(caplog: pytest.LogCaptureFixture) -> None:
    guard = ErrorGuard()
    for _ in range(FAILURES_UNTIL_OFF):
        with guard.contain("outputs"):
            raise ValueError("no codes")
    assert not guard.is_on("outputs")
    assert guard.is_on("inputs")
    assert "switched off for the rest of this training" in caplog.records[-1].getMessage()


def test_a_success_resets_the_count_of_failures_in_a_row() -> None:
    guard = ErrorGuard()
    for _ in range(5):
        with guard.contain("outputs"):
            raise ValueError
        with guard.contain("outputs"):
            pass
    assert guard.is_on("outputs")
    assert guard.errors == 5


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), ErrorGuard().contain("outputs"):
        raise KeyboardInterrupt


def test_a_strict_guard_raises_and_counts() -> None:
    guard = ErrorGuard(strict=True)
    with pytest.raises(ValueError, match="no codes"), guard.contain("outputs"):
        raise ValueError("no codes")
    assert guard.errors == 1
