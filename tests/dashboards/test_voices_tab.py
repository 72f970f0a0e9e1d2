"""The tab in a real browser against a real TensorBoard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import serving
from playwright.sync_api import expect
from speaking_runs import comparison

from tracker_logging.trackers.voice_folder import VoiceFolderTracker

PIXELS = "canvas => canvas.toDataURL()"
KINDS = ["Reference", "Target", "Codec copy", "careful", "hasty"]


@pytest.fixture
def tab(page: Any, tensorboard: str) -> Any:
    """The content of the tab by itself: TensorBoard's own page around it takes seconds to load."""
    page.goto(f"{tensorboard}/data/plugin_entry.html?name=voices")
    page.locator(".board[data-ready]").wait_for()
    return page


def open_tab(page: Any, address: str) -> Any:
    """The frame of the tab within TensorBoard."""
    page.goto(address)
    frame = page.frame_locator("iframe[src*='name=voices']")
    frame.locator(".board[data-ready]").wait_for()
    return frame


def cell(frame: Any, voice: str, place: int) -> Any:
    return frame.locator(f".row[data-voice='{voice}'] .cell").nth(place)


def position(frame: Any) -> float:
    return float(frame.locator(".transport input[type=range]").evaluate("input => input.value"))


def test_a_clip_that_is_made_again_is_drawn_and_played_again(page: Any, tmp_path: Path) -> None:
    tracker = VoiceFolderTracker(tmp_path / "run")
    event = comparison(0, step=100, progress=1.0)
    tracker.emit(event)
    with serving(tmp_path) as address:
        page.goto(f"{address}/data/plugin_entry.html?name=voices")
        made = page.locator(".row[data-voice] .cell").last
        expect(made.locator(".picture[data-state=drawn]")).to_be_visible()
        before = made.locator("canvas").evaluate(PIXELS)
        made.locator("button.play").click()
        page.keyboard.press("Space")
        with page.expect_response(lambda answer: "step-00000100.flac" in answer.url) as answer:
            clips = {**event.clips, "generated": event.clips["reference"]}
            tracker.emit(replace(event, clips=clips, transcript="again"))
        assert answer.value.body() == (tmp_path / "run/voices/voice-00/step-00000100.flac").read_bytes()
        expect(made.locator(".words")).to_contain_text("again")
        expect(made.locator(".picture[data-state=drawn]")).to_be_visible()
        assert made.locator("canvas").evaluate(PIXELS) != before
        page.goto("about:blank")


def test_tensorboard_shows_the_tab_with_no_flag(page: Any, tensorboard: str) -> None:
    page.goto(tensorboard)
    expect(page.get_by_role("tab", name="Voices")).to_be_visible()
    frame = page.frame_locator("iframe[src*='name=voices']")
    expect(frame.locator(".header .column")).to_have_text(["Voice", *KINDS])
    expect(frame.locator(".row[data-voice]")).to_have_count(3)
    expect(frame.locator(".row[data-voice='voice-00'] .text")).to_contain_text("The old man carried")


def test_every_cell_plays_and_moves_on(tab: Any) -> None:
    for place, _ in enumerate(KINDS):
        button = cell(tab, "voice-00", place).locator("button.play")
        button.click()
        expect(button).to_have_attribute("data-playing", "true")
        tab.locator("body").evaluate("() => new Promise(done => requestAnimationFrame(done))")
        expect(tab.locator(".play[data-playing=true]")).to_have_count(2)  # the cell's and the one at the foot
        tab.locator(".board").evaluate(
            "(_, start) => new Promise(done => { const input = document.querySelector('.transport input[type=range]');"
            "const look = () => input.value > start ? done() : requestAnimationFrame(look); look(); })",
            0.05,
        )
        button.click()
        expect(button).to_have_attribute("data-playing", "false")


def test_a_click_into_the_picture_plays_from_there(tab: Any) -> None:
    picture = cell(tab, "voice-00", 1).locator(".picture")
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] / 2, "y": 40})
    expect(cell(tab, "voice-00", 1).locator("button.play")).to_have_attribute("data-playing", "true")
    assert position(tab) > 1.5


