"""Takes the screenshots of docs/dashboards.md from two runs of the demo.

    python docs/make_screenshots.py outputs/demo/runs recipe shifted-labels

Needs Chromium, Playwright and the test requirements. Pictures are reduced to 256 colours to keep them small.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "dashboards"))

from conftest import BROWSER, QUIET, serving
from PIL import Image
from playwright.sync_api import sync_playwright
from tracker_logging.dashboards.open_run import SAMPLES, pinned_link

from tracker_logging.cli import main as command_line
from tracker_logging.runs.tensorboard import shown_tags

IMAGES = Path(__file__).parent / "images"
MOST_BYTES = 300_000
PATIENCE_MS = 120_000  # on a busy machine
SETTLE_MS = 2500  # TensorBoard draws its charts with an animation


def keep(page: Any, name: str) -> None:
    """Save the visible part of the page as docs/images/NAME.png."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = IMAGES / f"{name}.png"
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {size // 1000} kB")
    if size >= MOST_BYTES:
        raise SystemExit(f"{path.name} is larger than {MOST_BYTES // 1000} kB")


def open_page(browser: Any, address: str, *, width: int, dark: bool = False, height: int = 950) -> Any:
    scheme = "dark" if dark else "light"
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    return page


def show_tab(browser: Any, address: str) -> None:
    for name, width, dark in (("voices-tab", 1500, False), ("voices-tab-narrow-dark", 800, True)):
        page = open_page(browser, f"{address}/?darkMode={str(dark).lower()}#voices", width=width, dark=dark)
        frame = page.frame_locator("iframe[src*='name=voices']")
        frame.locator(".row[data-selected=true] .picture[data-state=drawn]").nth(4).wait_for()
        page.wait_for_timeout(SETTLE_MS)
        keep(page, name)
        if not dark:
            frame.get_by_role("button", name="Listening test").click()
            frame.get_by_label("Your name or number").fill("1")
            frame.get_by_role("button", name="Begin").click()
            frame.locator("[data-clip=A]").click()
            page.wait_for_timeout(SETTLE_MS)
            keep(page, "listening-test")


def show_stock(browser: Any, address: str, run: Path) -> None:
    page = open_page(browser, f"{address}/{pinned_link(run.name, shown_tags(run))}", width=1500)
    page.locator("metrics-pinned-view card-view").first.wait_for()
    page.wait_for_timeout(2 * SETTLE_MS)
    keep(page, "pinned")
    page = open_page(browser, f"{address}/#custom_scalars", width=1500)
    page.wait_for_timeout(2 * SETTLE_MS)
    keep(page, "custom-scalars")


def show_page(browser: Any, runs: list[Path]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "compare.html"
        command_line(["compare", *map(str, runs), "-o", str(output)])
        page = open_page(browser, output.as_uri(), width=1500)
        for section in ("Summary", "Curves"):
            page.get_by_role("navigation").get_by_role("button", name=section, exact=True).click()
            page.wait_for_timeout(SETTLE_MS)
            if section == "Curves":
                page.locator(".u-over").first.hover()
            keep(page, f"compare-{section.lower()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logdir", type=Path)
    parser.add_argument("runs", nargs="+", help="two names of runs in it")
    args = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    runs = [args.logdir / name for name in args.runs]
    with sync_playwright() as playwright, serving(args.logdir, *SAMPLES.split()) as address:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET.split())
        show_tab(browser, address)
        show_stock(browser, address, runs[0])
        show_page(browser, runs)
        browser.close()


if __name__ == "__main__":
    main()
