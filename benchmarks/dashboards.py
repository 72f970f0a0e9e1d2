"""Measures the dashboards with many voices (2 runs × 100 steps × 8 voices) and TensorBoard's own audio tab.

    python benchmarks/dashboards.py [--steps 100] [--voices 8]

Needs Chromium and Playwright (see tests/dashboards/conftest.py). Prints one line per measurement. Time to
first paint is the time from opening the URL until the first rows, or audio cards, are there: median of `REPEATS` loads.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "dashboards"))

from conftest import BROWSER, QUIET, serving
from playwright.sync_api import sync_playwright
from speaking_runs import comparison, write_run
from tracker_logging.dashboards.compare import compare, write_page
from tracker_logging.dashboards.voice_runs import VoiceRuns

from tracker_logging.events import Audio, Scalars
from tracker_logging.trackers.tensorboard import TensorBoardTracker

REPEATS = 5
READY_MS = 120_000


def write_runs(directory: Path, *, steps: int, voices: int) -> None:
    """Two runs with the same voices as files and as TensorBoard audio."""
    every = [100 * (step + 1) for step in range(steps)]
    for name, skill in (("first", 0.6), ("second", 1.0)):
        write_run(directory / name, steps=every, voices=voices, skill=skill)
        tracker = TensorBoardTracker(directory / name)
        for step in every:
            tracker.emit(Scalars(step=step, values={"outputs/nll/mean": 5.0 - step / every[-1]}))
            for number in range(voices):
                voice = comparison(number, step=step, progress=skill * step / every[-1])
                clips = {"generated": voice.clips["generated"]}
                tracker.emit(Audio(step=step, tag=f"voices/{voice.voice_id}", clips=clips))
        tracker.close()


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def paint_s(browser: Any, address: str, selector: str, *, frame: str | None = None) -> float:
    """Median time from opening `address` in a fresh context until `selector` is there."""
    times = []
    for _ in range(REPEATS):
        context = browser.new_context(viewport={"width": 1500, "height": 950})
        page = context.new_page()
        start = time.perf_counter()
        page.goto(address, wait_until="commit")
        place = page.frame_locator(frame) if frame else page
        place.locator(selector).first.wait_for(timeout=READY_MS)
        times.append(time.perf_counter() - start)
        context.close()
    return statistics.median(times)


def measure_tab(browser: Any, logdir: Path) -> None:
    runs = VoiceRuns({"": logdir})
    print(f"voices of all runs, first time        {seconds(lambda: runs.wait(READY_MS / 1e3)):7.2f} s")
    print(f"voices of all runs, again             {seconds(runs.table):7.2f} s")
    with serving(logdir, "--samples_per_plugin", "audio=1000") as address:
        index = f"{address}/data/plugin/voices/runs.json"
        print(f"table over HTTP, first time           {seconds(lambda: urllib.request.urlopen(index).read()):7.2f} s")
        alone = paint_s(browser, f"{address}/data/plugin_entry.html?name=voices", ".row[data-voice] .text")
        print(f"Voices tab alone, first paint         {alone:7.2f} s")
        frame = "iframe[src*='name=voices']"
        within = paint_s(browser, f"{address}/#voices", ".row[data-voice] .text", frame=frame)
        print(f"TensorBoard opened at the Voices tab  {within:7.2f} s")
        empty = paint_s(browser, f"{address}/#timeseries", "metrics-main-view")
        print(f"TensorBoard opened at Time Series     {empty:7.2f} s")
        stock = paint_s(browser, f"{address}/#audio", "tf-audio-loader audio")
        print(f"TensorBoard opened at its audio tab   {stock:7.2f} s")


def measure_page(browser: Any, logdir: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        paths = [logdir / "first", logdir / "second"]
        start = time.perf_counter()
        report = compare(paths)
        print(f"reading two runs for the page         {time.perf_counter() - start:7.2f} s")
        for audio_format, max_mb in (("mp3", 1000.0), ("mp3", 20.0), ("flac", 1000.0)):
            output = Path(scratch) / "compare.html"
            start = time.perf_counter()
            sound = write_page(report, output, audio_format=audio_format, max_mb=max_mb)
            built = time.perf_counter() - start
            painted = paint_s(browser, output.as_uri(), ".lead[data-run]")
            what = (
                f"{output.stat().st_size / 1e6:.1f} MB, {len(sound.clips)} clips, {len(sound.left_out)} steps left out"
            )
            print(f"page, {audio_format:4} ≤ {max_mb:4.0f} MB, built in         {built:7.2f} s ({what})")
            print(f"page, {audio_format:4} ≤ {max_mb:4.0f} MB, first paint      {painted:7.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--voices", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        logdir = Path(directory) / "runs"
        write_runs(logdir, steps=args.steps, voices=args.voices)
        size = sum(path.stat().st_size for path in logdir.rglob("*") if path.is_file()) / 1e6
        print(f"2 runs × {args.steps} steps × {args.voices} voices, {size:.0f} MB on disk")
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET.split())
        measure_tab(browser, logdir)
        measure_page(browser, logdir)
        browser.close()


if __name__ == "__main__":
    main()
