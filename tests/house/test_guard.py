"""The error guard: contains, counts, logs a cause once, switches off, tries again."""

import pytest

from tracker_logging.guard import FAILURES_UNTIL_OFF, ErrorGuard, Retry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(guard: ErrorGuard, part: str = "part", message: str = "no") -> None:
    with guard.contain(part):
        raise RuntimeError(message)


def succeed(guard: ErrorGuard, part: str = "part") -> None:
    with guard.contain(part):
        pass


def test_errors_are_contained_and_counted_and_interrupts_pass() -> None:
    guard = ErrorGuard()
    fail(guard)
    assert guard.errors == 1
    with pytest.raises(KeyboardInterrupt), guard.contain("part"):
        raise KeyboardInterrupt
    assert guard.errors == 1


def test_a_part_is_switched_off_after_three_failures_in_a_row_and_alone() -> None:
    guard = ErrorGuard()
    for _ in range(2):
        fail(guard)
        fail(guard)
        succeed(guard)
    assert guard.is_on("part") and not guard.is_failing("part")
    for _ in range(3):
        fail(guard)
    assert not guard.is_on("part") and guard.is_failing("part")
    assert guard.is_on("another")


def test_without_retry_a_part_stays_off() -> None:
    clock = Clock()
    guard = ErrorGuard(clock=clock)
    for _ in range(FAILURES_UNTIL_OFF):
        fail(guard)
    clock.now = 1e9
    assert not guard.is_on("part")


def test_with_retry_the_wait_doubles_up_to_its_limit_and_a_success_resets_it() -> None:
    clock = Clock()
    guard = ErrorGuard(retry=Retry(first_s=5.0, longest_s=12.0), clock=clock)
    for _ in range(3):
        fail(guard)
    for wait_s in (5.0, 10.0, 12.0, 12.0):
        clock.now += wait_s - 0.1
        assert not guard.is_on("part")
        clock.now += 0.1
        assert guard.is_on("part") and guard.is_failing("part")
        fail(guard)
    clock.now += 12.0
    succeed(guard)
    assert guard.is_on("part") and not guard.is_failing("part")
    for _ in range(3):
        fail(guard)
    clock.now += 5.0
    assert guard.is_on("part")


def test_a_cause_is_logged_once_whatever_its_numbers(caplog: pytest.LogCaptureFixture) -> None:
    guard = ErrorGuard()
    for step in range(20):
        fail(guard, message=f"step {step}: no file '/runs/a/step-{step}.png'")
        succeed(guard)
    fail(guard, message="another cause")
    assert guard.errors == 21
    assert len(caplog.records) == 2
    assert "RuntimeError: step 0: no file" in caplog.text


def test_the_log_says_what_happens_next(caplog: pytest.LogCaptureFixture) -> None:
    fail(ErrorGuard())
    assert "tried again at the next one" in caplog.text
    for guard, text in (
        (ErrorGuard(), "switched off for the rest of this training"),
        (ErrorGuard(retry=Retry(first_s=7.0)), "skipped for 7 s, then tried again"),
    ):
        for _ in range(3):
            fail(guard)
        assert text in caplog.text


def test_a_strict_guard_raises_after_counting() -> None:
    guard = ErrorGuard(strict=True)
    with pytest.raises(RuntimeError, match="no"):
        fail(guard)
    assert guard.errors == 1
