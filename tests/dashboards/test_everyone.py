"""The board for everyone: damaged clips, touch and keyboard, narrow windows, notebooks, a server that is gone."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import DEADLINE_S, serving, wait_for, write_curves
from playwright.sync_api import expect
from speaking_runs import comparison, write_run
from tracker_logging.dashboards.notebook import show

from tracker_logging.cli import main
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.voice_folder import VoiceFolderTracker

LONG = "A sentence that goes on and on. " * 20


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of four voices: the first is whole, the clips of the others are missing, truncated, and no audio."""
    run = tmp_path_factory.mktemp("damaged") / "runs" / "run"
    write_run(run, steps=[100, 200], voices=4)
    clips = [run / "voices" / f"voice-{number:02d}" / "step-00000200.flac" for number in range(4)]
    clips[1].unlink()
    clips[2].write_bytes(clips[2].read_bytes()[: clips[2].stat().st_size // 2])
    clips[3].write_bytes(b"not audio at all")
    return run


@pytest.fixture(scope="module")
def address(damaged: Path) -> Iterator[str]:
    with serving(damaged.parent) as address:
        yield f"{address}/data/plugin_entry.html?name=voices"


@pytest.fixture
def tab(page: Any, address: str) -> Any:
    page.goto(address)
    page.locator(".board[data-ready]").wait_for()
    return page


def generated(page: Any, number: int) -> Any:
    return page.locator(f".row[data-voice='voice-{number:02d}'] .cell[data-kind=generated]")


@pytest.fixture
def quiet(browser: Any) -> Iterator[Any]:
    """A page whose failed requests are expected."""
    context = browser.new_context(viewport={"width": 1500, "height": 950})
    context.set_default_timeout(1000 * DEADLINE_S)
    yield context.new_page()
    context.close()


def test_a_clip_that_cannot_be_read_says_so_in_its_cell(quiet: Any, address: str) -> None:
    quiet.goto(address)
    expect(generated(quiet, 1).locator(".notes")).to_have_text("no audio of this step is there")
    quiet.locator(".row[data-voice='voice-03']").scroll_into_view_if_needed()
    expect(generated(quiet, 3).locator(".notes")).to_contain_text("cannot be read: it is damaged")
    generated(quiet, 3).locator(".picture").dispatch_event("click")  # the board is drawn again
    quiet.get_by_label("All scores").check()
    expect(generated(quiet, 3).locator(".chip")).to_have_count(6)
    expect(generated(quiet, 3).locator(".notes")).to_contain_text("cannot be read: it is damaged")
    expect(generated(quiet, 2).locator(".notes")).to_contain_text("truncated: only")
    expect(generated(quiet, 0).locator(".notes")).to_have_text("")


def test_the_page_says_so_too(page: Any, damaged: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "other", steps=[200], voices=4)
    output = tmp_path / "page.html"
    assert main(["compare", str(damaged), str(tmp_path / "other"), "-o", str(output)]) == 0
    page.goto(f"{output.as_uri()}#section=Voices")
    for number, text in ((1, "no audio of this step is there"), (3, "this clip cannot be read: the file is damaged")):
        expect(generated(page, number).first.locator(".notes")).to_have_text(text)


def test_the_pitch_is_drawn_over_the_spectrogram(tab: Any) -> None:
    picture = generated(tab, 0).locator(".picture[data-state=drawn]")
    picture.wait_for()
    columns = picture.locator("canvas").evaluate(
        """canvas => {
            const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            const isInk = at => data[at] > 190 && data[at + 1] < 60 && data[at + 2] > 80 && data[at + 2] < 140;
            const rows = [...Array(height).keys()];
            return [...Array(width).keys()].filter(x => rows.some(y => isInk(4 * (y * width + x)))).length / width;
        }"""
    )
    assert 0.3 < columns < 1


def test_the_meaning_of_a_score_opens_by_keyboard_and_by_touch(page: Any, tab: Any) -> None:
    chip = generated(tab, 0).locator(".chip[data-score=sim_o]")
    chip.locator("button").focus()
    page.keyboard.press("Enter")
    expect(chip.locator(".explained")).to_contain_text("cosine")
    expect(chip.locator("button")).to_be_focused()
    chip.locator("button").click()
    expect(chip.locator(".explained")).to_have_count(0)
    other = generated(tab, 1).locator(".chip[data-score=sim_o]")  # of a cell that the click selects
    other.locator("button").click()
    expect(other.locator(".explained")).to_contain_text("cosine")
    tab.get_by_role("button", name="Keys ?").click()
    clips, scores = tab.locator("dialog.help .meanings").all()
    expect(clips).to_contain_text("Codec copy")
    expect(clips).to_be_visible()
    expect(scores).to_contain_text("sim_margin")
    expect(scores).to_be_visible()


def test_a_switch_fades_and_does_not_click(page: Any, address: str) -> None:
    page.add_init_script(
        """window.ramps = []; window.stops = [];
        const { linearRampToValueAtTime: ramp } = AudioParam.prototype, { stop } = AudioScheduledSourceNode.prototype;
        AudioParam.prototype.linearRampToValueAtTime = function (value, at) {
            ramps.push([value, at]);
            return ramp.call(this, value, at);
        };
        AudioScheduledSourceNode.prototype.stop = function (at) {
            stops.push(at);
            return stop.call(this, at);
        };"""
    )
    page.goto(address)
    page.locator(".board[data-ready]").wait_for()
    generated(page, 0).locator("button.play").click()
    page.wait_for_function("document.querySelector('.transport input[type=range]').value > 0.1")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("ramps.length === 2")
    (silent, end), (full, full_at) = page.evaluate("ramps")
    assert (silent, full) == (0, 1), "the old clip fades out, the new one in"
    assert page.evaluate("stops[0]") == end and abs(full_at - end) < 0.1


def test_the_view_survives_a_reload(page: Any, tab: Any) -> None:
    tab.get_by_role("button", name="Earlier step").click()
    tab.get_by_label("Find text or speaker").fill("doctor")
    generated(tab, 0).locator("button.play").focus()
    expect(tab.locator(".step-text")).to_have_text("100 (1 of 2)")
    page.reload()
    page.locator(".board[data-ready]").wait_for()
    expect(page.locator(".step-text")).to_have_text("100 (1 of 2)")
    expect(page.get_by_label("Find text or speaker")).to_have_value("doctor")


def test_a_server_that_is_gone_is_named_until_it_is_back(quiet: Any, address: str) -> None:
    quiet.goto(address)
    quiet.locator(".board[data-ready]").wait_for()
    quiet.route("**/runs.json", lambda route: route.abort())
    expect(quiet.locator(".unreachable")).to_contain_text("The server does not answer.")
    expect(quiet.locator(".row[data-voice]")).to_have_count(4)
    quiet.unroute("**/runs.json")
    expect(quiet.locator(".unreachable")).to_be_hidden()


def answer_with(answer: dict[str, Any], route: Any) -> None:
    route.fulfill(**answer)


def test_an_answer_that_cannot_be_read_is_not_called_a_server_that_is_gone(quiet: Any, address: str) -> None:
    quiet.goto(address)
    quiet.locator(".board[data-ready]").wait_for()
    for answer, text in (({"body": '{"runs": [NaN]}'}, "cannot be read"), ({"status": 500}, "The server answers 500.")):
        quiet.route("**/runs.json", partial(answer_with, answer))
        expect(quiet.locator(".unreachable")).to_contain_text(text)
        expect(quiet.locator(".unreachable")).not_to_contain_text("does not answer")
        quiet.unroute("**/runs.json")
    expect(quiet.locator(".unreachable")).to_be_hidden()


def test_long_texts_are_folded_and_follow_their_script(page: Any, tmp_path: Path) -> None:
    tracker = VoiceFolderTracker(tmp_path / "runs" / "run")
    made = comparison(0, step=1, progress=1.0)
    texts = {"target_text": LONG, "reference_text": "شلومو", "transcript": LONG + "more"}
    object.__setattr__(made, "language", "ar")
    for name, text in texts.items():
        object.__setattr__(made, name, text)
    tracker.emit(made)
    with serving(tmp_path / "runs") as server:
        page.goto(f"{server}/data/plugin_entry.html?name=voices")
        page.locator(".board[data-ready]").wait_for()
        heading = page.locator(".heading")
        assert heading.locator(".text").evaluate("p => p.clientHeight") < 110
        assert generated(page, 0).locator(".words").evaluate("p => p.clientHeight") < 110
        heading.get_by_role("button", name="All of the text").click()
        assert heading.locator(".text").evaluate("p => p.clientHeight") > 150
        expect(heading.get_by_role("button", name="Less")).to_have_attribute("aria-expanded", "true")
        assert {p.get_attribute("dir") for p in page.locator(".text, .prompt, .words").all()} == {"auto"}
        page.goto("about:blank")


@pytest.mark.parametrize("where", ["tab", "page"])
def test_390_pixels_need_no_sideways_scrolling(
    page: Any, address: str, damaged: Path, tmp_path: Path, where: str
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    if where == "page":
        shutil.copytree(damaged, tmp_path / "again")
        output = tmp_path / "page.html"
        assert main(["compare", str(damaged), str(tmp_path / "again"), "-o", str(output), "--max-mb", "3"]) == 0
        address = output.as_uri()
    page.goto(address)
    sections = ["Summary", "Voices", "Curves", "Settings"] if where == "page" else [None]
    for section in sections:
        if section:
            page.get_by_role("navigation").get_by_role("button", name=section, exact=True).click()
        if section in (None, "Voices"):
            page.locator(".board[data-ready]").wait_for()
            expect(generated(page, 0).first.locator(".cell-title")).to_be_visible()
        wide = page.evaluate(
            """() => [document.documentElement, ...document.querySelectorAll(".scroll, .sheet, .board")]
                .filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth)
                .map(one => `${one.className} ${one.scrollWidth} > ${one.clientWidth}`)"""
        )
        assert wide == [], section


def test_a_notebook_keeps_the_focus(page: Any, damaged: Path) -> None:
    page.set_content(f"<input id=mine autofocus>{show(damaged, max_mb=2)._repr_html_()}")
    page.locator("#mine").focus()
    frame = page.frame_locator("iframe")
    frame.get_by_label("Summary", exact=True).wait_for()
    frame.locator("nav").wait_for()
    page.keyboard.type("x")
    expect(page.locator("#mine")).to_be_focused()
    expect(page.locator("#mine")).to_have_value("x")
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("has_spec", [False, True])
def test_the_selection_and_colours_of_tensorboard_are_followed(page: Any, tmp_path: Path, has_spec: bool) -> None:
    for name in ("alpha", "beta"):
        write_run(tmp_path / "runs" / name, steps=[100], voices=1)
        write_curves(TensorBoardTracker(tmp_path / "runs" / name), slope=1.0)
    write_run(tmp_path / "runs" / "gamma", steps=[100], voices=1)  # has no event file
    root = "/." if has_spec else ""  # what TensorBoard calls a run in the root of a named directory
    spec = ",".join(f"{name}:{tmp_path / 'runs' / name}" for name in ("alpha", "beta", "gamma"))
    with serving(None, "--logdir_spec", spec) if has_spec else serving(tmp_path / "runs") as server:
        wait_for(lambda: len(json.loads(urllib.request.urlopen(f"{server}/data/runs").read())) == 2)
        page.goto(f"{server}/#voices")
        frame = page.frame_locator("iframe[src*='name=voices']")
        columns = frame.locator(".header .column[data-run=true]")
        expect(columns).to_have_text(["alpha", "beta", "gamma"])
        page.get_by_role("tab", name="Time Series").click()
        row = page.locator(f"runs-data-table tb-data-table-content-row[data-id$='/alpha{root}']")
        row.locator("input[type=checkbox]").click(force=True)
        page.get_by_role("tab", name="Voices").click()
        expect(columns).to_have_text(["beta", "gamma"])
        other = page.locator(f"runs-data-table tb-data-table-content-row[data-id$='/beta{root}'] .run-color-swatch")
        colour = other.evaluate("swatch => getComputedStyle(swatch).backgroundColor")
        assert columns.first.evaluate("column => getComputedStyle(column, '::before').backgroundColor") == colour
        frame.locator(".run", has_text="alpha").click()  # the tab may be changed by itself, too
        expect(columns).to_have_text(["alpha", "beta", "gamma"])
        page.goto("about:blank")
