"""Blind listening tests: two raters who hear only what the browser plays, merged and compared with the truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DEADLINE_S
from playwright.sync_api import expect
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracker_logging.dashboards.ratings import merge, read_ratings

from tracker_logging.cli import main
from tracker_logging.events import Clip, FloatArray, VoiceComparison
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.voice_folder import VoiceFolderTracker

RATE = 8_000  # Hz
SECONDS = 0.13
SPEAKERS = 6

# What a rater hears: pitch and noise of the clip that was started last, through the gain that it is played with.
EAR = """(() => {
  const start = AudioBufferSourceNode.prototype.start;
  window.heard = [];
  AudioBufferSourceNode.prototype.start = function (...at) {
    window.heard.push({ samples: [...this.buffer.getChannelData(0)], rate: this.buffer.sampleRate });
    return start.apply(this, at);
  };
})()"""


def tone(hz: float, *, noise: float, seed: int) -> Clip:
    """A tone with noise, which is a voice with its imperfections here."""
    times = np.arange(int(SECONDS * RATE)) / RATE
    random = np.random.default_rng(seed)
    samples = 0.3 * np.sin(2 * np.pi * hz * times) + noise * random.standard_normal(len(times))
    return Clip(samples=samples.astype(np.float32), sample_rate=RATE)


def write_tones(directory: Path, *, noise: float, growth: float = 0.0) -> Path:
    """A run of one voice for each of six speakers at steps 100 and 200; the second is what is compared."""
    tracker = VoiceFolderTracker(directory)
    for number in range(SPEAKERS):
        hz = 200.0 + 100 * number
        for step in (100, 200):
            clips = {
                "reference": tone(hz, noise=0.0, seed=1),
                "target": tone(hz, noise=0.0, seed=2),
                "generated": tone(hz, noise=noise + growth * number, seed=3 + number),
            }
            tracker.emit(VoiceComparison(
                step=step, voice_id=f"voice-{number}", clips=clips, reference_text="one", target_text=f"no. {number}",
                speaker=f"speaker-{number}", language="en", transcript=None, stop_reason="eos",
                scores={"sim_o": 0.5}, pitch_hz={},
            ))  # fmt: skip
    tracker.close()
    return directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clear` and `rough`, which is noisier, and `again`, which is `clear` once more."""
    directory = tmp_path_factory.mktemp("rated")
    write_tones(directory / "clear", noise=0.01)
    write_tones(directory / "rough", noise=0.03, growth=0.03)
    shutil.copytree(directory / "clear", directory / "again")
    return directory


class Rater:
    """Plays every clip of a trial, and judges what was played by its noise and its pitch."""

    def __init__(self, page: Any, *, bias: int = 0) -> None:
        self.page = page
        self.bias = bias  # added to grades where the scale allows it

    def judge(self, name: str, save: Path) -> dict[str, Any]:
        page = self.page
        page.get_by_label("Your name or number").fill(name)
        page.get_by_role("button", name="Begin").click()
        while page.locator(".test-clip").count():
            trial = page.locator(".test .hint").first.text_content()
            heard = {letter: self.listen(letter) for letter in page.locator(".test-clip strong").all_text_contents()}
            page.keyboard.press(str(self.answer(heard)))
            page.keyboard.press("Enter")
            page.wait_for_function("before => document.querySelector('.test .hint')?.textContent !== before", arg=trial)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save ratings").click()
        download.value.save_as(save)
        content: dict[str, Any] = json.loads(save.read_text())
        return content

    def listen(self, letter: str) -> tuple[float, float, bytes]:
        """Noise as a share of the power, pitch in Hz, and all samples."""
        page = self.page
        before = page.evaluate("heard.length")
        page.keyboard.press(letter.lower())
        page.wait_for_function(
            "([before, played]) => heard.length > before && document.querySelector(played)",
            arg=[before, f".test-clip[data-clip={letter}][data-played=true]"],
        )
        heard = page.evaluate("heard[heard.length - 1]")
        samples: FloatArray = np.array(heard["samples"], dtype=np.float32)
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
        peak = int(power.argmax())
        near = slice(max(0, peak - 3), peak + 4)
        return float(1.0 - power[near].sum() / power.sum()), peak * heard["rate"] / len(samples), samples.tobytes()

    def answer(self, heard: dict[str, tuple[float, float, bytes]]) -> int:
        """The digit of the answer: the scale of preference has seven, of grades five, of ABX two."""
        if "X" in heard:
            if heard["A"][2] == heard["B"][2]:
                return 1 + self.bias  # cannot be told: guesses
            return 1 if heard["X"][2] == heard["A"][2] else 2
        if "R" in heard:
            same = abs(heard["R"][1] - heard["A"][1]) < 50
            return 5 if same and heard["A"][0] < 0.005 else 4 if same else 1
        if "B" in heard:
            change = np.log10(heard["A"][0] + 1e-6) - np.log10(heard["B"][0] + 1e-6)
            return 4 + int(np.clip(round(1.2 * change), -3, 3))
        return 5 - min(4, round(40 * heard["A"][0]))


