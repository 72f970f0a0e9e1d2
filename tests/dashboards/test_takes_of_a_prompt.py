"""Takes of a prompt on the voice board: one cell per prompt and step, with its takes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from speaking_runs import comparison
from tracker_logging.dashboards.compare import compare, compare_checkpoints, write_page

from tracker_logging.trackers.voice_folder import VoiceFolderTracker

TAKES = {"": 0.75, "-take2": 0.25, "-take3": 0.5}  # how good each one is


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prompts with three takes each at two steps."""
    directory = tmp_path_factory.mktemp("takes") / "run"
    tracker = VoiceFolderTracker(directory)
    for number in range(2):
        for suffix, progress in TAKES.items():
            for step in (0, 100):
                event = comparison(number, step=step, progress=progress if step else 0.0)
                tracker.emit(replace(event, voice_id=event.voice_id + suffix))
    return directory


def test_takes_are_in_one_cell_with_their_values_and_each_can_be_heard(page: Any, run: Path, tmp_path: Path) -> None:
    report = compare([run])
    write_page(report, tmp_path / "page.html", audio_format="flac")
    page.goto((tmp_path / "page.html").as_uri())
    page.get_by_role("navigation").get_by_role("button", name="Voices", exact=True).click()
    page.locator(".board[data-ready]").wait_for()
    rows = page.locator(".row[data-voice]")
    expect(rows).to_have_count(2)
    cell = rows.first.locator(".cell").nth(3)
    values = [0.5 + 0.3 * progress for progress in TAKES.values()]
    shown = [f"Take {number}: {value:.3g}" for number, value in enumerate(values, start=1)]
    expect(cell.locator(".takes button")).to_have_text(shown)
    expect(cell.locator(".takes span")).to_have_text(f"mean {sum(values) / 3:.3g}")
    second = cell.get_by_role("button", name="Take 2")
    second.click()
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(second).to_be_focused()
    expect(cell.locator(".chip", has_text="sim_o").locator("dd")).to_have_text(f"{values[1]:.3g}")
    cell.locator("button.play").click()
    expect(cell.locator("button.play")).to_have_attribute("data-playing", "true")
    expect(rows.first.locator(".cell").nth(0).locator(".takes")).to_be_hidden()
    page.screenshot(path=str(tmp_path / "takes.png"))


def test_checkpoints_of_a_run_are_columns_each_with_its_own_step(run: Path) -> None:
    report = compare_checkpoints(run, {0: Path("models/base"), 100: Path("out/checkpoint-100")})
    assert list(report.runs) == ["base", "checkpoint-100"]
    assert [set(one.voices["voice-00"].steps) for one in report.runs.values()] == [{0}, {100}]
    (pair,) = report.numbers["pairs"]
    assert pair["steps"] == {"base": 0, "checkpoint-100": 100} and not pair["reason"]
    row = next(row for row in pair["scores"] if row["name"] == "sim_o")
    assert row["difference"] == pytest.approx(0.3 * sum(TAKES.values()) / 3)


def test_what_cannot_be_read_of_a_run_is_named_once_for_all_its_checkpoints(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "voices/voice-00/step-00000050.json").write_text("{")
    report = compare_checkpoints(copy, {0: Path("models/base"), 100: Path("out/checkpoint-100")})
    assert report.problems == ["copy: voice-00/step-00000050.json is left out: JSONDecodeError"]
