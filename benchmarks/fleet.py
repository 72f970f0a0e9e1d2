"""Measures the Voices tab with many runs: first paint, an arrow key, the idle poll, sizes and memory of the server.

    python benchmarks/fleet.py [--runs 2,40,300] [--voices 12] [--rounds 20] [--stock]

`--stock` also measures TensorBoard's own audio tab with the same clips as audio in event files; not above 40 runs,
where TensorBoard shows none at first.

Needs Chromium and Playwright (see tests/dashboards/conftest.py). Runs have drawn scores and one short clip, linked to
every place. First paint and key are medians; the key is timed in the page, from the event to the next frame, while it
walks from the first voice to the last: rows come into sight, and their clips are drawn for the first time. Beside it
stands the processor time of the page's main thread, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "dashboards"))

import numpy as np
import soundfile
from conftest import BROWSER, QUIET, serving
from playwright.sync_api import sync_playwright
from scored_runs import draw_scores, speaker_of, write_scores

from tracker_logging.events import Audio, Clip
from tracker_logging.trackers.tensorboard import TensorBoardTracker
from tracker_logging.trackers.voice_folder import FOLDER

REPEATS = 5
POLLS = 50
STOCK_RUNS = 40  # TensorBoard selects no run by itself above
READY_MS = 120_000
SETTLE_MS = 2_000
FEW = 9  # runs of which a chart names each
BETWEEN_KEYS_MS = 100
KEY = """() => new Promise((done) => {
  const begin = performance.now();
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begin)));
})"""


def write_fleet(logdir: Path, *, runs: int, voices: int, rounds: int) -> None:
    random = np.random.default_rng(0)
    noise = (0.1 * random.standard_normal(24_000)).astype(np.float32)
    about = {"file": "", "sample_rate": 24_000, "seconds": 1.0}
    for number in range(runs):
        directory = logdir / f"sweep-{number:03d}"
        directory.mkdir()
        clip = directory / "clip.flac"  # one file has at most 65,000 links
        soundfile.write(clip, noise, 24_000, format="FLAC")
        scores = draw_scores(random, voices=voices, speakers=voices, steps=range(100, 100 * rounds + 1, 100))
        write_scores(directory, scores, speaker=partial(speaker_of, speakers=voices))
        for folder in (directory / FOLDER).iterdir():
            for sidecar in folder.glob("step-*.json"):
                sound = sidecar.with_suffix(".flac")
                os.link(clip, sound)
                content = json.loads(sidecar.read_text()) | {"clip": {**about, "file": sound.name}}
                sidecar.write_text(json.dumps(content))


def age(logdir: Path) -> None:
    """Let all runs but the last have been written yesterday, as in a fleet of which one is training."""
    yesterday = time.time() - 86_400
    for directory in sorted(logdir.iterdir())[:-1]:
        for voice in (directory / FOLDER).iterdir():
            os.utime(voice, (yesterday, yesterday))


def measure_live(logdir: Path) -> None:
    """The idle poll where every run has just been written."""
    with serving(logdir) as address:
        table = f"{address}/data/plugin/voices/runs.json"
        wait_until_read(table)
        wall, processor = poll_ms(address, table, urllib.request.urlopen(table).headers["ETag"])
        print(f"  idle poll, all runs live          {processor:8.1f} ms of processor, {wall:.1f} ms until answered")


def wait_until_read(table: str) -> None:
    while any(run["pending"] for run in json.loads(urllib.request.urlopen(table).read())["runs"]):
        time.sleep(0.2)


def write_stock(logdir: Path, *, runs: int, voices: int, rounds: int) -> None:
    """The same number of clips of the same length as audio in event files."""
    noise = (0.1 * np.random.default_rng(0).standard_normal(24_000)).astype(np.float32)
    clips = {"generated": Clip(samples=noise, sample_rate=24_000)}
    for number in range(runs):
        tracker = TensorBoardTracker(logdir / f"sweep-{number:03d}")
        for step in range(100, 100 * rounds + 1, 100):
            for voice in range(voices):
                tracker.emit(Audio(step=step, tag=f"voices/v{voice:02d}", clips=clips))
        tracker.close()


def measure_stock(browser: Any, logdir: Path, *, runs: int, voices: int) -> None:
    with serving(logdir) as address:
        tags = f"{address}/data/plugin/audio/tags"
        begin = time.perf_counter()
        while sum(map(len, json.loads(urllib.request.urlopen(tags).read()).values())) < runs * voices:
            time.sleep(0.5)
        print(f"  stock audio tab: event files read {time.perf_counter() - begin:8.2f} s")
        paint = paint_s(browser, f"{address}/#audio", "tf-audio-loader audio", repeats=3)
        print(f"  stock audio tab: first paint      {paint:8.2f} s")
        print(f"  stock audio tab: memory of server {memory_mb(address):8.0f} MB")


def measure(browser: Any, logdir: Path, *, runs: int) -> None:
    with serving(logdir) as address:
        table = f"{address}/data/plugin/voices/runs.json"
        tab = f"{address}/data/plugin_entry.html?name=voices"
        print(f"  first paint, nothing read yet     {paint_s(browser, tab, repeats=1):8.2f} s")
        begin = time.perf_counter()
        wait_until_read(table)
        print(f"  all runs read after               {time.perf_counter() - begin:8.2f} s more")
        print(f"  first paint                       {paint_s(browser, tab):8.2f} s")
        answer = urllib.request.urlopen(table)
        print(f"  table of runs                     {len(answer.read()) / 1e3:8.0f} kB")
        wall, processor = poll_ms(address, table, answer.headers["ETag"])
        print(f"  idle poll                         {processor:8.1f} ms of processor, {wall:.1f} ms until answered")
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.goto(tab)
        page.locator(".board[data-ready]").wait_for(timeout=READY_MS)
        print(f"  arrow key                         {walk(page)}")
        if runs > FEW:  # else all are shown from the start
            begin = time.perf_counter()
            page.get_by_role("button", name="All", exact=True).click()
            page.locator(f".row .sparkline[aria-label*='{runs} runs']").first.wait_for(timeout=READY_MS)
            print(f"  all runs shown after              {time.perf_counter() - begin:8.2f} s")
            print(f"  arrow key, all runs shown         {walk(page)}")
        page.close()
        print(f"  memory of the server              {memory_mb(address):8.0f} MB")


def walk(page: Any) -> str:
    """Medians of an arrow key from the first voice to the last one."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})  # time of the processor

    def processor_s() -> float:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    first = page.locator(".row[data-voice] .play:enabled").first
    first.focus()
    page.wait_for_timeout(SETTLE_MS)
    walls, used = [], []
    for _ in range(page.locator(".row[data-voice]").count() - 1):
        before = processor_s()
        walls.append(page.evaluate(KEY))
        used.append(1e3 * (processor_s() - before))
        page.wait_for_timeout(BETWEEN_KEYS_MS)
    cells = page.locator(".cell").count()
    wall, processor = statistics.median(walls), statistics.median(used)
    return f"{wall:8.1f} ms, longest {max(walls):.0f} ms; {processor:.1f} ms of processor ({cells} cells built)"


