"""The doctor's state survives a checkpoint: a resumed training has the findings of one that was not interrupted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker_logging.doctor.doctor import Doctor
from tracker_logging.doctor.rule import Cause, Rule


def rule(name: str = "bad", tag: str = "a", *, opens_after: int = 2, closes_after: int = 2) -> Rule:
    return Rule(
        name=name, level="warning", certainty="certain", triggers=(tag,), opens_when="the value is 1",
        evidence=lambda history: f"{tag} is 1" if history[tag].last == 1.0 else None,
        causes=(Cause("a test"),), fix="none", opens_after=opens_after, closes_after=closes_after,
    )  # fmt: skip


def advanced(doctor: Doctor, values: list[float], *, start: int = 0) -> Doctor:
    for step, value in enumerate(values, start=start):
        doctor.add(step, {"a": value})
        doctor.examine()
    return doctor


def saved(doctor: Doctor) -> dict:  # type: ignore[type-arg]
    """The state after a round trip through strict JSON."""
    return json.loads(json.dumps(doctor.state(), allow_nan=False))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([0.0, 1.0, float("nan")]), min_size=1, max_size=30), st.integers(0, 30))
def test_a_restored_doctor_goes_on_as_if_never_interrupted(values: list[float], cut: int) -> None:
    whole = advanced(Doctor([rule()]), values)
    before = advanced(Doctor([rule()]), values[:cut])
    after = Doctor([rule()])
    after.restore(saved(before))
    advanced(after, values[cut:], start=len(values[:cut]))
    assert after.findings == whole.findings
    assert after.counts() == whole.counts()
    assert json.dumps(after.state()) == json.dumps(whole.state())


def test_the_real_rules_keep_their_history() -> None:
    before = Doctor()
    for step in range(3):
        before.add(step, {"train/grad_norm": 1.0, "outputs/non_finite_logits": float(step == 2)})
        before.examine()
    after = Doctor()
    after.restore(saved(before))
    assert [finding.name for finding in after.findings] == ["non_finite_values"]
    assert after.examine() == [], "nothing opens a second time"


def test_rules_may_have_changed_since_the_checkpoint() -> None:
    old = advanced(Doctor([rule("gone"), rule("kept")]), [1.0, 1.0])
    new = Doctor([rule("added"), rule("kept")])
    new.restore(saved(old))
    assert [(finding.name, finding.is_open) for finding in new.findings] == [("kept", True)]
    advanced(new, [0.0, 0.0], start=2)
    assert [(finding.name, finding.until) for finding in new.findings] == [("kept", 3)]
    advanced(new, [1.0, 1.0], start=4)
    assert [finding.name for finding in new.findings] == ["kept", "added", "kept"]


@pytest.mark.parametrize("state", [{}, {"format": 99}, {"format": 1, "findings": 3, "rules": {}, "history": {}},
                                   {"format": 1, "findings": [], "rules": {"bad": {}}, "history": {}},
                                   {"format": 1, "findings": [{"name": "x"}], "rules": {}, "history": {}}])  # fmt: skip
def test_a_state_that_cannot_be_read_is_refused_and_changes_nothing(state: dict) -> None:  # type: ignore[type-arg]
    doctor = advanced(Doctor([rule()]), [1.0, 1.0])
    before = doctor.state()
    with pytest.raises(ValueError, match="state cannot be read"):
        doctor.restore(state)
    assert doctor.state() == before
