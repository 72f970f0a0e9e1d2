"""`--alert_if`: a finding of one's own opens and closes, and a wrong condition is refused before training."""

from __future__ import annotations

import argparse
import logging
from types import SimpleNamespace

import pytest

from tracker_logging.config import LoggingConfig
from tracker_logging.doctor.doctor import Doctor
from tracker_logging.doctor.own_rules import own_rules
from tracker_logging.doctor.rules import RULES
from tracker_logging.events import Scalars
from tracker_logging.integrations.arguments import add_logging_arguments, logging_config
from tracker_logging.integrations.factory import observers
from tracker_logging.observers.doctor import DoctorObserver


def test_a_condition_opens_after_its_values_in_a_row_and_closes() -> None:
    doctor = Doctor((*RULES, *own_rules(["voices/spk_top1 < 0.5 for 2", "mine/x >= 3"])))
    changes = []
    for step, value in ((100, 0.4), (200, 0.6), (300, 0.4), (400, 0.3), (500, float("nan")), (600, 0.5)):
        doctor.add(step, {"voices/spk_top1": value, "mine/x": 1.0})
        changes += [(step, finding.name, finding.since, finding.until) for finding in doctor.examine()]
    name = "alert_if_voices_spk_top1_below_0_5_for_2"
    assert changes == [(400, name, 300, None), (500, name, 300, 500)]


def test_the_evidence_names_the_newest_value_and_the_condition() -> None:
    doctor = Doctor(own_rules(["train/loss > 9"]))
    for step, value in ((1, 9.5), (2, 12.25)):
        doctor.add(step, {"train/loss": value})
        doctor.examine()
    (finding,) = doctor.findings
    assert (finding.seen, finding.level) == ("train/loss is 12.25", "warning")
    assert "train/loss > 9" in finding.cause


def test_a_condition_on_a_tag_that_never_came_is_reported_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    observer = DoctorObserver(rules=(*RULES, *own_rules(["voices/spk_topl < 0.5 for 2", "train/loss > 9"])))
    training = SimpleNamespace(rank=0, planned_steps=None, emit=lambda event: None, wake=lambda: None)
    observer.begin(training)  # type: ignore[arg-type]
    observer.hear(Scalars(step=1, values={"train/loss": 3.0}))
    with caplog.at_level(logging.WARNING, "tracker_logging"):
        observer.finish()
    (message,) = (record.getMessage() for record in caplog.records)
    condition = "voices/spk_topl < 0.5 for 2"
    assert message.startswith(f'alert_if: "{condition}" was never judged: no value of voices/spk_topl came.')


@pytest.mark.parametrize("text", ["loss below 3", "loss < x", "loss < nan", "loss < 3 for 0", "< 3", "a b < 3", ""])
def test_a_wrong_condition_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(ValueError, match=r"alert_if: .* is no condition\. Fix: TAG, one of < <= > >=, a number"):
        LoggingConfig(alert_if=(text,))


def test_the_flag_may_be_given_several_times_and_reaches_the_doctor() -> None:
    parser = argparse.ArgumentParser()
    add_logging_arguments(parser)
    flags = ["--enable_strategic_logging", "--alert_if", "a < 1", "--alert_if", "b > 2 for 3"]
    config = logging_config(parser.parse_args(flags))
    assert config.alert_if == ("a < 1", "b > 2 for 3")
    assert logging_config(parser.parse_args([])).alert_if == ()
    doctor = observers(config)[-1]
    assert [rule.name for rule in doctor._rules][-2:] == ["alert_if_a_below_1", "alert_if_b_above_2_for_3"]