def compare(runs: Path, *names: str, test: str, seed: int = 3) -> Path:
    """A page for raters."""
    output = runs / f"{test}-{'-'.join(names)}.html"
    places = [str(runs / name) for name in names]
    options = ["--listening-test", test, "--seed", str(seed), "--audio-format", "flac"]
    assert main(["compare", *places, "-o", str(output), *options]) == 0
    return output


def judged(browser: Any, sent: Path, folder: Path, *raters: str) -> list[Path]:
    """The files of the raters, each in a browser of their own, of a page that was sent to them."""
    files = []
    for bias, name in enumerate(raters):
        context = browser.new_context(accept_downloads=True)
        context.set_default_timeout(1000 * DEADLINE_S)
        own = context.new_page()
        own.add_init_script(EAR)
        own.goto(sent.as_uri())
        text = own.locator("body").inner_text()
        assert not [run for run in ("clear", "rough", "again") if run in text or run in own.title()]
        files.append(folder / f"{sent.stem}-{name}.json")
        Rater(own, bias=bias).judge(name, files[-1])
        context.close()
    return files


@pytest.mark.slow
def test_two_raters_find_the_better_run_and_no_difference_of_a_run_from_itself(
    page: Any, browser: Any, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = judged(browser, compare(runs, "rough", "clear", test="preference"), tmp_path, "Ada", "Bo")
    same = judged(browser, compare(runs, "clear", "again", test="preference"), tmp_path, "Ada", "Bo")
    contents = [json.loads(file.read_text()) for file in files]
    orders = [[vote["trial"] for vote in content["votes"]] for content in contents]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]), "an own order for each rater"
    vote = next(vote for vote in contents[0]["votes"] if vote["catch"] is None)
    assert {clip["step"] for clip in vote["clips"].values()} == {200}
    assert all(clip["played_s"] >= 0.8 * SECONDS and clip["gain_db"] is not None for clip in vote["clips"].values())
    capsys.readouterr()
    (better,), (equal,) = (merged_results(those, capsys) for those in (files, same))
    assert better["systems"] == ["rough@200", "clear@200"] and better["verdict"] == "better" and better["low"] > 0
    assert equal["systems"] == ["clear@200", "again@200"] and equal["verdict"] == "none" and equal["mean"] == 0
    merged = merge([read_ratings(file) for file in files + same])
    assert merged["agreement"][0]["alpha"] > 0.9
    assert [(row["rater"], row["catch_right"], row["catch_total"]) for row in merged["raters"]] == [
        ("Ada", 2, 2), ("Bo", 2, 2)]  # fmt: skip
    assert {row["verdict"] for row in merged["results"]} == {"too few"}, "two tests need seven speakers"

    assert main(["compare", str(runs / "rough"), str(runs / "clear"), "-o", str(tmp_path / "page.html"),
                 "--ratings", *map(str, files)]) == 0  # fmt: skip
    page.goto((tmp_path / "page.html").as_uri())
    expect(page.locator(".listeners tbody tr")).to_have_count(1)
    expect(page.locator(".listeners tbody")).to_contain_text("clear@200 against rough@200")
    assert "clear@200 is better" in capsys.readouterr().out

    TensorBoardTracker(runs / "clear").close()
    assert main(["ratings", *map(str, files), "--log-to", str(runs / "clear")]) == 0
    accumulator = EventAccumulator(str(runs / "clear"))
    accumulator.Reload()
    assert any("voices/ratings" in tag for tag in accumulator.Tags()["tensors"])


