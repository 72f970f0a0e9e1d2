"""The side-by-side page, opened from disk in a real browser."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import DEADLINE_S, write_curves
from playwright.sync_api import expect
from speaking_runs import comparison, write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracker_logging.dashboards.notebook import show
from tracker_logging.dashboards.page import bundle, safe_json

from tracker_logging.cli import main
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.tensorboard_names import shown_name
from tracker_logging.trackers.voice_folder import VoiceFolderTracker

HOSTILE = "</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`first` logs to TensorBoard and has three voices; `second` keeps two of them in a JSON-lines record alone."""
    directory = tmp_path_factory.mktemp("runs")
    write_run(directory / "first", steps=[100, 200, 300], voices=3, skill=0.5)
    first = TensorBoardTracker(directory / "first", config={"lr": 1, "text": HOSTILE, "train_data_file": "a.json"})
    write_curves(first, slope=0.5)
    second = JsonLinesTracker(directory / "second", config={"lr": 2, "text": HOSTILE, "train_data_file": "b.json"})
    for number in range(2):
        for step in (100, 300):
            second.emit(comparison(number, step=step, progress=step / 300))
    write_curves(second, slope=1.0)
    return directory


@pytest.fixture(scope="module")
def written(runs: Path) -> Path:
    """The page of both runs."""
    output = runs / "compare.html"
    assert main(["compare", str(runs / "first"), str(runs / "second"), "-o", str(output)]) == 0
    return output


@pytest.fixture
def opened(page: Any, written: Path) -> Any:
    """The page in the browser, from disk, with a record of what it asked the network for."""
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(written.as_uri())
    section(page, "Voices")
    page.locator(".board[data-ready]").wait_for()
    yield page
    assert [url for url in page.asked if not url.startswith(("file:", "blob:"))] == []


def section(page: Any, name: str) -> Any:
    page.get_by_role("navigation").get_by_role("button", name=name, exact=True).click()
    return page.get_by_label(name, exact=True)


def test_the_page_of_one_run_shows_it_without_an_answer(page: Any, runs: Path) -> None:
    output = runs / "one.html"
    assert main(["compare", str(runs / "first"), "-o", str(output)]) == 0
    page.goto(output.as_uri())
    section(page, "Voices")
    page.locator(".board[data-ready]").wait_for()
    expect(page.locator(".row[data-voice]")).to_have_count(3)
    expect(section(page, "Summary").locator(".answers")).to_have_count(0)
    expect(section(page, "Settings")).to_contain_text("lr")


def test_every_cell_is_drawn_plays_and_switches_without_a_network(opened: Any) -> None:
    expect(opened.locator(".row[data-voice]")).to_have_count(3)
    expect(opened.locator(".header .column")).to_have_text(
        ["Voice", "Reference", "Target", "Codec copy", "first", "second"]
    )
    first = opened.locator(".row[data-voice='voice-00']")
    expect(first.locator(".picture[data-state=drawn]")).to_have_count(5)
    for place in range(5):
        button = first.locator(".cell").nth(place).locator("button.play")
        button.click()
        expect(button).to_have_attribute("data-playing", "true")
        opened.keyboard.press("ArrowRight")
        expect(first.locator(".cell").nth(min(place + 1, 4)).locator("button.play")).to_have_attribute(
            "data-playing", "true"
        )
        opened.keyboard.press("Space")
        expect(opened.locator(".play[data-playing=true]")).to_have_count(0)


def test_a_compressed_clip_has_the_length_of_the_original(opened: Any, runs: Path) -> None:
    about = json.loads((runs / "first/voices/voice-00/voice.json").read_text())["clips"]["target"]
    samples = opened.evaluate(
        """async () => {
            const text = document.getElementById("clip:first/voice-00/target.flac").textContent;
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
            return (await new OfflineAudioContext(1, 1, 24000).decodeAudioData(bytes)).length;
        }"""
    )
    assert samples == round(about["seconds"] * 24_000)


def test_the_page_opens_with_leaderboard_and_answer(page: Any, written: Path) -> None:
    page.goto(written.as_uri())
    summary = page.get_by_label("Summary", exact=True)
    expect(summary.locator(".lead[data-run]")).to_have_count(2)
    expect(summary.locator(".lead[data-run=first] [data-score=sim_margin]")).to_have_text("0.1")
    expect(summary.locator(".answer")).to_contain_text("data (train_data_file: first a.json, second b.json)")
    expect(summary.locator(".answer")).to_contain_text(
        "Too few speakers to tell in sim_margin: 2 speakers, it needs 6."
    )
    summary.get_by_label("Play the first voice of second").click()
    expect(page.locator(".row[data-voice='voice-00'] .cell").nth(4).locator("button.play")).to_have_attribute(
        "data-playing", "true"
    )


