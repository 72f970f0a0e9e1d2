"""Comparison of runs in numbers: the same from every backend, paired by voice, without unsupported claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import write_curves
from speaking_runs import write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracker_logging.dashboards.compare import compare
from tracker_logging.dashboards.comparison import compare_runs, differing_settings
from tracker_logging.dashboards.page_sound import by_importance
from tracker_logging.dashboards.voice_index import score_table

from tracker_logging.cli import main
from tracker_logging.doctor.finding import Finding as DoctorsFinding
from tracker_logging.events import Findings, Scalars
from tracker_logging.runs import NotARunError, open_run
from tracker_logging.trackers.findings_file import FindingsFileTracker
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.wandb import WandbTracker


def index(**runs: dict[str, list[tuple[int, float]]]) -> dict[str, Any]:
    """Runs as {voice: [(step, sim_o), …]}."""
    ids = sorted({voice for voices in runs.values() for voice in voices})
    entries = {
        run: {
            voice: [{"step": step, "scores": {"sim_o": value, "silence_pct": value}} for step, value in rows]
            for voice, rows in voices.items()
        }
        for run, voices in runs.items()
    }
    voices = [{"id": voice, "generated": {run: e[voice] for run, e in entries.items() if voice in e}} for voice in ids]
    return {"runs": [{"name": name} for name in runs], "voices": voices, "scores": score_table()}


def sim_o(pair: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in pair["scores"] if row["name"] == "sim_o")


def test_voices_of_the_same_id_are_paired_and_the_others_are_listed() -> None:
    pair = compare_runs(index(a={"v": [(1, 0.5)], "x": [(1, 0.1)]}, b={"v": [(1, 0.7)], "y": [(1, 0.9)]}))["pairs"][0]
    assert (pair["paired"], pair["only_first"], pair["only_second"]) == (["v"], ["x"], ["y"])
    assert sim_o(pair)["difference"] == pytest.approx(0.2)
    assert sim_o(pair)["verdict"] == "none"
    assert "1 voice; no difference is claimed without an interval (1 speaker, it needs 5)" in sim_o(pair)["sentence"]


def test_runs_are_compared_at_the_last_step_that_both_have_reached() -> None:
    pair = compare_runs(index(a={"v": [(100, 0.1), (200, 0.2), (300, 0.9)]}, b={"v": [(100, 0.1), (250, 0.6)]}))[
        "pairs"
    ][0]
    assert pair["step"] == 250
    assert (sim_o(pair)["first"], sim_o(pair)["second"]) == (0.2, 0.6)


def test_a_steady_difference_is_shown_and_a_mixed_one_is_not() -> None:
    voices = [f"v{i}" for i in range(12)]
    before = {voice: [(1, 0.5 + 0.01 * i)] for i, voice in enumerate(voices)}
    steady = {voice: [(1, 0.6 + 0.01 * i + 0.001 * (i % 3))] for i, voice in enumerate(voices)}
    mixed = {voice: [(1, 0.5 + 0.01 * i + (0.1 if i % 2 else -0.1))] for i, voice in enumerate(voices)}
    better, none = compare_runs(index(a=before, b=steady, c=mixed))["pairs"]
    assert sim_o(better)["verdict"] == "better"
    assert sim_o(none)["verdict"] == "none"
    assert "no difference shown with 12 voices" in sim_o(none)["sentence"]
    assert [row["verdict"] for row in better["scores"] if row["name"] == "silence_pct"] == ["different"]


def test_what_should_be_near_zero_or_one_is_better_when_it_is_nearer() -> None:
    scores = [
        {"name": name, "unit": "", "better": better, "of": "generated"}
        for name, better in (("a", "zero"), ("b", "one"))
    ]
    entry = lambda a, b: [{"step": 1, "scores": {"a": a, "b": b}}]  # noqa: E731
    voices = [{"id": str(i), "generated": {"x": entry(-3.0 - i, 2.0 + i), "y": entry(1.0, 0.9)}} for i in range(5)]
    pair = compare_runs({"runs": [{"name": "x"}, {"name": "y"}], "scores": scores, "voices": voices})["pairs"][0]
    assert [row["verdict"] for row in pair["scores"]] == ["better", "better"]


def test_last_and_best_are_means_over_voices_with_their_steps() -> None:
    run = compare_runs(index(a={"v": [(1, 0.2), (2, 0.9), (3, 0.4)], "w": [(1, 0.4), (2, 0.7), (3, 0.6)]}))["runs"][0]
    scores = {score["name"]: score for score in run["scores"]}
    assert scores["sim_o"]["last"] == {"step": 3, "mean": pytest.approx(0.5), "voices": 2}
    assert scores["sim_o"]["best"] == {"step": 2, "mean": pytest.approx(0.8), "voices": 2}
    assert scores["silence_pct"]["best"] is None  # neither high nor low is good


def test_only_differing_settings_are_listed() -> None:
    settings = differing_settings({"a": {"lr": 1, "seed": 3}, "b": {"lr": 2, "seed": 3, "new": True}})
    assert settings["same"] == 1
    assert settings["differing"] == [
        {"name": "lr", "values": {"a": 1, "b": 2}},
        {"name": "new", "values": {"a": None, "b": True}},
    ]


def test_every_backend_gives_the_same_curves_settings_and_findings(tmp_path: Path) -> None:
    config = {"lr": 0.5, "data": {"file": "train.json"}, "none": None}
    trackers = [
        TensorBoardTracker(tmp_path / "tensorboard", name="a", config=config),
        WandbTracker(tmp_path / "wandb", project="p", name="a", config=config),
        JsonLinesTracker(tmp_path / "lines", name="a", config=config),
    ]
    for tracker in trackers:
        write_curves(tracker, slope=1.0)
    runs = [open_run(tmp_path / name) for name in ("tensorboard", "wandb", "lines")]
    assert [run.source for run in runs] == ["TensorBoard", "W&B", "JSON lines"]
    for run in runs:
        assert run.settings == {"data.file": "train.json", "lr": 0.5, "none": "none"}
        assert [(alert.step, alert.title, alert.text) for alert in run.alerts] == [
            (9, "Voices collapse", "<b>between_speaker</b> | rises.\nWait.")
        ]
        assert run.scalars.keys() == runs[0].scalars.keys()
        for tag, series in run.scalars.items():
            assert series.steps == runs[0].scalars[tag].steps
            assert series.values == pytest.approx(runs[0].scalars[tag].values, nan_ok=True)
    assert [run.alerts[0].level for run in runs] == [None, "warning", "warning"]


def test_findings_replace_the_alerts_about_them(tmp_path: Path) -> None:
    trackers = [
        TensorBoardTracker(tmp_path / "run", name="a"),
        WandbTracker(tmp_path / "run", project="p", name="a", config={}),
        JsonLinesTracker(tmp_path / "run", name="a"),
    ]
    for tracker in trackers:
        write_curves(tracker, slope=1.0)
    report = FindingsFileTracker(tmp_path / "run")
    words = {"cause": "an average.", "fix": "balance.", "certainty": "likely"}
    findings = [
        DoctorsFinding(name="voices_collapse", level="warning", seen="0.9 alike", since=7, until=15, **words),
        DoctorsFinding(name="no_gradient", level="error", seen="0 everywhere", since=3, **words),
    ]
    report.emit(Findings(step=20, findings=tuple(findings)))
    places = (tmp_path / "run", next((tmp_path / "run/wandb").glob("*run-*")), tmp_path / "run/record")
    for rows in compare(places).as_json()["findings"].values():
        assert [(row["step"], row["until"], row["level"]) for row in rows] == [(3, None, "error"), (7, 15, "warning")]
        assert rows[1]["text"] == (
            "Voices collapse\nMeasured: 0.9 alike.\nLikely cause (likely): an average.\nWhat to do: balance."
        )


def test_curves_are_those_that_tensorboard_reads(tmp_path: Path) -> None:
    write_curves(TensorBoardTracker(tmp_path / "run"), slope=0.3)
    accumulator = EventAccumulator(str(tmp_path / "run"))
    accumulator.Reload()
    run = open_run(tmp_path / "run")
    for tag in accumulator.Tags()["scalars"]:
        wanted = [(event.step, event.value) for event in accumulator.Scalars(tag)]
        assert run.scalars[tag].steps == tuple(step for step, _ in wanted)
        assert run.scalars[tag].values == pytest.approx([value for _, value in wanted], nan_ok=True)


def test_a_resumed_run_has_no_doubles(tmp_path: Path) -> None:
    for purge, values in ((None, {1: 1.0, 2: 2.0, 3: 3.0}), (3, {3: 30.0})):
        tracker = TensorBoardTracker(tmp_path, purge_step=purge)
        for step, value in values.items():
            tracker.emit(Scalars(step=step, values={"loss": value}))
        tracker.close()
    assert open_run(tmp_path).scalars["loss"].points == ((1, 1.0), (2, 2.0), (3, 30.0))


def test_a_place_without_a_run_is_refused_with_the_runs_below_it(tmp_path: Path) -> None:
    TensorBoardTracker(tmp_path / "runs" / "a").close()
    with pytest.raises(NotARunError, match="Runs below it: a\\."):
        open_run(tmp_path / "runs")
    with pytest.raises(NotARunError, match="no such directory"):
        open_run(tmp_path / "nowhere")


def test_the_command_reports_an_error_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == f"tracker-logging compare: {tmp_path / 'a'}: no such directory.\n"
    assert main(["compare", str(tmp_path)]) == 2


def test_the_command_prints_the_comparison_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, skill in (("a", 0.5), ("b", 1.0)):
        write_run(tmp_path / name, steps=[1, 2], voices=3, skill=skill)
        write_curves(TensorBoardTracker(tmp_path / name), slope=skill)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert sim_o(printed["pairs"][0])["difference"] == pytest.approx(0.15)
    assert not (Path.cwd() / "compare.html").exists()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
def test_every_step_is_in_the_order_of_importance_once(count: int) -> None:
    steps = list(range(0, 10 * count, 10))
    order = by_importance(steps)
    assert sorted(order) == steps
    assert order[:2] == [steps[-1], steps[0]][: len(order)] if count else order == []
