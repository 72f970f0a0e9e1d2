"""`open_run`: the same run from every backend, and what is left of one that was torn, resumed or moved."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracker_examples import HOSTILE, RATE, comparison, finding, one_of_each

from tracker_logging.events import Clip, Findings, Image, Scalars, Table, VoiceComparison
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.rendering.png import encode_png
from tracker_logging.runs import NotARunError, Run, list_runs, open_run
from tracker_logging.runs.tensorboard import shown_tags
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.voice_folder import VoiceFolderTracker
from tracker_logging.trackers.wandb import WandbTracker
from tracker_logging.trackers.wandb_record import run_directories

BACKENDS = ("tensorboard", "jsonl", "wandb")
STEPS = (1, 2, 30)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One run per backend, each alone in its directory, without `voices` and `findings.json`."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WANDB_MODE", "offline")
    place = tmp_path_factory.mktemp("written")
    for backend in BACKENDS:
        info = RunInfo(name=backend, config={"rate": 0.5, "data": {"seed": 3}})
        tracker = open_tracker([backend], directory=place / backend, run=info)
        for step in STEPS:
            for event in one_of_each(step):
                tracker.emit(event)
        tracker.close()
        assert tracker.errors == 0
        shutil.rmtree(place / backend / "voices")
        for path in (place / backend).glob("findings.*"):
            path.unlink()
    yield place
    patch.undo()


@pytest.fixture(scope="module", params=BACKENDS)
def run(request: pytest.FixtureRequest, written: Path) -> Run:
    return open_run(written / request.param)


def generated(step: int) -> Clip:
    return comparison(step).clips["generated"]


def test_scalars_are_series_with_ascending_steps(run: Run) -> None:
    series = run.scalars["outputs/nll/mean"]
    assert series.steps == STEPS
    assert series.values == pytest.approx([1.0, 0.5, 1 / 30], rel=1e-6)
    assert series.last == (30, pytest.approx(1 / 30, rel=1e-6))
    assert series.since(2).steps == (2, 30)
    assert np.isnan(run.scalars["loss"].values).all()
    assert run.last_step == 30


def test_texts_and_tables_are_plain_whatever_the_backend_escapes(run: Run) -> None:
    assert run.texts["outputs/texts"] == {step: f"step {step} | plain" for step in STEPS}
    table = run.tables["inputs/samples"][2]
    assert table.columns == ("text", "n|m", "share")
    assert [cell is None for cell in table.rows[1]] == [False, True, False]
    assert table.rows[0][0].startswith("a|b\n<script>alert(1)</script>")  # type: ignore[union-attr]
    assert float(table.rows[2][2]) == -1.5  # type: ignore[arg-type]


def test_clips_hold_the_samples_that_were_logged(run: Run) -> None:
    assert set(run.clips) == {f"voices/rms_03/{name}" for name in ("reference", "target", "codec", "generated")} | {
        "inputs/audio/reference",
        "inputs/audio/target",
    }
    for step, clip in run.clips["voices/rms_03/generated"].items():
        samples, rate = clip.audio()
        assert rate == RATE
        assert np.array_equal(np.rint(samples * 32768), to_pcm16(generated(step).samples))
        assert clip.length() == (pytest.approx(len(samples) / RATE), RATE)
        assert "the old man" in clip.caption


def test_pictures_and_histograms_are_those_that_were_logged(run: Run) -> None:
    pixels = next(event for event in one_of_each(2) if isinstance(event, Image) and event.tag == "outputs/accuracy_map")
    assert isinstance(pixels.picture, np.ndarray)
    assert np.array_equal(run.pictures["outputs/accuracy_map"][2].pixels(), pixels.picture)
    assert run.pictures["voices/rms_03/mel"][30].pixels().shape[2] == 3
    histogram = run.histograms["sizes"][30]
    assert histogram.counts.sum() == sum(range(600)) + 600 * 30
    assert len(histogram.edges) == len(histogram.counts) + 1


def test_settings_findings_and_alerts_are_the_same_from_every_backend(run: Run) -> None:
    assert run.settings == {"data.seed": 3, "rate": 0.5}
    opened, resolved = run.findings
    assert (opened.name, opened.level, opened.since, opened.until) == ("no_gradient", "error", 30, None)
    assert (resolved.name, resolved.level, resolved.since, resolved.until) == ("silence", "warning", 0, 30)
    assert (opened.cause, opened.certainty, opened.fix) == ("a | cause", "likely", "a fix.")
    assert opened.seen.startswith("a|b\n<script>alert(1)</script>")
    assert [(alert.step, alert.title, alert.text) for alert in run.alerts] == [
        (step, "Loss is NaN!", "Lower the rate.") for step in STEPS
    ]
    assert run.problems == ()


def test_voices_are_read_from_every_backend(run: Run) -> None:
    voice = run.voices["rms_03"]
    assert (voice.speaker, voice.target_text) == ("rms", "The old man painted a red boat.")
    assert set(voice.clips) == {"reference", "target", "codec"}
    assert tuple(voice.steps) == STEPS
    assert voice.steps[2].scores == {"sim_o": pytest.approx(0.52)}
    assert (voice.steps[2].transcript, voice.steps[2].stop_reason) == ("the old man", "eos")
    clip = voice.steps[30].clip
    assert clip is not None and len(clip.audio()[0]) == len(generated(30).samples)


def test_a_voices_folder_alone_is_a_run(tmp_path: Path) -> None:
    for step in STEPS:
        VoiceFolderTracker(tmp_path).emit(replace(comparison(step), error="timed out" if step == 2 else None))
    run = open_run(tmp_path)
    assert (run.source, run.last_step) == ("voices folder", 30)
    voice = run.voices["rms_03"]
    assert set(voice.clips) == {"reference", "target", "codec"}
    assert [step.error for step in voice.steps.values()] == [None, "timed out", None]
    assert {step: row.scores["sim_o"] for step, row in voice.steps.items()} == pytest.approx(
        {1: 0.51, 2: 0.52, 30: 0.8}
    )


def test_a_run_that_was_moved_is_read_with_its_media(written: Path, tmp_path: Path) -> None:
    for backend in BACKENDS:
        moved = Path(shutil.copytree(written / backend, tmp_path / f"moved {backend}"))
        run = open_run(moved)
        assert run.name == f"moved {backend}"
        before = open_run(written / backend)
        assert run.scalars["outputs/nll/mean"] == before.scalars["outputs/nll/mean"]
        assert (run.scalars.keys(), run.texts, run.tables.keys()) == (
            before.scalars.keys(),
            before.texts,
            before.tables.keys(),
        )
        for by_step in run.clips.values():
            for clip in by_step.values():
                assert clip.file is None or clip.file.is_relative_to(tmp_path)
                assert len(clip.audio()[0])


def test_the_last_report_of_the_doctor_counts_also_where_it_is_empty(tmp_path: Path) -> None:
    tracker = JsonLinesTracker(tmp_path)
    tracker.emit(Findings(step=1, findings=(finding(),)))
    assert [found.name for found in open_run(tmp_path).findings] == ["no_gradient"]
    tracker.emit(Findings(step=2, findings=()))
    assert open_run(tmp_path).findings == ()
    tracker.close()


def test_findings_of_a_record_written_before_there_was_an_event_for_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "record").mkdir()
    columns = ["name", "level", "since", "until", "seen", "likely cause", "certainty", "what to do"]
    row = ["silence", "warning", 100, None, "90 %", "a cause.", "likely", "a fix."]
    lines = [
        {"kind": "run", "version": 1, "name": "old", "project": "", "config": {}},
        {"kind": "Table", "step": 100, "tag": "doctor/findings", "columns": columns, "rows": [row]},
    ]
    (tmp_path / "record/events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = open_run(tmp_path).findings
    assert (found.name, found.since, found.until, found.cause, found.fix) == (
        "silence",
        100,
        None,
        "a cause.",
        "a fix.",
    )


@pytest.mark.parametrize("cut", [1, 7, 13, 200])
def test_a_torn_event_file_is_read_up_to_the_tear(tmp_path: Path, cut: int) -> None:
    tracker = TensorBoardTracker(tmp_path)
    for step in (1, 2):
        tracker.emit(Scalars(step=step, values={"loss": float(step)}))
    end = tracker.path.stat().st_size
    tracker.emit(Scalars(step=3, values={"a/long/tag" * 40: 1.0}))
    os.truncate(tracker.path, end + cut)
    run = open_run(tmp_path)
    assert run.scalars["loss"].points == ((1, 1.0), (2, 2.0))
    (problem,) = run.problems
    assert tracker.path.name in problem and f"byte {end} of {end + cut}" in problem


def test_a_corrupt_record_within_an_event_file_does_not_exhaust_memory(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.emit(Scalars(step=1, values={"loss": 1.0}))
    end = tracker.path.stat().st_size
    tracker.emit(Scalars(step=2, values={"loss": 2.0}))
    with tracker.path.open("r+b") as file:
        file.seek(end)
        file.write(b"\xff" * 8)
    run = open_run(tmp_path)
    assert run.scalars["loss"].points == ((1, 1.0),)
    assert len(run.problems) == 1
    assert "loss" in shown_tags(tmp_path)


def test_the_names_that_tensorboard_shows_are_read_up_to_the_damage(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.emit(Scalars(step=1, values={"loss": 1.0}))
    known, end = shown_tags(tmp_path), tracker.path.stat().st_size
    tracker.emit(Scalars(step=2, values={"later": 2.0}))
    with tracker.path.open("r+b") as file:
        file.seek(end + 12)
        file.write(b"\xff" * 8)
    assert shown_tags(tmp_path) == known and "loss" in known


def test_a_record_is_read_around_its_broken_lines(tmp_path: Path) -> None:
    tracker = JsonLinesTracker(tmp_path)
    for step in (1, 2, 3):
        tracker.emit(Scalars(step=step, values={"loss": float(step)}))
    tracker.close()
    path = tmp_path / "record/events.jsonl"
    run_line, first, second, third = path.read_text().splitlines()
    broken = [
        "{not json}",
        '{"kind": "Hologram", "step": 1}',
        '{"kind": "Text", "step": 1}',
        "[]",
        '{"kind": "Audio", "step": 1, "tag": "t", "clips": {"a": {"file": "../../a.wav", "caption": ""}}}',
    ]
    path.write_text("\n".join([run_line, first, *broken, second, third[:-5]]))
    run = open_run(tmp_path)
    assert run.scalars["loss"].points == ((1, 1.0), (2, 2.0))
    assert [problem.partition(":")[0] for problem in run.problems] == [
        "events.jsonl line 3 is not JSON",
        "events.jsonl line 4 is skipped",
        "events.jsonl line 5 is skipped",
        "events.jsonl line 6 is no object; the line is skipped.",
        "events.jsonl line 7 is skipped",
        "events.jsonl",
    ]
    assert "Hologram" in run.problems[1] and "leads out" in run.problems[4] and "incomplete" in run.problems[5]


@pytest.mark.parametrize("backend", [TensorBoardTracker, JsonLinesTracker])
def test_of_a_step_that_a_resumed_run_computed_again_the_later_value_counts(tmp_path: Path, backend: type) -> None:
    for purge, values in ((None, {1: 1.0, 2: 2.0, 3: 3.0}), (2, {2: 20.0})):
        tracker = backend(tmp_path, purge_step=purge)
        for step, value in values.items():
            tracker.emit(Scalars(step=step, values={"loss": value}))
        tracker.close()
    assert open_run(tmp_path).scalars["loss"].points == ((1, 1.0), (2, 20.0))


@pytest.mark.parametrize("backend", [TensorBoardTracker, JsonLinesTracker])
def test_of_a_step_that_was_written_twice_the_later_value_counts(tmp_path: Path, backend: type) -> None:
    tracker = backend(tmp_path)
    for step, value in ((1, 1.0), (2, 2.0), (1, 10.0)):
        tracker.emit(Scalars(step=step, values={"loss": value}))
    tracker.close()
    assert open_run(tmp_path).scalars["loss"].points == ((1, 10.0), (2, 2.0))


def test_a_resumed_wandb_run_is_read_from_all_its_directories_up_to_the_named_one(tmp_path: Path) -> None:
    for step in (1, 2):
        tracker = WandbTracker(tmp_path, project="p", name="a", config={}, run_id="abc")
        tracker.emit(Scalars(step=step, values={"loss": float(step)}))
        tracker.close()
    first, second = run_directories(tmp_path)
    assert open_run(tmp_path).scalars["loss"].steps == (1, 2)
    assert open_run(second).scalars["loss"].steps == (1, 2)
    assert open_run(first).scalars["loss"].steps == (1,)


def test_event_files_of_other_writers_are_purged_at_a_resume_as_tensorboard_does(tmp_path: Path) -> None:
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path))
    for step in (1, 2, 3):
        event = event_pb2.Event(step=step)
        event.summary.value.add(tag="train/loss", simple_value=float(step))
        writer.add_event(event)
    restart = event_pb2.Event(step=3, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
    writer.add_event(restart)
    writer.close()
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    expected = tuple((event.step, event.value) for event in accumulator.Scalars("train/loss"))
    assert open_run(tmp_path).scalars["train/loss"].points == expected == ((1, 1.0), (2, 2.0))


def test_media_whose_file_is_gone_leave_the_rest_readable(written: Path, tmp_path: Path) -> None:
    for backend in ("jsonl", "wandb"):
        copy = Path(shutil.copytree(written / backend, tmp_path / backend))
        for path in copy.rglob("*.wav"):
            path.unlink()
        run = open_run(copy)
        assert run.scalars["outputs/nll/mean"].steps == STEPS
        with pytest.raises(OSError):
            run.clips["voices/rms_03/generated"][30].audio()


def test_a_place_without_a_run_is_refused_with_what_is_there(tmp_path: Path) -> None:
    TensorBoardTracker(tmp_path / "runs/a").close()
    for place, message in (("runs", "Runs below it: a."), ("nowhere", "no such directory")):
        with pytest.raises(NotARunError, match=message):
            open_run(tmp_path / place)
    with pytest.raises(NotARunError, match="no such directory"):
        list_runs(tmp_path / "nowhere")


def test_runs_are_listed_with_their_sources_and_what_lies_inside_a_run_is_none(written: Path, tmp_path: Path) -> None:
    TensorBoardTracker(tmp_path / "a").close()
    VoiceFolderTracker(tmp_path / "a").emit(comparison(1))
    JsonLinesTracker(tmp_path / "deep/b").close()
    shutil.copytree(written / "wandb", tmp_path / "c", symlinks=True)
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    runs = list_runs(tmp_path)
    assert [(run.name, run.sources) for run in runs] == [
        ("a", ("TensorBoard", "voices folder")),
        ("c", ("W&B",)),
        ("deep/b", ("JSON lines",)),
    ]
    assert all(open_run(run.path).source == run.sources[0] for run in runs)
    assert [run.name for run in list_runs(tmp_path / "a")] == ["a"]


def test_the_runs_of_a_shared_wandb_folder_are_listed_one_by_one(written: Path, tmp_path: Path) -> None:
    (source,) = (written / "wandb" / "wandb").glob("offline-run-*")
    for name in ("offline-run-20260101_000000-aaaa", "offline-run-20260102_000000-bbbb"):
        shutil.copytree(source, tmp_path / "wandb" / name)
    assert [run.name for run in list_runs(tmp_path)] == [
        "wandb/offline-run-20260101_000000-aaaa",
        "wandb/offline-run-20260102_000000-bbbb",
    ]


def test_a_copy_of_the_lines_alone_is_a_run_and_a_data_file_is_none(tmp_path: Path) -> None:
    tracker = JsonLinesTracker(tmp_path / "run")
    tracker.emit(Scalars(step=1, values={"loss": 1.0}))
    tracker.close()
    copy = Path(shutil.copy(tmp_path / "run/record/events.jsonl", tmp_path / "copied.jsonl"))
    assert open_run(copy).scalars["loss"].points == ((1, 1.0),)
    (tmp_path / "train.jsonl").write_text('{"text": "hello", "audio": "a.wav"}\n')
    with pytest.raises(NotARunError):
        open_run(tmp_path / "train.jsonl")


def test_a_table_of_findings_in_another_form_is_a_problem_and_the_rest_is_read(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.emit(Scalars(step=1, values={"loss": 1.0}))
    tracker.emit(Table(step=1, tag="doctor/findings", columns=("name", "when"), rows=(("silence", 3),)))
    tracker.emit(Table(step=1, tag="voices/a/text", columns=("what", "value"), rows=(("sim_o", 0.5), ("encoder", "x"))))
    tracker.close()
    run = open_run(tmp_path)
    assert run.scalars["loss"].points == ((1, 1.0),) and run.findings == ()
    assert run.problems == ("doctor/findings cannot be read: KeyError: 'since'",)
    assert run.voices["a"].steps[1].scores == {"sim_o": 0.5}


def test_a_hostile_voice_id_stays_inside_its_tag(tmp_path: Path) -> None:
    tracker = JsonLinesTracker(tmp_path)
    hostile: VoiceComparison = comparison(1, voice_id="../a b/c", fixed=True)
    tracker.emit(hostile)
    tracker.close()
    assert list(open_run(tmp_path).voices) == ["_a_b_c"]


def test_text_that_looks_like_a_table_stays_a_text(tmp_path: Path) -> None:
    from tracker_logging.events import Text

    text = "| a | b |\n| --- | --- |\n| 1 | 2 |\n" + HOSTILE.replace("\ud800", "")
    tracker = TensorBoardTracker(tmp_path)
    tracker.emit(Text(step=1, tag="t", text=text))
    tracker.close()
    run = open_run(tmp_path)
    assert run.tables == {}
    assert run.texts["t"][1].startswith("| a | b |\n| --- | --- |\n| 1 | 2 |\na|b\n<script>")


def test_pixels_of_another_writer_are_decoded(tmp_path: Path) -> None:
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    writer = EventFileWriter(str(tmp_path))
    event = event_pb2.Event(step=4)
    event.summary.value.add(tag="sample").image.encoded_image_string = encode_png(pixels)
    writer.add_event(event)
    writer.close()
    assert np.array_equal(open_run(tmp_path).pictures["sample"][4].pixels(), pixels)
