"""What the plugin's server gives and what it refuses."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import DEADLINE_S, serving, wait_for, write_curves
from playwright.sync_api import expect
from speaking_runs import comparison, write_run
from tracker_logging.dashboards.voice_runs import OutsideLogDirectoryError, VoiceRuns

from tracker_logging.doctor.finding import Finding as DoctorsFinding
from tracker_logging.events import Findings
from tracker_logging.runs import voices
from tracker_logging.trackers.findings_file import FindingsFileTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.voice_folder import VoiceFolderTracker


def clip_address(server: str, *, run: str = "careful", voice: str = "voice-00", name: str = "target.flac") -> str:
    return f"{server}/data/plugin/voices/clip?" + urllib.parse.urlencode({"run": run, "voice": voice, "name": name})


def test_a_clip_comes_whole_or_by_range(tensorboard: str, logdir: Path) -> None:
    content = (logdir / "careful/voices/voice-00/target.flac").read_bytes()
    assert urllib.request.urlopen(clip_address(tensorboard)).read() == content
    part = urllib.request.Request(clip_address(tensorboard), headers={"Range": "bytes=100-199"})
    with urllib.request.urlopen(part) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 100-199/{len(content)}"
        assert answer.read() == content[100:200]


@pytest.mark.parametrize(
    "outside",
    [
        {"name": "../../../../secret.flac"},
        {"name": "/etc/passwd"},
        {"name": "secret-link.flac"},
        {"voice": "..", "name": "secret.flac"},
        {"voice": "folder-link", "name": "secret.flac"},
        {"run": "../other", "name": "secret.flac"},
        {"run": "..", "voice": "voice-00"},
        {"name": "target.flac\0.flac"},
        {"name": ".target.flac.part"},
        {"name": ""},
    ],
)
def test_nothing_outside_the_log_directory_is_served(tensorboard: str, logdir: Path, outside: dict[str, str]) -> None:
    voice = logdir / "careful/voices/voice-00"
    secret = logdir.parent / "secret.flac"
    secret.write_bytes(b"secret")
    for link, target in ((voice / "secret-link.flac", secret), (voice.parent / "folder-link", secret.parent)):
        if not link.is_symlink():
            link.symlink_to(target)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(clip_address(tensorboard, **outside))
    assert refused.value.code == 404


@pytest.mark.parametrize("name", ["..%2fplugin.py", "../plugin.py", "board.html", ""])
def test_only_the_pages_own_files_are_assets(tensorboard: str, name: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{tensorboard}/data/plugin/voices/static/{name}")
    assert refused.value.code == 404


def test_the_table_of_runs_is_sent_once_per_change(tensorboard: str) -> None:
    address = f"{tensorboard}/data/plugin/voices/runs.json"
    wait_for(lambda: not any(run["pending"] for run in json.loads(urllib.request.urlopen(address).read())["runs"]))
    etag = urllib.request.urlopen(address).headers["ETag"]
    with pytest.raises(urllib.error.HTTPError) as unchanged:
        urllib.request.urlopen(urllib.request.Request(address, headers={"If-None-Match": etag}))
    assert unchanged.value.code == 304


def test_runs_have_the_colours_of_tensorboard(tmp_path: Path) -> None:
    for name in ("second", "first"):  # TensorBoard lists runs by when they began
        write_run(tmp_path / "runs" / name, steps=[1], voices=1)
        write_curves(TensorBoardTracker(tmp_path / "runs" / name), slope=1.0)
    with serving(tmp_path / "runs") as address:
        listed = json.loads(urllib.request.urlopen(f"{address}/data/runs").read())
        index = json.loads(urllib.request.urlopen(f"{address}/data/plugin/voices/runs.json").read())
    assert listed == ["second", "first"]
    assert {run["name"]: run["place"] for run in index["runs"]} == {"second": 0, "first": 1}


def test_a_broken_sidecar_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    write_run(tmp_path / "run", steps=[1, 2], voices=1)
    (tmp_path / "run/voices/voice-00/step-00000001.json").write_text('{"format": 1, "step"')
    runs = VoiceRuns({"": tmp_path})
    assert [step["step"] for step in runs.voices("run")["voices"][0]["steps"]] == [2]
    assert runs.wait(DEADLINE_S)
    assert runs.table()["problems"] == ["voice-00/step-00000001.json is left out: JSONDecodeError"]
    (tmp_path / "run/voices/voice-00/step-00000001.json").write_text('{"format": 1, "step": 1, "scores": [NaN]}')
    again = VoiceRuns({"": tmp_path})
    assert again.wait(DEADLINE_S)
    assert again.table()["problems"] == ["voice-00/step-00000001.json is left out: KeyError"]


def test_a_round_that_is_being_written_counts_when_its_last_score_is_there(tmp_path: Path) -> None:
    """The clips of a round come first, then its scores; a voice that failed has its reason at once."""
    write_run(tmp_path / "run", steps=[1, 2], voices=3)
    tracker = VoiceFolderTracker(tmp_path / "run")
    of_round = [comparison(number, step=3, progress=1.0) for number in range(3)]
    early = {"repetition": 0.0}
    generated = [replace(event, stage="generated", scores=early, transcript=None) for event in of_round]
    generated[0] = replace(generated[0], clips={}, scores={}, error="out of memory")
    scored = [replace(event, stage="scored") for event in of_round]
    scored[0] = replace(scored[0], clips={}, scores={}, error="out of memory")
    seen = []
    for event in (*generated, *scored):
        tracker.emit(event)
        runs = VoiceRuns({"": tmp_path})
        assert runs.wait(DEADLINE_S)
        (line,) = runs.table()["runs"]
        seen.append((line["step"], line["scores"]["sim_margin"]["voices"]))
    assert seen == [*[(2, 3)] * 5, (3, 2)]


def test_the_version_of_a_clip_changes_with_its_sound_alone(tmp_path: Path) -> None:
    tracker = VoiceFolderTracker(tmp_path / "run")
    event = comparison(0, step=1, progress=1.0)
    runs = VoiceRuns({"": tmp_path})
    seen = []
    for change in ({"stage": "generated"}, {"stage": "scored"}, {"clips": {"generated": event.clips["target"]}}):
        tracker.emit(replace(event, **change))
        (voice,) = runs.voices("run")["voices"]
        seen.append((voice["steps"][0]["clip"]["version"], voice["clips"]["target"]["version"]))
    (generated, fixed), scored, (again, fixed_again) = seen
    assert scored == (generated, fixed)
    assert (again != generated, fixed_again) == (True, fixed)


def test_unchanged_runs_are_read_once_and_a_changed_one_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"run-{number}" for number in range(5)]
    for name in names:
        write_run(tmp_path / name, steps=[1, 2], voices=2)
    read: list[str] = []
    parse = voices._parse
    monkeypatch.setattr(voices, "_parse", lambda path: (read.append(str(path)), parse(path))[1])
    runs = VoiceRuns({"": tmp_path})
    assert [run["pending"] for run in runs.table()["runs"]] == [True] * 5
    assert runs.wait(DEADLINE_S)
    assert len(read) == len(set(read)) == 5 * 2 * 3
    first = runs.table()
    assert [run["pending"] for run in first["runs"]] == [False] * 5
    assert [run["scores"]["sim_margin"]["mean"] for run in first["runs"]] == [0.25] * 5
    read.clear()
    runs.voices("run-1")
    assert runs.table() == first
    write_run(tmp_path / "run-1", steps=[3], voices=1)
    assert runs.table()["runs"][1]["version"] != first["runs"][1]["version"]
    assert runs.wait(DEADLINE_S)
    assert [Path(path).name for path in read] == ["step-00000003.json"]


def test_the_tree_is_not_searched_for_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "run", steps=[1], voices=1)
    runs = VoiceRuns({"": tmp_path})
    runs.table()
    monkeypatch.setattr(runs._places, "search", lambda: pytest.fail("the tree is searched again"))
    for _ in range(50):
        assert runs.file(run="run", voice="voice-00", name="target.flac").is_file()


def test_settings_that_differ_and_open_findings_are_in_the_table(tmp_path: Path) -> None:
    for name, rate in (("a", 0.1), ("b", 0.2)):
        write_run(tmp_path / name, steps=[1], voices=1)
        config = {"lr": rate, "epochs": 3, "output_dir": name}
        write_curves(TensorBoardTracker(tmp_path / name, config=config), slope=1.0)
    words: dict[str, Any] = {"level": "error", "seen": "", "cause": "", "fix": "", "certainty": "likely"}
    finding = DoctorsFinding(name="no_gradient", since=3, **words)
    FindingsFileTracker(tmp_path / "a").emit(Findings(step=3, findings=(finding,)))
    runs = VoiceRuns({"": tmp_path})
    assert runs.wait(DEADLINE_S)
    lines = {run["name"]: run for run in runs.table()["runs"]}
    assert [lines[name]["settings"] for name in "ab"] == [{"lr": 0.1}, {"lr": 0.2}]
    assert lines["a"]["findings"] == [{"name": "No gradient", "level": "error"}]


def test_findings_between_two_rounds_are_in_the_table_and_no_voice_is_read_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run", steps=[1], voices=1)
    (tmp_path / "run/voices/voice-00/step-00000002.json").write_text("{")
    runs = VoiceRuns({"": tmp_path})
    assert runs.wait(DEADLINE_S)
    before = runs.table()
    assert before["runs"][0]["findings"] == []
    monkeypatch.setattr(voices, "_parse", lambda path: pytest.fail(f"{path} is read again"))
    words: dict[str, Any] = {"level": "error", "seen": "", "cause": "", "fix": "", "certainty": "likely"}
    tracker = FindingsFileTracker(tmp_path / "run")
    shown = []
    for until in (None, 9):
        finding = DoctorsFinding(name="no_gradient", since=3, until=until, **words)
        tracker.emit(Findings(step=3, findings=(finding,)))
        assert runs.wait(DEADLINE_S)
        (line,) = runs.table()["runs"]
        shown.append(line.pop("findings"))
        assert line == {name: value for name, value in before["runs"][0].items() if name != "findings"}
    assert shown == [[{"name": "No gradient", "level": "error"}], []]
    (tmp_path / "run/findings.json").write_text("{")
    assert runs.wait(DEADLINE_S)
    problems = [problem.split(" ")[0] for problem in runs.table()["problems"]]
    assert problems == ["voice-00/step-00000002.json", "findings.json"]


def test_runs_have_a_colour_each_without_event_files_and_with_named_directories(tmp_path: Path) -> None:
    for name in ("a", "b/deep", "c"):
        write_run(tmp_path / name, steps=[1], voices=1)
    for name in ("a", "b/deep"):
        write_curves(TensorBoardTracker(tmp_path / name), slope=1.0)
    spec = ",".join(f"{name}:{tmp_path / name}" for name in "abc")
    with serving(None, "--logdir_spec", spec) as address:
        wait_for(lambda: len(json.loads(urllib.request.urlopen(f"{address}/data/runs").read())) == 2)
        table = json.loads(urllib.request.urlopen(f"{address}/data/plugin/voices/runs.json").read())
    assert {run["name"]: run["place"] for run in table["runs"]} == {"a": 0, "b/deep": 1, "c": 2}


def test_a_linked_run_is_not_followed(tmp_path: Path) -> None:
    write_run(tmp_path / "elsewhere/run", steps=[1], voices=1)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/run").symlink_to(tmp_path / "elsewhere/run")
    runs = VoiceRuns({"": tmp_path / "logs"})
    assert runs.names() == []
    with pytest.raises(OutsideLogDirectoryError):
        runs.file(run="run", voice="voice-00", name="target.flac")


def test_folders_of_the_same_name_that_hold_no_voices_are_no_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "real", steps=[10], voices=1)
    for other in ("real/wandb/offline-run-1/files/media/html/voices/voice-00", "data/voices/anna"):
        (tmp_path / other).mkdir(parents=True)
        (tmp_path / other / "text_10.html").write_text("text")
    assert VoiceRuns({"": tmp_path}).names() == ["real"]


def test_named_directories_are_named_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "a", steps=[1], voices=1)
    write_run(tmp_path / "b/deep", steps=[1], voices=1)
    assert VoiceRuns({"one": tmp_path / "a", "two": tmp_path / "b"}).names() == ["one", "two/deep"]


HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def test_hostile_texts_run_no_script_and_new_steps_appear_by_themselves(page: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "run", steps=[1, 2], voices=1)
    voice = tmp_path / "runs/run/voices/voice-00"
    about = json.loads((voice / "voice.json").read_text())
    texts = dict.fromkeys(("speaker", "language", "reference_text", "target_text"), HOSTILE)
    (voice / "voice.json").write_text(json.dumps(about | texts))
    step = json.loads((voice / "step-00000002.json").read_text())
    hostile = {"transcript": HOSTILE, "stop_reason": HOSTILE, "error": HOSTILE}
    (voice / "step-00000002.json").write_text(json.dumps(step | hostile))
    with serving(tmp_path / "runs") as address:
        page.goto(f"{address}/data/plugin_entry.html?name=voices")
        page.locator(".board[data-ready]").wait_for()
        expect(page.locator(".row .text")).to_have_text(HOSTILE)
        expect(page.locator(".step-text")).to_have_text("2 (2 of 2)")
        assert page.title() == "Voices"
        assert page.locator("img").count() == 0
        write_run(tmp_path / "runs" / "run", steps=[3], voices=2)
        write_run(tmp_path / "runs" / "second", steps=[3], voices=2)
        expect(page.locator(".step-text")).to_have_text("3 (3 of 3)")
        expect(page.locator(".run")).to_have_count(2)
        expect(page.locator(".row[data-voice]")).to_have_count(2)
        page.goto("about:blank")  # before the server goes, so that nothing asks for it in vain