def test_the_page_is_shown_before_its_audio_is_there(page: Any, written: Path) -> None:
    content = written.read_bytes()
    rest = threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            audio = content.index(b'<script type="text/plain" id="clip:')
            self.wfile.write(content[:audio])
            rest.wait(DEADLINE_S)
            self.wfile.write(content[audio:])

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{server.server_port}/", wait_until="commit")
        expect(page.get_by_label("Summary", exact=True).locator(".lead[data-run]")).to_have_count(2)
        section(page, "Voices")
        row = page.locator(".row[data-voice='voice-00']")
        expect(row.locator(".cell")).to_have_count(5)
        assert page.locator("[id^='clip:']").count() == 0
        rest.set()
        expect(row.locator(".picture[data-state=drawn]")).to_have_count(5)
        server.shutdown()


def test_the_table_pairs_voices_and_states_where_there_are_too_few(opened: Any) -> None:
    summary = section(opened, "Summary")
    row = summary.locator("tr[data-verdict][data-score=sim_margin]")
    expect(row.locator("td")).to_have_text(
        ["right voice", "0.1", "0.25", "+0.15", "–", "2 / 2", "–", "too few speakers to tell"]
    )
    other = summary.locator("tr[data-verdict][data-score=sim_o] td")
    expect(other).to_have_text(["0.655", "0.805", "+0.15", "–", "2 / 2"])
    expect(summary.locator(".unpaired")).to_contain_text("Only in first, so not paired: voice-02")
    expect(summary.locator(".sentences")).to_contain_text("clip_pct: +0 %; 2 voices of 2 speakers (no verdict).")
    expect(summary.get_by_text("Voices collapse")).to_have_count(2)


def test_curves_hold_the_numbers_of_the_event_file(opened: Any, runs: Path) -> None:
    accumulator = EventAccumulator(str(runs / "first"))
    accumulator.Reload()
    data = json.loads(opened.locator("#data").text_content())
    curves = {curve["tag"]: curve["runs"]["first"] for curve in data["curves"]}
    wanted = [[event.step, event.value] for event in accumulator.Scalars(shown_name("outputs/nll/mean"))]
    assert curves["outputs/nll/mean"] == wanted
    assert curves["train/loss"][6] == [7, None]  # not finite
    figure = section(opened, "Curves").locator("figure[data-tag='outputs/nll/mean']")
    figure.locator(".u-over").hover(position={"x": 1, "y": 50})
    expect(figure.locator(".u-legend .u-value")).to_have_text(["1", f"{wanted[0][1]:.3g}", "4.95"])


def test_one_cursor_and_one_smoothing_for_all_curves(opened: Any) -> None:
    curves = section(opened, "Curves")
    curves.locator("figure[data-tag='train/loss'] .u-over").hover(position={"x": 300, "y": 50})
    other = curves.locator("figure[data-tag='outputs/nll/mean'] .u-legend .u-value")
    expect(other.nth(0)).not_to_have_text("--")
    before = other.nth(1).text_content()
    curves.locator("#smooth").fill("0.9")
    curves.locator("figure[data-tag='train/loss'] .u-over").hover(position={"x": 301, "y": 50})
    expect(other.nth(1)).not_to_have_text(before or "")


def test_settings_that_differ_are_listed_as_text_by_what_they_are_about(opened: Any) -> None:
    settings = section(opened, "Settings")
    expect(settings.locator("h3")).to_have_text(["Data", "Training"])
    expect(settings.locator("tr[data-setting=lr] td")).to_have_text(["1", "2"])
    expect(settings.locator("tr[data-setting=train_data_file] td")).to_have_text(["a.json", "b.json"])
    expect(settings).to_contain_text("1 setting is the same.")
    assert "taken" not in opened.title()
    assert opened.locator("img").count() == 0


