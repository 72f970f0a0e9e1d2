"""The same sections everywhere: TensorBoard's custom scalars, the W&B workspace, and links that show what matters."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import serving, write_curves
from large_model_run import write_large_model_run
from playwright.sync_api import expect
from speaking_runs import write_run
from tracker_logging.dashboards.open_run import pinned_link

from tracker_logging import tags
from tracker_logging.cli import main
from tracker_logging.runs.tensorboard import shown_tags
from tracker_logging.sections import SECTIONS, charts
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.tensorboard_run import layout_of

DOCS = Path(__file__).parents[2] / "docs"


def covers(line: str, name: str, *, is_family: bool) -> bool:
    return re.match(line, name) is not None if is_family else line == name


def test_every_scalar_is_in_a_chart_or_is_a_detail_of_one() -> None:
    for tag in tags.ALL:
        if tag.kind == "scalar" and not tag.template.endswith(("/low", "/high", "/n")):
            name = tag(**dict.fromkeys(re.findall(r"\{(\w+)\}", tag.template), "sim_o"))
            showing = [c for c in charts() if any(covers(line, name, is_family=c.is_family) for line in c.lines)]
            assert len(showing) >= 1, name


def test_a_score_stands_beside_what_it_can_reach() -> None:
    chart = next(chart for chart in charts() if chart.title == "voices/sim_o/mean")
    assert chart.lines == ("voices/sim_o/mean", "voices/sim_ceiling/mean", "voices/sim_codec/mean")


def test_tensorboard_lays_out_the_same_sections() -> None:
    layout = layout_of({"voices/sim_o/mean", "voices/sim_ceiling/mean", "conditioning/gap/mean"})
    titles = [category.title for category in layout.category]
    assert titles == ["Scores"], "a chart with one line would repeat a card"
    (chart,) = layout.category[0].chart
    assert chart.title == "Speaker similarity to the prompt (cosine)"
    assert list(chart.multiline.tag) == ["^1_voices/sim_o/mean$", "^4_voices/sim_ceiling/mean$"]


def test_the_workspace_is_valid_without_an_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb_workspaces")
    write_run(tmp_path / "run", steps=[1], voices=2)
    output = tmp_path / "workspace.json"
    arguments = ["workspace", "--project", "p", "--entity", "me", "--run", str(tmp_path / "run"), "--dry-run"]
    assert main([*arguments, "-o", str(output)]) == 0
    assert "9 sections" in capsys.readouterr().out
    content = json.loads(output.read_text())
    sections = content["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    assert [section["name"] for section in sections] == list(SECTIONS)
    assert content["workspace"]["displayName"] == "Voice cloning"
    panels = {section["name"]: section["panels"] for section in sections}
    voice = next(panel for panel in panels["Voices"] if panel["config"].get("chartTitle") == "voice voice-01")
    assert voice["config"]["mediaKeys"] == ["voices/voice-01", "voices/voice-01/mel"]
    assert voice["config"]["gridSettings"] == {"xAxis": "run", "yAxis": "step"}
    assert "Run Comparer" in [panel["viewType"] for panel in panels["Voices"]]
    assert panels["Tokens"][0]["config"]["panelDefId"] == "me/codebook-accuracy"
    for section, place, table in (("Voices", 0, "voices/table"), ("Doctor", 0, "doctor/findings")):
        panel = panels[section][place]
        assert panel["viewType"] == "Weave" and f'"{table}"' in json.dumps(panel), "a table is not a medium"
    assert "summary:voices/sim_margin/mean" in json.dumps(content["workspace"]), "the leaderboard"


def test_a_report_without_an_account_and_a_run_without_voices_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb_workspaces")
    assert main(["workspace", "--project", "p", "--dry-run", "--report", "a", "b"]) == 2
    assert "reports need a W&B account" in capsys.readouterr().err
    assert main(["workspace", "--project", "p", "--dry-run", "--run", str(tmp_path)]) == 2
    assert "no voices in it" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["", "ofline"])
def test_a_mode_that_wandb_refuses_is_named(
    mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setenv("WANDB_MODE", mode)
    assert main(["workspace", "--project", "p"]) == 2
    assert f"WANDB_MODE={mode!r} is not a mode of W&B. Fix: unset it" in capsys.readouterr().err


def test_the_page_names_the_panels_of_the_workspace() -> None:
    pytest.importorskip("wandb_workspaces")
    spec = importlib.util.spec_from_file_location("make_workspace_table", DOCS / "make_workspace_table.py")
    assert spec is not None and spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    page = maker.PAGE.read_text(encoding="utf-8")
    assert page == maker.filled(page), "run: python docs/make_workspace_table.py"


@pytest.mark.parametrize(
    ("more", "key", "message"),
    [
        (["--entity", "me"], None, "not logged in to W&B. Run `wandb login`, or use --dry-run."),
        ([], None, "not logged in to W&B. Run `wandb login`, or use --dry-run."),
        (["--entity", "me"], "0" * 40, "W&B refused or was not reached"),
    ],
)
def test_no_account_and_no_server_are_messages(tmp_path: Path, more: list[str], key: str | None, message: str) -> None:
    pytest.importorskip("wandb_workspaces")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9", "NETRC": str(tmp_path / "netrc")}
    environment |= {} if key is None else {"WANDB_API_KEY": key}
    command = [sys.executable, "-m", "tracker_logging.cli", "workspace", "--project", "p", *more]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_open_prints_the_command_and_pins_what_the_run_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_curves(TensorBoardTracker(tmp_path / "a run"), slope=1.0)
    assert main(["open", str(tmp_path / "a run"), "--print"]) == 0
    output = capsys.readouterr().out
    assert f"tensorboard --logdir {tmp_path} --samples_per_plugin audio=1000,images=1000,text=500" in output
    assert "outputs/nll/mean" in output and "conditioning/gap/mean" not in output
    assert main(["open", str(tmp_path)]) == 2


def test_the_command_is_one_that_the_shell_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_curves(TensorBoardTracker(tmp_path / "run"), slope=1.0)
    programs = Path(sys.executable).parent
    for path, here, command in (
        (programs, tmp_path, "tensorboard --logdir"),
        (tmp_path, programs.parent, f"{programs.name}/tensorboard --logdir"),
        (tmp_path, tmp_path, f"{programs}/tensorboard --logdir"),
    ):
        monkeypatch.setenv("PATH", str(path))
        monkeypatch.chdir(here)
        assert main(["open", str(tmp_path / "run"), "--print"]) == 0
        assert f"\n  {command}" in capsys.readouterr().out


def test_the_pinned_cards_are_shown(page: Any, tmp_path: Path) -> None:
    write_curves(TensorBoardTracker(tmp_path / "runs" / "a"), slope=1.0)
    with serving(tmp_path / "runs") as address:
        page.goto(f"{address}/{pinned_link('a', shown_tags(tmp_path / 'runs' / 'a'))}")
        pinned = page.locator("metrics-pinned-view card-view")
        expect(pinned).to_have_count(2)
        expect(page.locator("metrics-pinned-view")).to_contain_text("outputs/nll/mean")
        page.goto("about:blank")


def test_the_dashboards_know_no_model_and_no_trainer() -> None:
    code = (
        "import sys, tracker_logging.dashboards.compare, tracker_logging.dashboards.open_run, "
        "tracker_logging.dashboards.workspace, tracker_logging.cli;"
        "print([name for name in ('torch', 'transformers', 'wandb', 'tensorboard', 'librosa') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_tab_is_an_entry_point_and_its_assets_are_installed(tensorboard: str) -> None:
    listing = json.loads(urllib.request.urlopen(f"{tensorboard}/data/plugins_listing").read())
    assert listing["voices"]["tab_name"] == "Voices"
    assert listing["voices"]["enabled"] is True
    module = listing["voices"]["loading_mechanism"]["module_path"]
    with urllib.request.urlopen(f"{tensorboard}{module}") as answer:
        assert answer.headers["Content-Type"].startswith("text/javascript")


def test_the_documentation_shows_pictures_that_are_there_and_small() -> None:
    docs = Path(__file__).parents[2] / "docs"
    shown = re.findall(r"\((images/[\w-]+\.png)\)", (docs / "dashboards.md").read_text())
    assert len(shown) >= 6
    assert {name: size for name in shown if (size := (docs / name).stat().st_size) >= 300_000} == {}


def test_every_card_is_described_and_details_are_in_no_tab(tmp_path: Path) -> None:
    write_large_model_run(TensorBoardTracker(tmp_path / "runs" / "a"))
    with serving(tmp_path / "runs") as address:
        answer = json.loads(urllib.request.urlopen(f"{address}/data/plugin/timeseries/tags").read())
        query = "scalars?run=a&tag=1_voices/sim_o/mean"
        points = json.loads(urllib.request.urlopen(f"{address}/data/plugin/scalars/{query}").read())
    assert [step for _, step, _ in points] == [1, 100, 200], "the description is no point"
    scalars, described = answer["scalars"]["runTagInfo"]["a"], answer["scalars"]["tagDescriptions"]
    assert len(scalars) <= 60 and "1_voices/sim_o/mean" in scalars
    assert {name for name in scalars if name not in described} == {name for name in scalars if name[0] == "t"}
    assert "higher is better" in described["1_voices/sim_o/mean"]


def test_open_starts_tensorboard_and_opens_the_browser_at_the_run(tmp_path: Path) -> None:
    write_curves(TensorBoardTracker(tmp_path / "runs" / "a"), slope=1.0)
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o755)
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    command = [sys.executable, "-m", "tracker_logging.cli", "open", str(tmp_path / "runs" / "a"), "--port", str(port)]
    with subprocess.Popen(
        command, env=os.environ | {"BROWSER": str(browser)}, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    ) as shown:  # fmt: skip
        try:
            assert shown.stdout is not None
            assert shown.stdout.readline().startswith("a: http://localhost:"), "printed when the browser was called"
            address = opened.read_text().strip()
            assert "pinnedCards=" in address and f":{port}/" not in address, "another port where that is taken"
            server = address.partition("/?")[0]
            assert "a" in json.loads(urllib.request.urlopen(f"{server}/data/runs").read())
        finally:
            shown.send_signal(signal.SIGINT)
    taken.close()
    assert shown.returncode == 0
    with pytest.raises(OSError):
        urllib.request.urlopen(server, timeout=5)
