"""A finding opens and closes as its rule declares, whatever the order of evaluations."""

from __future__ import annotations

import random
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker_logging.doctor.doctor import FAILURES_UNTIL_OFF, Doctor
from tracker_logging.doctor.history import KEPT, History, Series
from tracker_logging.doctor.rule import Cause, Rule

counts = st.integers(1, 4)
looks = st.lists(st.booleans(), max_size=40)


def rule(name: str = "bad", tag: str = "a", *, opens_after: int = 1, closes_after: int = 1) -> Rule:
    return Rule(
        name=name,
        level="warning",
        certainty="likely",
        triggers=(tag,),
        opens_when="the value is 1",
        evidence=lambda history: f"{tag} is 1" if history[tag].last == 1.0 else None,
        causes=(Cause("a test"),),
        fix="none",
        opens_after=opens_after,
        closes_after=closes_after,
    )


def longest_run(values: list[bool], of: bool) -> int:
    best = run = 0
    for value in values:
        run = run + 1 if value is of else 0
        best = max(best, run)
    return best


@settings(deadline=None)
@given(looks, counts, counts)
def test_a_finding_opens_and_closes_after_its_number_of_evaluations_in_a_row(
    bad: list[bool], opens_after: int, closes_after: int
) -> None:
    doctor = Doctor([rule(opens_after=opens_after, closes_after=closes_after)])
    is_open = False
    for step, value in enumerate(bad):
        doctor.add(step, {"a": float(value)})
        changed = doctor.examine()
        so_far = bad[: step + 1]
        wanted_open = so_far[-opens_after:] == [True] * opens_after
        wanted_closed = so_far[-closes_after:] == [False] * closes_after
        if is_open and wanted_closed:
            assert [own.is_open for own in changed] == [False]
            assert changed[0].until == step
            is_open = False
        elif not is_open and wanted_open:
            assert [own.is_open for own in changed] == [True]
            assert bad[changed[0].since : step + 1] == [True] * (step + 1 - changed[0].since)
            assert changed[0].since == 0 or not bad[changed[0].since - 1]
            is_open = True
        else:
            assert changed == []
        assert doctor.counts()["warning"] == int(is_open)
    assert [own.is_open for own in doctor.findings[:-1]] == [False] * (len(doctor.findings) - 1)
    if longest_run(bad, True) < opens_after:
        assert doctor.findings == ()


@settings(deadline=None)
@given(looks, counts)
def test_evaluating_again_without_a_new_value_changes_nothing(bad: list[bool], opens_after: int) -> None:
    doctors = [Doctor([rule(opens_after=opens_after)]) for _ in range(2)]
    for step, value in enumerate(bad):
        for times, doctor in enumerate(doctors, start=1):
            doctor.add(step, {"a": float(value)})
            for _ in range(3 * times):
                doctor.add(step, {"b": 1.0})
                doctor.examine()
    assert doctors[0].findings == doctors[1].findings


@settings(deadline=None)
@given(st.permutations(range(8)), st.lists(st.floats(-5, 5), min_size=8, max_size=8))
def test_a_series_is_sorted_by_step_whatever_the_order_of_arrival(order: list[int], values: list[float]) -> None:
    series = Series()
    for step in order:
        series.add(step, values[step])
    assert series.points == list(enumerate(values))
    assert series.last == values[-1]


def test_a_series_keeps_its_first_value_and_the_newest_ones() -> None:
    series = Series()
    for step in range(KEPT + 10):
        series.add(step, float(step))
    assert (series.first, len(series.points), series.last) == (0.0, KEPT, KEPT + 9)


def test_a_second_value_for_a_step_replaces_the_first() -> None:
    history = History(["a"])
    history.add(5, {"a": 1.0, "b": 1.0})
    history.add(5, {"a": 2.0})
    assert history["a"].points == [(5, 2.0)]
    assert not history["b"], "nobody watches it"


def test_a_rule_that_keeps_raising_is_switched_off_and_the_others_go_on() -> None:
    broken = Rule(
        name="broken", level="error", certainty="certain", triggers=("a",), opens_when="never",
        evidence=lambda history: str(1 / 0), causes=(), fix="",
    )  # fmt: skip
    doctor = Doctor([broken, rule()])
    for step in range(10):
        doctor.add(step, {"a": 1.0})
        doctor.examine()
    assert [(name, type(error)) for name, error in doctor.take_errors()] == [
        ("broken", ZeroDivisionError)
    ] * FAILURES_UNTIL_OFF
    assert [finding.name for finding in doctor.findings] == ["bad"]


def test_there_are_new_values_until_the_rules_are_evaluated() -> None:
    doctor = Doctor([rule()])
    assert not doctor.has_new_values
    doctor.add(1, {"nobody watches it": 1.0})
    assert not doctor.has_new_values
    doctor.add(1, {"a": 1.0})
    assert doctor.has_new_values
    doctor.examine()
    assert not doctor.has_new_values


def test_the_text_of_a_finding_has_its_first_and_its_last_step() -> None:
    own = rule("it_is_bad")
    assert (own.title, own.finding("a is 1", since=3).title) == ("It is bad", "It is bad")
    rest = "\nCause (likely): a test\nFix: none"
    finding = own.finding("a is 1", since=3)
    assert finding.text == "Seen: a is 1. Since step 3." + rest
    assert replace(finding, until=7).text == "Seen: a is 1. Since step 3. Resolved at step 7." + rest
    assert replace(finding, since=None).text == "Seen: a is 1." + rest


@pytest.mark.parametrize(("updates", "seen"), [(True, "a is 3"), (False, "a is 1")])
def test_the_evidence_of_an_open_finding_is_the_first_one_or_follows_the_newest(updates: bool, seen: str) -> None:
    counting = replace(rule(), evidence=lambda history: f"a is {history['a'].last:g}", updates_seen=updates)
    doctor = Doctor([counting])
    for step in (1, 2, 3):
        doctor.add(step, {"a": float(step)})
        doctor.examine()
    assert [finding.seen for finding in doctor.findings] == [seen]


def test_values_from_several_threads_are_all_kept() -> None:
    doctor = Doctor([rule(f"bad_{tag}", tag, opens_after=200) for tag in "abcd"])
    seen = []

    def speak(tag: str) -> None:
        for step in range(200):
            doctor.add(step, {tag: 1.0})
            if random.random() < 0.1:
                seen.append(step)

    threads = [threading.Thread(target=speak, args=(tag,)) for tag in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    doctor.examine()
    assert {len(doctor._history[tag].points) for tag in "abcd"} == {200}