def test_audio_that_does_not_fit_is_left_out_by_whole_steps_and_reported(
    page: Any, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "small.html"
    arguments = ["compare", str(runs / "first"), str(runs / "second"), "-o", str(output), "--max-mb", "0.7"]
    assert main([*arguments, "--audio-format", "opus"]) == 0
    output_text = capsys.readouterr().out
    assert "Audio of 1 step left out to stay under 0.7 MB (--max-mb): 200." in output_text
    assert output.stat().st_size <= 700_000
    page.goto(f"{output.as_uri()}#section=Voices")
    page.locator(".board[data-ready]").wait_for()
    page.get_by_role("button", name="Earlier step").click()
    cell = page.locator(".row[data-voice='voice-00'] .cell").nth(3)
    expect(cell.locator(".notes")).to_have_text("audio left out to limit the size of the page")
    expect(cell.locator(".chip", has_text="sim_o")).to_be_visible()


@pytest.mark.parametrize("audio_format", ["mp3", "opus", "vorbis", "flac", "wav"])
def test_every_audio_format_is_decoded(page: Any, runs: Path, tmp_path: Path, audio_format: str) -> None:
    output = tmp_path / "page.html"
    main(["compare", str(runs / "second"), str(runs / "first"), "-o", str(output), "--audio-format", audio_format])
    page.goto(f"{output.as_uri()}#section=Voices")
    expect(page.locator(".row[data-voice='voice-00'] .picture[data-state=drawn]")).to_have_count(5)


def test_a_notebook_shows_one_run_or_several_inline(page: Any, runs: Path) -> None:
    for places, count in ((runs / "first", 1), ([runs / "first", str(runs / "second")], 2)):
        page.set_content(show(places)._repr_html_())
        frame = page.frame_locator("iframe")
        expect(frame.get_by_label("Summary", exact=True).locator(".lead[data-run]")).to_have_count(count)
        frame.get_by_role("button", name="Voices", exact=True).click()
        expect(frame.locator(".row[data-voice='voice-00'] .picture[data-state=drawn]")).to_have_count(3 + count)


def test_groups_of_voices_have_titles_that_fold_them_and_a_codec_copy_is_explained(page: Any, tmp_path: Path) -> None:
    for run, progress in (("a", 1.0), ("b", 0.5)):
        folder = VoiceFolderTracker(tmp_path / run)
        for number, group in enumerate(("unseen real", "trained", "unseen real")):
            folder.emit(replace(comparison(number, step=100, progress=progress), group=group))
    output = tmp_path / "compare.html"
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(output)]) == 0
    page.goto(output.as_uri())
    section(page, "Voices")
    page.locator(".board[data-ready]").wait_for()
    rows = page.locator(".table > .group strong, .table > [data-voice] .id")
    expect(rows).to_have_text(["trained", "voice-01", "unseen real", "voice-00", "voice-02"])
    expect(page.locator(".group .means").last).to_have_text("sim_o 0.81 (a), sim_o 0.66 (b)")
    title = page.get_by_role("button", name="unseen real")
    title.press("Enter")
    expect(title).to_have_attribute("aria-expanded", "false")
    expect(rows).to_have_text(["trained", "voice-01", "unseen real"])
    expect(title).to_be_focused()
    title.click()
    expect(rows).to_have_count(5)
    page.get_by_role("button", name="Codec copy", exact=True).press("Enter")
    about = page.locator("#about-codec")
    expect(about).to_contain_text("encoded to codes and decoded again")
    page.keyboard.press("Escape")
    expect(about).not_to_be_visible()


def test_files_that_cannot_be_read_are_named_on_the_page(page: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "a", steps=[1, 2], voices=1)
    (tmp_path / "a/voices/voice-00/step-00000002.json").write_text("{")
    assert main(["compare", str(tmp_path / "a"), "-o", str(tmp_path / "compare.html")]) == 0
    page.goto((tmp_path / "compare.html").as_uri())
    problem = "Cannot be read: a: voice-00/step-00000002.json is left out: JSONDecodeError"
    expect(page.get_by_label("Summary", exact=True).locator(".note")).to_have_text(problem)
    section(page, "Voices")
    expect(page.locator(".board .problems")).to_have_text(problem)


def test_the_modules_fit_into_one_script() -> None:
    script = bundle("page.js")
    assert [line for line in script.splitlines() if line.startswith(("import ", "export "))] == []
    assert script.count("class Board ") == 1


def test_data_cannot_end_its_element() -> None:
    assert "<" not in safe_json({"text": HOSTILE})
    assert json.loads(safe_json({"text": HOSTILE})) == {"text": HOSTILE}
