"""Comparison of runs in numbers: the same from every backend, paired by voice, without unsupported claims."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import write_curves
from scored_runs import run_of
from speaking_runs import write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracker_logging.dashboards.compare import compare
from tracker_logging.dashboards.comparison import Side, compare_sides, gain
from tracker_logging.dashboards.conditions import differing_settings
from tracker_logging.dashboards.leaderboard import every_score, leaderboard
from tracker_logging.dashboards.page_sound import by_importance

from tracker_logging.cli import main
from tracker_logging.doctor.finding import Finding as DoctorsFinding
from tracker_logging.events import Finding, Findings, Scalars
from tracker_logging.runs import NotARunError, Run, VoiceStep, open_run
from tracker_logging.trackers.findings_file import FindingsFileTracker
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.tensorboard_names import logged_name
from tracker_logging.trackers.wandb import WandbTracker


def runs(**runs: dict[str, dict[int, float]]) -> dict[str, Run]:
    """Runs as {voice: {step: sim_o}}; every voice is a speaker of its own."""
    scores = {
        name: {
            voice: {step: {"sim_o": value, "silence_pct": value} for step, value in steps.items()}
            for voice, steps in voices.items()
        }
        for name, voices in runs.items()
    }
    return {name: run_of(name, of_run, speakers=1000) for name, of_run in scores.items()}


def pairs(of_runs: dict[str, Run]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = compare_sides([Side(name, {name: run}) for name, run in of_runs.items()])["pairs"]
    return result


def waiting(run: Run, *, step: int, voices: Sequence[str]) -> Run:
    """The run while the clips of these voices wait for their scores: they have those of the generation alone."""
    clip = VoiceStep(step=step, scores={"repetition": 0.0}, scored=False)
    changed = {name: replace(run.voices[name], steps={**run.voices[name].steps, step: clip}) for name in voices}
    return replace(run, voices={**run.voices, **changed})


def sim_o(pair: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in pair["scores"] if row["name"] == "sim_o")


def test_voices_of_the_same_id_are_paired_and_the_others_are_listed() -> None:
    (pair,) = pairs(runs(a={"v1": {1: 0.5}, "v2": {1: 0.1}}, b={"v1": {1: 0.7}, "v3": {1: 0.9}}))
    assert (pair["paired"], pair["only_first"], pair["only_second"]) == (["v1"], ["v2"], ["v3"])
    assert sim_o(pair)["difference"] == pytest.approx(0.2)
    assert "too few speakers to tell (+0.2; 1 voice of 1 speaker, it needs 6 speakers)" in sim_o(pair)["sentence"]


def test_runs_without_a_common_voice_are_not_compared() -> None:
    (pair,) = pairs(runs(a={"v1": {1: 0.5}}, b={"v2": {1: 0.5}}))
    assert (pair["paired"], pair["scores"]) == ([], [])
    assert "no voice in common" in pair["reason"]


def test_runs_are_compared_at_the_last_step_that_both_have() -> None:
    (pair,) = pairs(runs(a={"v1": {100: 0.1, 200: 0.2, 300: 0.9}}, b={"v1": {100: 0.4, 250: 0.6}}))
    assert pair["steps"] == {"a": 100, "b": 100}
    assert (sim_o(pair)["first"], sim_o(pair)["second"]) == (0.1, 0.4)


def test_a_steady_difference_is_shown_and_a_mixed_one_is_not() -> None:
    voices = [f"v{i}" for i in range(12)]
    before = {voice: {1: 0.5 + 0.01 * i} for i, voice in enumerate(voices)}
    steady = {voice: {1: 0.6 + 0.01 * i + 0.001 * (i % 3)} for i, voice in enumerate(voices)}
    mixed = {voice: {1: 0.5 + 0.01 * i + (0.1 if i % 2 else -0.1)} for i, voice in enumerate(voices)}
    better, none = pairs(runs(a=before, b=steady, c=mixed))
    assert sim_o(better)["verdict"] == "better"
    assert sim_o(none)["verdict"] == "none"
    assert "no difference shown" in sim_o(none)["sentence"] and "would be found in 80 %" in sim_o(none)["sentence"]
    assert [row["verdict"] for row in better["scores"] if row["name"] == "silence_pct"] == [""]


def test_what_should_be_near_zero_or_one_is_better_when_it_is_nearer() -> None:
    values = np.array([-3.0, 0.5, 2.0])
    assert gain(values, "zero").tolist() == [-3.0, -0.5, -2.0]
    assert gain(values, "one").tolist() == [-4.0, -0.5, -1.0]
    assert gain(values, "lower").tolist() == [3.0, -0.5, -2.0]


def test_last_and_best_are_means_over_voices_with_their_steps() -> None:
    (run,) = runs(a={"v1": {1: 0.2, 2: 0.9, 3: 0.4}, "v2": {1: 0.4, 2: 0.7, 3: 0.6}}).values()
    scores = {score["name"]: score for score in every_score({"a": run.voices})[0]["scores"]}
    assert scores["sim_o"]["last"] == {"step": 3, "mean": pytest.approx(0.5), "voices": 2}
    assert scores["sim_o"]["best"] == {"step": 2, "mean": pytest.approx(0.8), "voices": 2}
    assert scores["silence_pct"]["best"] is None  # neither high nor low is good


def test_a_line_of_the_leaderboard_has_the_last_finished_round_and_the_open_findings() -> None:
    (run,) = runs(a={f"v{i}": {1: 0.2, 2: 0.1 * i, 3: 0.4, 4: 0.9} for i in range(6)}).values()
    run = waiting(run, step=4, voices=["v1", "v2", "v3", "v4", "v5"])  # of a fourth round only one voice is scored yet
    words: dict[str, Any] = {"level": "warning", "seen": "", "cause": "", "fix": "", "certainty": "likely"}
    findings = [Finding(name="voices_collapse", since=1, **words), Finding(name="late", since=1, until=2, **words)]
    (line,) = leaderboard({"a": run.voices}, findings={"a": findings})
    assert (line["step"], line["best_step"], line["best_by"], line["voices"]) == (3, 3, "sim_o", 6)
    assert line["curve"] == [[1, 0.2], [2, 0.25], [3, 0.4]]
    assert line["scores"]["sim_o"]["mean"] == 0.4
    assert line["scores"]["sim_o"]["voices"] == 6
    assert line["findings"] == [{"name": "Voices collapse", "level": "warning"}]


def test_steps_of_the_leaderboard_are_those_that_have_the_voices_of_the_last_one() -> None:
    """Resumed with fewer prompts, and with more: means of other voices would rise and fall with the voices."""
    early, late = {0: 0.2, 500: 0.9}, {1000: 0.4, 1500: 0.5}
    fewer, more = runs(
        fewer={f"v{i}": (early | late if i < 2 else dict.fromkeys(early, 1.0)) for i in range(6)},
        more={f"v{i}": (early | late if i < 2 else late) for i in range(6)},
    ).values()
    lines = {line["name"]: line for line in leaderboard({"fewer": fewer.voices, "more": more.voices}, findings={})}
    assert (lines["fewer"]["step"], lines["fewer"]["best_step"]) == (1500, 500)
    assert lines["fewer"]["curve"] == [[0, 0.2], [500, 0.9], [1000, 0.4], [1500, 0.5]]
    assert lines["fewer"]["scores"]["sim_o"]["voices"] == 2
    assert lines["more"]["curve"] == [[1000, 0.4], [1500, 0.5]]


def test_a_round_that_waits_for_scores_is_left_out_and_named_whatever_came_later() -> None:
    a, b = runs(
        a={f"v{i}": {1: 0.1, 2: 0.2, 3: 0.3} for i in range(4)}, b={f"v{i}": {1: 0.3, 2: 0.4} for i in range(4)}
    ).values()
    b = waiting(b, step=2, voices=["v3"])
    for at, steps in (("last-common", {"a": 1, "b": 1}), ("last", {"a": 3, "b": 1}), ("best", {"a": 1, "b": 1})):
        (pair,) = compare_sides([Side("a", {"a": a}), Side("b", {"b": b})], at=at)["pairs"]
        assert pair["steps"] == steps
        assert "Left out as clips wait for their scores: step 2 of b (1 of 4 clips)." in pair["note"]
    (pair,) = pairs({"a": waiting(a, step=2, voices=["v0"]), "b": a})
    assert (pair["steps"], pair["note"]) == ({"a": 3, "b": 3}, "")


def test_voices_without_a_common_scored_step_are_not_compared() -> None:
    (pair,) = pairs(runs(a={"v1": {1: 0.1}, "v2": {2: 0.1}}, b={"v1": {2: 0.1}, "v2": {1: 0.1}}))
    assert (pair["steps"], pair["scores"]) == ({}, [])
    assert "No step has scores of the same voices in all of them (a: 1, 2; b: 1, 2)" in pair["reason"]
    of_runs = runs(
        a={"v1": {1: 0.1}, "v2": {2: 0.1}}, b={"v1": {1: 0.1}, "v2": {1: 0.1, 3: 0.1}, "v3": {1: 0.1, 4: 0.1}}
    )
    (pair,) = compare_sides([Side(name, {name: run}) for name, run in of_runs.items()], at="last")["pairs"]
    assert (pair["steps"], pair["paired"]) == ({"a": 2, "b": 3}, ["v2"])


def test_other_recordings_and_another_codec_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        write_run(tmp_path / name, steps=[1], voices=3)
    places = [str(tmp_path / name) for name in "ab"]
    assert main(["compare", *places, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["conditions"] == []
    for voice, kind, loudness in (
        ("voice-00", "reference", 0.5),
        ("voice-01", "codec", 0.9),
        ("voice-02", "codec", 0.99999),
    ):
        file = tmp_path / "b/voices" / voice / f"{kind}.flac"
        samples, rate = soundfile.read(file)
        soundfile.write(file, loudness * samples, rate)
    assert main(["compare", *places, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [(row["kind"], row["text"]) for row in result["pairs"][0]["conditions"]] == [
        ("codec", "other copies of the same recordings of 1 of 3 voices (voice-01)"),
        ("prompts", "other reference recordings of 1 of 3 voices (voice-00)"),
    ]
    assert "codec (other copies of the same recordings of 1 of 3 voices (voice-01))" in result["answer"][0]


def test_only_differing_settings_are_listed() -> None:
    settings = differing_settings({"a": {"lr": 1, "seed": 3}, "b": {"lr": 2, "seed": 3, "new": True}})
    assert settings["same"] == 1
    assert settings["differing"] == [
        {"name": "lr", "about": "training", "values": {"a": 1, "b": 2}},
        {"name": "new", "about": "training", "values": {"a": None, "b": True}},
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
        assert run.scalars[logged_name(tag)].steps == tuple(step for step, _ in wanted)
        assert run.scalars[logged_name(tag)].values == pytest.approx([value for _, value in wanted], nan_ok=True)


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


def test_runs_with_a_setting_that_is_not_finite_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, norm in (("a", 1.0), ("b", math.inf), ("c", math.nan)):
        write_run(tmp_path / name, steps=[1], voices=1)
        write_curves(TensorBoardTracker(tmp_path / name, config={"max_grad_norm": norm}), slope=1.0)
    page = tmp_path / "page.html"
    assert main(["compare", *(str(tmp_path / name) for name in "abc"), "--json", "-o", str(page)]) == 0
    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    (row,) = printed["settings"]["differing"]
    assert row["values"] == {"a": 1, "b": "Infinity", "c": "NaN"} and page.is_file()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
def test_every_step_is_in_the_order_of_importance_once(count: int) -> None:
    steps = list(range(0, 10 * count, 10))
    order = by_importance(steps)
    assert sorted(order) == steps
    assert order[:2] == [steps[-1], steps[0]][: len(order)] if count else order == []