def test_arrows_switch_clips_at_the_same_position_and_go_on_playing(page: Any, tab: Any) -> None:
    first = cell(tab, "voice-00", 1)
    box = first.locator(".picture").bounding_box()
    first.locator(".picture").click(position={"x": box["width"] / 2, "y": 40})
    expect(first.locator("button.play")).to_have_attribute("data-playing", "true")
    before = position(tab)
    page.keyboard.press("ArrowRight")
    expect(cell(tab, "voice-00", 2).locator("button.play")).to_have_attribute("data-playing", "true")
    expect(first.locator("button.play")).to_have_attribute("data-playing", "false")
    assert before <= position(tab) < before + 1.5
    page.keyboard.press("2")
    expect(cell(tab, "voice-00", 4).locator("button.play")).to_have_attribute("data-playing", "true")
    assert position(tab) >= before
    page.keyboard.press("Space")
    expect(tab.locator(".play[data-playing=true]")).to_have_count(0)


def test_up_and_down_move_between_voices(page: Any, tab: Any) -> None:
    cell(tab, "voice-00", 3).locator("button.play").focus()
    page.keyboard.press("ArrowDown")
    expect(cell(tab, "voice-01", 3)).to_have_attribute("data-selected", "true")
    page.keyboard.press("ArrowUp")
    expect(cell(tab, "voice-00", 3)).to_have_attribute("data-selected", "true")


def test_one_slider_moves_all_runs_and_marks_those_without_such_a_step(tab: Any) -> None:
    expect(tab.locator(".step-text")).to_have_text("300 (4 of 4)")
    expect(cell(tab, "voice-00", 4).locator(".notes")).to_contain_text("step 250, the nearest earlier")
    tab.get_by_role("button", name="Earlier step").click()
    expect(tab.locator(".step-text")).to_have_text("250 (3 of 4)")
    expect(cell(tab, "voice-00", 3).locator(".notes")).to_contain_text("step 200, the nearest earlier")
    expect(cell(tab, "voice-00", 4).locator(".notes")).not_to_contain_text("nearest")
    tab.locator("#step").fill("0")
    expect(tab.locator(".step-text")).to_have_text("100 (1 of 4)")
    expect(cell(tab, "voice-02", 4).locator(".notes")).to_have_text("nothing at or before step 100")


def test_scores_and_words_are_those_of_the_files(tab: Any, logdir: Path) -> None:
    sidecar = json.loads((logdir / "careful/voices/voice-00/step-00000200.json").read_text())
    tab.locator("#step").fill("1")
    shown = cell(tab, "voice-00", 3)
    expect(shown.locator(".chip", has_text="sim_o").locator("dd")).to_have_text(f"{sidecar['scores']['sim_o']:.3g}")
    expect(shown.locator(".chip", has_text="sim_o")).to_contain_text("real clip 0.86")
    right = shown.locator(".words").evaluate("p => p.querySelectorAll('mark, ins, del').length")
    assert right > 0
    tab.locator("#step").fill("3")
    expect(shown.locator(".words mark")).to_have_count(0)


def test_runs_are_switched_off_and_on(tab: Any) -> None:
    tab.locator(".run", has_text="hasty").click()
    expect(tab.locator(".header .column")).to_have_text(["Voice", *KINDS[:-1]])
    expect(tab.locator(".run", has_text="hasty")).to_have_attribute("aria-pressed", "false")
    tab.locator(".run", has_text="hasty").click()
    expect(tab.locator(".header .column")).to_have_text(["Voice", *KINDS])


def test_voices_are_found_filtered_and_sorted(tab: Any) -> None:
    names = tab.locator(".row[data-voice]")
    order = lambda: names.evaluate_all("rows => rows.map(row => row.dataset.voice)")  # noqa: E731
    tab.get_by_label("Find text or speaker").fill("a young doctor")
    expect(names).to_have_count(2)  # one in the target text, one in the reference text
    tab.get_by_label("Find text or speaker").fill("")
    tab.get_by_label("Speaker", exact=True).select_option("rms")
    expect(names).to_have_count(1)
    tab.get_by_label("Speaker", exact=True).select_option("")
    tab.locator("#sort").select_option("careful")
    tab.locator(".order").click()
    expect(tab.locator(".order")).to_have_text("↓")
    assert order() == ["voice-02", "voice-01", "voice-00"]
    tab.get_by_label("Score filter: value").fill("0.805")
    expect(names).to_have_count(2)  # voice-00 of both runs, voice-01 of hasty


