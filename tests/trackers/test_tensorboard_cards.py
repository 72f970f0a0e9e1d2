"""TensorBoard does not drown a newcomer: few cards by default, what matters first, and nothing lost."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from large_model_run import write_large_model_run
from read_back import read_jsonl, read_tensorboard, same_scalars, tensorboard_values
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.custom_scalar import layout_pb2

from tracker_logging import tags
from tracker_logging.config import LoggingConfig
from tracker_logging.events import Scalars, Table
from tracker_logging.runs.open import open_run
from tracker_logging.trackers.event_file import EventFile
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.over_time import FamilyPictures
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.tensorboard_names import CARDS, logged_name, shown_name

MOST_CARDS = 60


def cards(directory: Path) -> list[str]:
    """The tags that TensorBoard's Scalars and Time Series tabs show as a chart."""
    return sorted({value.tag for _, value in tensorboard_values(directory) if value.HasField("simple_value")})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 28 layers and 8 codebooks with each detail, and its record."""
    place = tmp_path_factory.mktemp("cards")
    write_large_model_run(TensorBoardTracker(place / "standard"))
    write_large_model_run(TensorBoardTracker(place / "full", detail="full"))
    write_large_model_run(JsonLinesTracker(place / "record"))
    return place


def test_a_model_of_28_layers_and_8_codebooks_has_at_most_60_cards(runs: Path) -> None:
    assert 40 <= len(cards(runs / "standard")) <= MOST_CARDS
    assert len(cards(runs / "full")) > 600


def test_with_both_details_the_same_values_are_read_back(runs: Path) -> None:
    record = read_jsonl(runs / "record")
    for detail in ("standard", "full"):
        run = read_tensorboard(runs / detail)
        assert run.doubles == []
        run.scalars = {key: value for key, value in run.scalars.items() if not key[0].startswith("summary/")}
        assert same_scalars(run, record), detail


def test_what_to_read_first_is_in_the_first_groups(runs: Path) -> None:
    groups = list(dict.fromkeys(name.partition("/")[0] for name in cards(runs / "standard")))
    assert groups[:4] == ["1_voices", "2_conditioning", "3_doctor", "4_voices"]
    texts = [v.tag for _, v in tensorboard_values(runs / "standard") if v.metadata.plugin_data.plugin_name == "text"]
    assert sorted(texts)[0].startswith("1_voices/") and "1_voices/table" in texts


def test_families_without_cards_are_one_picture_each(runs: Path) -> None:
    pictures = {tag for tag, _ in read_tensorboard(runs / "standard").pictures}
    assert {"over_time/outputs_nll", "over_time/attention_entropy", "over_time/gradients_norm"} <= pictures
    assert {tags.find(tag).template for tag in pictures} == {tags.OVER_TIME.template}
    assert read_tensorboard(runs / "full").pictures == {}


def test_a_picture_is_drawn_at_every_fourth_step_and_at_the_end() -> None:
    families, drawn = FamilyPictures(), []
    for step in range(1, 11):
        families.add(step, {f"outputs/nll/codebook_{codebook}": step + codebook / 10 for codebook in range(2)})
        drawn += [(image.step, image.picture) for image in families.images(step)]
    drawn += [(image.step, image.picture) for image in families.images(10, is_last=True)]
    assert [step for step, _ in drawn] == [2, 3, 4, 8, 10]
    last = drawn[-1][1]
    assert last.values.shape == (2, 10) and last.values[1, 9] == np.float32(10.1) and last.unit == "nats"
    assert list(families.images(10, is_last=True)) == []


def test_every_card_has_a_description(runs: Path) -> None:
    first = {}
    for _, value in tensorboard_values(runs / "standard"):
        if value.metadata.plugin_data.plugin_name == "scalars":
            first.setdefault(logged_name(value.tag), value.metadata)
    assert first.keys() == {logged_name(name) for name in cards(runs / "standard")}
    without = [tag for tag, metadata in first.items() if not metadata.summary_description]
    assert without == [tag for tag in without if tag.startswith("train/")]
    assert "speaker similarity" in first["voices/sim_o/mean"].summary_description
    assert "higher is better" in first["voices/sim_o/mean"].summary_description


def last_layout(directory: Path) -> layout_pb2.Layout:
    contents = [v.tensor.string_val[0] for _, v in tensorboard_values(directory) if v.tag == "custom_scalars__config__"]
    return layout_pb2.Layout.FromString(contents[-1])


@pytest.mark.parametrize("detail", ["standard", "full"])
def test_no_chart_of_custom_scalars_is_empty(runs: Path, detail: str) -> None:
    names = cards(runs / detail)
    shown = [chart for category in last_layout(runs / detail).category for chart in category.chart]
    assert len(shown) >= (5 if detail == "standard" else 25)
    for chart in shown:
        for pattern in chart.multiline.tag:
            assert any(re.match(pattern, name) for name in names), chart.title
        for series in chart.margin.series:
            assert {series.value, series.lower, series.upper} <= set(names), chart.title
        assert "/" not in chart.title and "{" not in chart.title


def test_intervals_are_margins(runs: Path) -> None:
    shown = [chart for category in last_layout(runs / "standard").category for chart in category.chart]
    margins = {series.value: series.upper for chart in shown for series in chart.margin.series}
    assert margins["9_summary/interval/voices/sim_o/mean"] == "9_voices/sim_o/high"
    assert margins["9_summary/interval/conditioning/gap/mean"] == "9_conditioning/gap/high"


def test_what_is_drawn_with_its_interval_has_the_steps_of_its_bounds(tmp_path: Path) -> None:
    """TensorBoard shows an error in place of the chart if the three series have other steps."""
    tracker = TensorBoardTracker(tmp_path)
    tracker.emit(Scalars(step=0, values={"voices/sim_o/mean": 0.5, "voices/sim_o/n": 4.0}))  # too few for an interval
    for step in (1, 2):
        names = ("mean", "low", "high", "n")
        tracker.emit(Scalars(step=step, values={f"voices/sim_o/{name}": 0.5 for name in names}))
    tracker.close()
    steps: dict[str, set[int]] = {}
    for step, value in tensorboard_values(tmp_path):
        steps.setdefault(value.tag, set()).add(step)
    (chart,) = (c for category in last_layout(tmp_path).category for c in category.chart if c.margin.series)
    (series,) = chart.margin.series
    assert [steps[name] for name in (series.value, series.lower, series.upper)] == [{1, 2}] * 3
    assert steps["1_voices/sim_o/mean"] == {0, 1, 2}


def test_an_empty_run_has_no_charts_and_an_empty_table_is_not_written(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.emit(Table(step=1, tag="doctor/findings", columns=("name",), rows=()))
    tracker.close()
    assert tensorboard_values(tmp_path) == []


def test_names_of_earlier_versions_stay_readable_and_continue(tmp_path: Path) -> None:
    old = EventFile(tmp_path, on_begin=lambda file: None)
    for step in (1, 2):
        value = summary_pb2.Summary.Value(tag="outputs/nll/mean", simple_value=float(step))
        old.append(event_pb2.Event(step=step, summary=summary_pb2.Summary(value=[value])))
    old.close()
    tracker = TensorBoardTracker(tmp_path, purge_step=2)
    tracker.emit(Scalars(step=2, values={"outputs/nll/mean": 5.0, "outputs/nll/codebook_0": 6.0}))
    tracker.close()
    run = open_run(tmp_path)
    assert list(run.scalars["outputs/nll/mean"].points) == [(1, 1.0), (2, 5.0)]
    assert list(run.scalars["outputs/nll/codebook_0"].points) == [(2, 6.0)]


def test_a_digit_is_taken_off_only_where_it_was_put() -> None:
    for tag in tags.ALL:
        name = tag(**dict.fromkeys(re.findall(r"\{(\w+)\}", tag.template), "a"))
        assert logged_name(shown_name(name)) == name
    assert shown_name("train/loss") == "train/loss" and shown_name("mine/nll") == "mine/nll"
    assert logged_name("1_mine/nll") == "1_mine/nll"


def test_every_card_is_a_tag() -> None:
    assert [name for name in CARDS if tags.find(name.removeprefix("summary/best/")) is None] == []


def test_an_unknown_detail_is_refused() -> None:
    with pytest.raises(ValueError, match=r"detail: 'all' unknown\. Choose of standard, full\."):
        LoggingConfig(detail="all")