def paint_s(browser: Any, address: str, selector: str = ".row[data-voice] .text", repeats: int = REPEATS) -> float:
    times = []
    for _ in range(repeats):
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        begin = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.locator(selector).first.wait_for(timeout=READY_MS, state="attached")
        times.append(time.perf_counter() - begin)
        page.close()
    return statistics.median(times)


def poll_ms(address: str, table: str, etag: str) -> tuple[float, float]:
    """Of one poll: median time until the answer, and mean time of the server's processor."""
    times = []
    used = processor_s(address)
    for _ in range(POLLS):
        begin = time.perf_counter()
        try:
            urllib.request.urlopen(urllib.request.Request(table, headers={"If-None-Match": etag})).read()
        except urllib.error.HTTPError as unchanged:
            assert unchanged.code == 304
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times), 1e3 * (processor_s(address) - used) / POLLS


def processor_s(address: str) -> float:
    """Time of the processor that the server has used."""
    fields = (server_of(address) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(address: str) -> float:
    """Resident memory of the server."""
    pages = int((server_of(address) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def server_of(address: str) -> Path:
    """The folder below /proc of the TensorBoard that listens on the port of the address."""
    port = address.rpartition(":")[2].encode()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"tensorboard.main" in command and port in command:
            return place
    raise RuntimeError(f"no TensorBoard at {address}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="2,40,300")
    parser.add_argument("--voices", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--stock", action="store_true", help="also measure TensorBoard's own audio tab")
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET.split())
        for runs in map(int, args.runs.split(",")):
            with tempfile.TemporaryDirectory() as directory:
                logdir = Path(directory) / "runs"
                logdir.mkdir()
                write_fleet(logdir, runs=runs, voices=args.voices, rounds=args.rounds)
                print(f"{runs} runs × {args.voices} voices × {args.rounds} rounds")
                measure_live(logdir)
                age(logdir)
                measure(browser, logdir, runs=runs)
            if args.stock and runs <= STOCK_RUNS:
                with tempfile.TemporaryDirectory() as directory:
                    write_stock(Path(directory), runs=runs, voices=args.voices, rounds=args.rounds)
                    measure_stock(browser, Path(directory), runs=runs, voices=args.voices)
        browser.close()


if __name__ == "__main__":
    main()