def merged_results(files: list[Path], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What the command prints as JSON."""
    assert main(["ratings", *map(str, files), "--json"]) == 0
    results: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["results"]
    return results


@pytest.mark.slow
@pytest.mark.parametrize(("test", "verdict"), [("abx", "heard"), ("similarity", "better"), ("naturalness", "better")])
def test_the_other_tests_find_the_truth(browser: Any, runs: Path, tmp_path: Path, test: str, verdict: str) -> None:
    (file,) = judged(browser, compare(runs, "rough", "clear", test=test), tmp_path, "Ada")
    merged = merge([read_ratings(file)])
    (rater,) = merged["raters"]
    assert rater["catch_right"] == rater["catch_total"] > 0
    row = merged["results"][-1]
    assert row["systems"] == ["rough@200", "clear@200"] and row["speakers"] == SPEAKERS
    assert row["verdict"] == verdict and row["mean"] > (0.9 if test == "abx" else 0.5)
    if test != "abx":
        grades = {row["systems"][0]: row["mean"] for row in merged["results"] if len(row["systems"]) == 1}
        assert grades["real recording"] >= grades["clear@200"] > grades["rough@200"]


def test_nobody_answers_before_every_clip_was_played_and_a_reload_goes_on(page: Any, runs: Path) -> None:
    page.goto(compare(runs, "rough", "clear", test="preference").as_uri())
    page.get_by_label("Your name or number").fill("Cy")
    page.get_by_role("button", name="Begin").click()
    answers = page.locator(".test-answer:enabled")
    expect(answers).to_have_count(0)
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    expect(page.locator(".test .hint").first).to_contain_text("Trial 1 of 7")
    for letter in "ab":
        page.keyboard.press(letter)
        expect(page.locator(f".test-clip[data-clip={letter.upper()}]")).to_have_attribute("data-played", "true")
    expect(answers).to_have_count(7)
    expect(page.locator(".test-clips")).not_to_contain_text("gain")
    page.keyboard.press("4")
    expect(page.locator(".test-clips")).to_contain_text("gain")
    page.keyboard.press("Enter")
    expect(page.locator(".test .hint").first).to_contain_text("Trial 2 of 7")
    page.reload()
    page.get_by_role("button", name="Begin").click()
    expect(page.locator(".test .hint").first).to_contain_text("Trial 2 of 7")


def rating_file(
    path: Path, rater: str, answers: list[int], *, runs: tuple[str, str] = ("a", "b"), right: int = 4, step: int = 1
) -> Path:
    """A file of one rater: for each voice how much better "b" is than "a"; `right` of four catch trials are."""
    clips = {letter: {"system": run, "step": step} for letter, run in zip("AB", runs, strict=True)}
    sign = 1 if runs == ("a", "b") else -1
    votes = [
        {
            "voice": f"v{number}",
            "speaker": f"s{number}",
            "catch": None,
            "right": None,
            "clips": clips,
            "answer": sign * answer,
        }
        for number, answer in enumerate(answers)
    ]
    votes += [{**votes[0], "catch": "noise", "right": number < right} for number in range(4)]
    content = {"format": "tracker_logging ratings", "version": 1, "mode": "preference", "rater": rater, "runs": runs}
    path.write_text(json.dumps({**content, "votes": votes}))
    return path


def test_a_rater_who_fails_the_catch_trials_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = rating_file(tmp_path / "good.json", "good", [1, 2, 1, 2, 1, 2])
    bad = rating_file(tmp_path / "bad.json", "bad", [-3] * 6, right=2)
    assert main(["ratings", str(good), str(bad)]) == 0
    output = capsys.readouterr().out
    assert "+1.50" in output and "b@1 is better" in output and "no: failed the catch trials" in output
    assert main(["ratings", str(good), str(bad), "--keep-all", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["mean"] == -0.75 and row["raters"] == 2


def test_the_order_of_the_runs_does_not_matter_but_the_steps_do(tmp_path: Path) -> None:
    one = read_ratings(rating_file(tmp_path / "one.json", "one", [1, 2, 0, 2, 1, 2]))
    turned = read_ratings(rating_file(tmp_path / "two.json", "two", [1, 2, 0, 2, 1, 3], runs=("b", "a")))
    later = read_ratings(rating_file(tmp_path / "three.json", "two", [1] * 6, step=2))
    merged = merge([one, turned])
    (row,) = merged["results"]
    assert row["systems"] == ["a@1", "b@1"] and row["mean"] == pytest.approx(8.5 / 6) and row["votes"] == 12
    assert merged["agreement"][0]["alpha"] > 0.8
    assert [row["systems"] for row in merge([one, later])["results"]] == [["a@1", "b@1"], ["a@2", "b@2"]]


def test_raters_who_differ_do_not_agree(tmp_path: Path) -> None:
    files = [rating_file(tmp_path / f"{name}.json", name, answers) for name, answers in
             (("up", [3, -3, 3, -3, 3, -3]), ("down", [-3, 3, -3, 3, -3, 3]))]  # fmt: skip
    merged = merge([read_ratings(file) for file in files])
    assert merged["agreement"][0]["alpha"] < -0.5 and merged["results"][0]["verdict"] == "none"


def test_what_half_of_the_raters_prefer_is_no_verdict_about_other_raters(tmp_path: Path) -> None:
    opinions = {"a": 3, "b": 3, "c": 2, "d": -1, "e": -1, "f": 0}
    files = [
        read_ratings(
            rating_file(tmp_path / f"{name}.json", name, [mean, mean, mean, mean, mean + 1 - 2 * (mean > 0), mean])
        )
        for name, mean in opinions.items()
    ]
    (row,) = merge(files)["results"]
    assert row["mean"] == pytest.approx(1.0) and row["low"] < 0.0 < row["high"] and row["p"] > 0.05
    assert row["interval_over"] == "speakers and raters" and row["verdict"] == "none"
    (of_three,) = merge(files[:3])["results"]
    assert of_three["interval_over"] == "speakers" and of_three["verdict"] == "better"
    assert of_three["sentence"].endswith("b@1 is better for these raters.")


@pytest.mark.parametrize("content", ["", "{}", '{"format": "other", "version": 1, "mode": "abx"}', "[]"])
def test_another_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    assert main(["ratings", str(tmp_path / "other.json")]) == 2
    assert "other.json: " in capsys.readouterr().err
