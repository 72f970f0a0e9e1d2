import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker_logging.session.cadence import LARGEST_STRIDE, Cadence


def test_step_one_and_every_nth_step_are_logged() -> None:
    cadence = Cadence(every=4, voice_steps=6, budget_pct=2.0)
    assert [step for step in range(1, 13) if cadence.logged(step)] == [1, 4, 8, 12]
    assert [step for step in range(1, 13) if cadence.voices(step)] == [6, 12]


@settings(deadline=None)
@given(every=st.integers(1, 20), voice_steps=st.integers(1, 50), capture=st.integers(0, 3), voices=st.integers(0, 3))
def test_the_next_due_step_is_the_first_at_which_there_is_something_to_do(
    every: int, voice_steps: int, capture: int, voices: int
) -> None:
    cadence = Cadence(every=every, voice_steps=voice_steps, budget_pct=2.0)
    cadence.strides.update(capture=2**capture, voices=2**voices)
    for step in range(60):
        due = cadence.due_after(step)
        assert cadence.logged(due) or cadence.voices(due)
        assert not any(cadence.logged(s) or cadence.voices(s) for s in range(step + 1, due))


@given(every=st.integers(1, 20), voice_steps=st.integers(1, 50), steps_at_once=st.integers(2, 5))
def test_of_steps_that_are_done_at_once_the_last_is_due_if_any_of_them_is(
    every: int, voice_steps: int, steps_at_once: int
) -> None:
    cadence = Cadence(every=every, voice_steps=voice_steps, budget_pct=2.0)
    cadence.steps_at_once = steps_at_once
    for end in range(steps_at_once, 100, steps_at_once):
        passed = range(end - steps_at_once + 1, end + 1)
        assert cadence.logged(end) == cadence.conditioned(end) == any(s == 1 or s % every == 0 for s in passed)
        assert cadence.voices(end) == any(s % voice_steps == 0 for s in passed)


def test_over_budget_the_most_expensive_component_is_thinned_first() -> None:
    cadence = Cadence(every=10, voice_steps=50, budget_pct=2.0)
    strides = cadence.thinned({"capture": 1.0, "voices": 5.0}, wall_s=100.0)
    assert strides == {"capture": 1, "zero_shot": 1, "voices": 2}


def test_within_budget_nothing_changes_and_far_below_it_the_thinning_is_taken_back() -> None:
    cadence = Cadence(every=10, voice_steps=50, budget_pct=2.0)
    cadence.strides["voices"] = 4
    assert cadence.thinned({"voices": 1.0}, wall_s=100.0)["voices"] == 4
    assert cadence.thinned({"voices": 0.1}, wall_s=100.0)["voices"] == 2


def test_thinning_has_an_end() -> None:
    cadence = Cadence(every=10, voice_steps=50, budget_pct=2.0)
    for _ in range(20):
        cadence.strides = cadence.thinned({"capture": 9.0}, wall_s=10.0)
    assert cadence.strides["capture"] == LARGEST_STRIDE


@pytest.mark.parametrize("wrong", [{"every": 0}, {"voice_steps": 0}, {"budget_pct": 0.0}])
def test_a_cadence_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    arguments = {"every": 10, "voice_steps": 50, "budget_pct": 2.0} | wrong
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Cadence(**arguments)