def test_a_link_brings_a_colleague_to_the_same_place(page: Any, tensorboard: str, browser: Any) -> None:
    tab = open_tab(page, f"{tensorboard}/#voices")
    cell(tab, "voice-01", 3).locator("button.play").focus()
    tab.locator("#step").fill("1")
    tab.locator(".run", has_text="hasty").click()
    tab.get_by_role("button", name="Copy link").click()
    expect(tab.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    other = browser.new_context().new_page()
    opened = open_tab(other, link)
    expect(opened.locator(".step-text")).to_have_text("200 (2 of 3)")
    expect(cell(opened, "voice-01", 3)).to_have_attribute("data-selected", "true")
    expect(opened.locator(".header .column")).to_have_text(["Voice", *KINDS[:-1]])
    other.context.close()


def test_a_listening_test_hides_the_runs_and_says_which_steps_it_compares(page: Any, tab: Any) -> None:
    tab.get_by_role("button", name="Listening test").click()
    form = tab.get_by_role("region", name="Listening test")
    expect(form).to_contain_text("at step 100")  # the last one that both have
    form.get_by_label("Each run's own newest step").check()
    expect(form).to_contain_text("at different steps (250, 300)")
    expect(form.get_by_label("Test", exact=True).locator("option")).to_have_count(4)
    form.get_by_label("Your name or number").fill("Ada")
    form.get_by_role("button", name="Begin").click()
    expect(form).to_contain_text("Trial 1 of 3")
    shown = tab.locator("body").inner_text()
    assert "careful" not in shown and "hasty" not in shown and "sim_o" not in shown
    expect(tab.locator("canvas:visible, .seconds:visible")).to_have_count(0)
    page.keyboard.press("a")
    expect(form.locator("[data-clip=A]")).to_have_attribute("aria-pressed", "true")
    expect(form.locator("[data-clip=A]")).to_have_attribute("data-played", "true")
    expect(form.locator(".test-answer:enabled")).to_have_count(0)  # B was not played
    form.get_by_role("button", name="Leave").click()
    expect(tab.locator(".row[data-voice]")).to_have_count(3)
    page.keyboard.press("Space")
    expect(tab.locator(".transport .play[data-playing=true]")).to_have_count(1)


def test_dark_mode_follows_tensorboard(page: Any, tensorboard: str) -> None:
    frame = open_tab(page, f"{tensorboard}/?darkMode=true#voices")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")


def test_keys_are_listed_and_do_not_disturb_typing(page: Any, tab: Any) -> None:
    page.keyboard.press("?")
    tab.locator("html").press("?")
    expect(tab.locator("dialog")).to_be_visible()
    tab.get_by_role("button", name="Close").click()
    search = tab.get_by_label("Find text or speaker")
    search.press_sequentially("1 2")
    expect(search).to_have_value("1 2")
    expect(tab.locator(".play[data-playing=true]")).to_have_count(0)


@pytest.mark.parametrize("width", [1500, 800])
def test_nothing_overlaps_or_leaves_the_window(page: Any, tab: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    expect(tab.locator(".row[data-voice='voice-00'] .picture[data-state=drawn]")).to_have_count(5)
    assert tab.locator(".scroll").evaluate("place => place.scrollWidth - place.clientWidth") == 0
    outside = tab.locator(".toolbar *, .transport *, .row[data-voice='voice-00'] *").evaluate_all(
        "(all, width) => all.filter(one => one.getBoundingClientRect().right > width + 1).map(one => one.outerHTML)",
        width,
    )
    assert outside == []
    overlaps = tab.locator(".row[data-voice='voice-00'] .cell, .toolbar button, .toolbar select").evaluate_all(
        """all => all.map(one => one.getBoundingClientRect()).flatMap((a, i, boxes) => boxes.slice(i + 1).filter(b =>
            a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)).length"""
    )
    assert overlaps == 0


def test_every_control_has_a_name_for_a_screen_reader(tab: Any) -> None:
    expect(tab.locator(".row button.play:not([aria-label])")).to_have_count(0)  # named when the row is drawn
    nameless = tab.locator("button:visible, input:visible, select:visible").evaluate_all(
        "all => all.filter(one => !one.getAttribute('aria-label') && !one.textContent.trim() && !one.labels?.length)"
        ".map(one => one.outerHTML)"
    )
    assert nameless == []
    expect(tab.get_by_role("table", name="Voices").get_by_role("rowheader")).to_have_count(3)


def test_the_first_voice_on_the_board_is_selected(page: Any, tmp_path: Path) -> None:
    folder = VoiceFolderTracker(tmp_path / "run")
    for number, group in enumerate(("unseen real", "trained")):
        folder.emit(replace(comparison(number, step=100, progress=1.0), group=group))
    with serving(tmp_path) as address:
        page.goto(f"{address}/data/plugin_entry.html?name=voices")
        page.locator(".board[data-ready]").wait_for()
        expect(page.locator(".row[data-voice]").first).to_have_attribute("data-voice", "voice-01")
        expect(page.locator(".row[data-selected=true]")).to_have_attribute("data-voice", "voice-01")
        page.goto("about:blank")
