"""The tab and the page with two runs that the demo has really trained (for a few steps)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import serving
from playwright.sync_api import expect
from scored_here import scored_here
from short_demo import lay_out

from tracker_logging.cli import main as command_line
from train_v2_ddp import main as train

pytestmark = pytest.mark.slow

VOICES = 2


@pytest.fixture(scope="module")
def demo_runs(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Path:
    """The log directory of two runs of the demo, one slower than the other."""
    output = tmp_path_factory.mktemp("demo_runs")
    lay_out(demo, output)
    for name, rate in (("fast", "2e-3"), ("slow", "1e-4")):
        arguments = ["--demo=composed", "--enable_strategic_logging", "--output_dir", str(output), "--run_name", name]
        steps = ["--max_steps", "4", "--strategic_logging_steps", "2", "--voice_steps", "4", "--eval_steps", "100",
                 "--per_device_train_batch_size", "1",
                 "--voice_quality", "off", "--voice_max_clips", str(VOICES), "--voice_timeout_s", "900"]  # fmt: skip
        with scored_here():
            assert train([*arguments, *steps, "--learning_rate", rate]) == 0
    return output / "runs"


def test_the_tab_shows_every_voice_of_both_runs(page: Any, demo_runs: Path) -> None:
    with serving(demo_runs) as address:
        page.goto(f"{address}/data/plugin_entry.html?name=voices")
        page.locator(".board[data-ready]").wait_for()
        expect(page.locator(".row[data-voice]")).to_have_count(VOICES)
        expect(page.locator(".header .column").last).to_have_text("slow")
        first = page.locator(".row[data-voice]").first
        expect(first.locator(".picture[data-state=drawn]")).to_have_count(5)
        sidecars = sorted((demo_runs / "fast/voices" / first.get_attribute("data-voice")).glob("step-*.json"))
        scores = json.loads(sidecars[-1].read_text())["scores"]
        chip = first.locator(".cell").nth(3).locator(".chip", has_text="dur_ratio")
        expect(chip.locator("dd")).to_have_text(f"{scores['dur_ratio']:.3g}")
        page.goto("about:blank")


def test_the_page_pairs_the_same_voices(page: Any, demo_runs: Path, tmp_path: Path) -> None:
    output = tmp_path / "compare.html"
    assert command_line(["compare", str(demo_runs / "fast"), str(demo_runs / "slow"), "-o", str(output)]) == 0
    page.goto(output.as_uri())
    summary = page.get_by_label("Summary", exact=True)
    expect(summary).to_contain_text(re.compile(rf"{VOICES} voices of \d speakers?: all at step 4"))
    expect(summary.locator("tr[data-verdict][data-score=dur_ratio]")).to_have_count(1)
    navigation = page.get_by_role("navigation")
    navigation.get_by_role("button", name="Voices").click()
    page.locator(".board[data-ready]").wait_for()
    expect(page.locator(".row[data-voice]")).to_have_count(VOICES)
    navigation.get_by_role("button", name="Settings").click()
    expect(page.locator("tr[data-setting=learning_rate]")).to_be_visible()
