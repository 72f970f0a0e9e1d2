"""Last and best values of a run, and where each backend keeps them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from read_back import read_tensorboard

from tracker_logging.events import Scalars, Summary, SummaryValue, Text
from tracker_logging.summary import KEPT, SummaryKeeper, summarize
from tracker_logging.tags import SCORES, direction
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.wandb import WandbTracker
from tracker_logging.trackers.wandb_record import records, run_directories

POINTS = st.lists(
    st.tuples(st.integers(0, 50), st.floats(-1e6, 1e6)), min_size=1, max_size=12, unique_by=lambda point: point[0]
)


def summary_of(tag: str, values: dict[int, float]) -> SummaryValue:
    keeper = SummaryKeeper()
    for step, value in values.items():
        keeper.hear(Scalars(step=step, values={tag: value}))
    return keeper.summary(step=max(values)).values[tag]


@pytest.mark.parametrize(
    ("tag", "best"),
    [
        ("voices/sim_o/mean", (30, 4.0)),
        ("voices/wer", (20, -0.5)),
        ("voices/f0_median_shift_cents/mean", (20, -0.5)),
        ("voices/dur_ratio/mean", (10, 1.75)),
    ],
)
def test_best_follows_the_direction_of_the_tag(tag: str, best: tuple[int, float]) -> None:
    value = summary_of(tag, {10: 1.75, 20: -0.5, 30: 4.0, 40: 2.0})
    assert (value.best_step, value.best) == best
    assert (value.last_step, value.last) == (40, 2.0)


def test_a_value_that_is_not_finite_is_never_the_best_but_may_be_the_last() -> None:
    value = summary_of("outputs/nll/mean", {1: 3.0, 2: -math.inf, 3: math.nan})
    assert (value.best_step, value.best, value.last_step) == (1, 3.0, 3)
    assert math.isnan(value.last)
    nothing_finite = summary_of("outputs/nll/mean", {1: math.nan})
    assert (nothing_finite.best, nothing_finite.best_step) == (None, None)


def test_of_equal_values_the_earliest_is_the_best() -> None:
    assert summary_of("voices/wer", {1: 0.4, 2: 0.1, 3: 0.1}).best_step == 2


def test_tags_without_direction_and_other_events_are_left_out() -> None:
    keeper = SummaryKeeper()
    keeper.hear(Scalars(step=1, values={"inputs/padding_pct": 3.0, "outputs/nll/codebook_3": 1.0, "eval/loss": 2.0}))
    keeper.hear(Text(step=1, tag="voices/wer", text="0.1"))
    assert list(keeper.summary(step=1).values) == ["eval/loss"]


def test_a_step_that_is_computed_again_replaces_the_earlier_value() -> None:
    keeper = SummaryKeeper()
    for step, value in ((1, 0.2), (2, 0.9), (2, 0.3)):
        keeper.hear(Scalars(step=step, values={"voices/sim_o/mean": value}))
    assert keeper.summary(step=2).values["voices/sim_o/mean"] == SummaryValue(
        last=0.3, last_step=2, best=0.3, best_step=2
    )


def test_a_long_run_keeps_a_bounded_number_of_points_and_its_best_value() -> None:
    keeper = SummaryKeeper()
    steps = 3 * KEPT
    for step in range(steps):
        keeper.hear(Scalars(step=step, values={"outputs/nll/mean": abs(step - 100) + 1.0}))
    value = keeper.summary(step=steps).values["outputs/nll/mean"]
    assert (value.best_step, value.best, value.last_step) == (100, 1.0, steps - 1)
    assert keeper.points == KEPT + 1 and value.base == 101.0


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(points=POINTS, saved_at=st.integers(0, 50), tag=st.sampled_from(["eval/loss", "voices/sim_o/mean"]))
def test_a_resumed_training_has_the_summary_of_an_uninterrupted_one(
    points: list[tuple[int, float]], saved_at: int, tag: str
) -> None:
    whole, part, first, resumed = (SummaryKeeper() for _ in range(4))
    for step, value in sorted(points):
        whole.hear(Scalars(step=step, values={tag: value}))
        if step <= saved_at:
            part.hear(Scalars(step=step, values={tag: value}))
        first.hear(Scalars(step=step, values={tag: value if step <= saved_at else 0.5 * value}))
    resumed.restore(json.loads(json.dumps(first.state(saved_at))))
    assert resumed.points <= 3
    assert resumed.summary(step=50) == part.summary(step=50)
    for step, value in sorted(points):
        if step > saved_at:
            resumed.hear(Scalars(step=step, values={tag: value}))
    assert resumed.summary(step=50) == whole.summary(step=50)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(points=POINTS, better=st.sampled_from(["higher", "lower", "zero", "one"]))
def test_no_point_is_better_than_the_best(points: list[tuple[int, float]], better: str) -> None:
    value = summarize(points, better)  # type: ignore[arg-type]
    assert value is not None and value.best is not None
    assert (value.best_step, value.best) in points
    wins = {
        "higher": lambda other: other > value.best,
        "lower": lambda other: other < value.best,
        "zero": lambda other: abs(other) < abs(value.best),
        "one": lambda other: abs(other - 1) < abs(value.best - 1),
    }[better]
    assert not any(wins(other) for _, other in points)


def test_every_score_with_a_direction_has_it_under_the_tag_that_is_logged() -> None:
    for score in SCORES:
        tag = f"voices/{score.name}/mean" if score.mean else f"voices/{score.name}"
        assert direction(tag) == score.better, tag


SUMMARY = Summary(
    step=30,
    values={
        "voices/sim_o/mean": SummaryValue(last=0.5, last_step=30, best=0.75, best_step=20, base=0.25),
        "voices/silence_pct/mean": SummaryValue(last=float("nan"), last_step=30),
    },
)


def test_tensorboard_lists_the_best_values_among_the_metrics_of_hparams(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path, config={"lr": 0.1})
    tracker.emit(SUMMARY)
    tracker.close()
    assert read_tensorboard(tmp_path).scalars == {("summary/best/voices/sim_o/mean", 30): 0.75}


def test_wandb_has_best_and_steps_in_the_summary_of_the_run(tmp_path: Path) -> None:
    tracker = WandbTracker(tmp_path, project="p", name="a", config={})
    tracker.emit(Scalars(step=30, values={"voices/sim_o/mean": 0.5}))
    tracker.emit(SUMMARY)
    tracker.close()
    summary: dict[str, object] = {}
    for record in records(run_directories(tmp_path)[0]):
        if record["type"] == "summary":
            summary |= record["summary"].get("update", {})
    wanted = {
        "base/voices/sim_o/mean": 0.25,
        "best/voices/sim_o/mean": 0.75,
        "best_step/voices/sim_o/mean": 20,
        "last_step/voices/sim_o/mean": 30,
        "last_step/voices/silence_pct/mean": 30,
        "voices/sim_o/mean": 0.5,
    }
    assert {key: summary.get(key) for key in wanted} == wanted


def test_json_lines_hold_the_summary_as_strict_json(tmp_path: Path) -> None:
    tracker = JsonLinesTracker(tmp_path)
    tracker.emit(SUMMARY)
    tracker.close()
    line = json.loads((tmp_path / "record/events.jsonl").read_text().splitlines()[1])
    assert (line["kind"], line["step"]) == ("Summary", 30)
    written = {"last": 0.5, "last_step": 30, "best": 0.75, "best_step": 20, "base": 0.25}
    assert line["values"]["voices/sim_o/mean"] == written
    assert line["values"]["voices/silence_pct/mean"]["last"] == "nan"
