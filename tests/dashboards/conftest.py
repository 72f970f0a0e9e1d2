"""A real browser and a real TensorBoard on loopback."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from speaking_runs import write_run

from tracker_logging.events import Alert, Scalars

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    " --disable-sync --autoplay-policy=no-user-gesture-required"
)
DEADLINE_S = 60


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium. Skips where there is none."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no browser driver; fix: pip install playwright")
    if BROWSER is None:
        pytest.skip("no browser; fix: apt-get install chromium, or name one in CHROMIUM")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * DEADLINE_S)  # the machines of tests are busy
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=QUIET.split(), timeout=1000 * DEADLINE_S)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page of 1500 × 950 whose errors fail the test."""
    context = browser.new_context(viewport={"width": 1500, "height": 950}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(1000 * DEADLINE_S)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if _is_ours(message) else None)
    yield page
    context.close()
    assert errors == []


def _is_ours(message: Any) -> bool:
    """An error, and not that the bare plugin page has no icon."""
    return bool(message.type == "error" and "favicon" not in message.location["url"])


@pytest.fixture(scope="session")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: `careful` has every step and learns, `hasty` has fewer steps and one voice less."""
    directory = tmp_path_factory.mktemp("logs") / "runs"
    write_run(directory / "careful", steps=[100, 200, 300], voices=3)
    write_run(directory / "hasty", steps=[100, 250], voices=2, skill=0.5)
    return directory


@pytest.fixture(scope="session")
def tensorboard(logdir: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows `logdir`."""
    with serving(logdir) as address:
        yield address


@contextlib.contextmanager
def serving(logdir: Path | str | None, *options: str) -> Iterator[str]:
    """Runs TensorBoard on a free port until the block ends; gives its address. `logdir` None: `options` name it."""
    where = [] if logdir is None else ["--logdir", str(logdir)]
    command = [sys.executable, "-m", "tensorboard.main", *where, "--host", "127.0.0.1", "--port", "0", *options]
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "stderr"
        with said.open("w") as errors:
            process = subprocess.Popen(command, stderr=errors)
        try:
            wait_for(lambda: _address(said) is not None or _ended(process, said))
            address = _address(said)
            assert address is not None
            wait_for(lambda: _answers(address) or _ended(process, said))
            yield address
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def _address(said: Path) -> str | None:
    """The address that TensorBoard has chosen, as soon as it has written it."""
    found = re.search(r" at (http://127\.0\.0\.1:\d+)/", said.read_text())
    return None if found is None else found[1]


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/data/plugins_listing").read()
    except OSError:
        return False
    return True


def _ended(process: subprocess.Popen[bytes], said: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"TensorBoard ended: {said.read_text()[-2000:]}")
    return False


def wait_for(condition: Callable[[], bool]) -> None:
    """Look again until it holds; TimeoutError after `DEADLINE_S`."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        select.select([], [], [], 0.1)  # let the other process run


def write_curves(tracker: Any, *, slope: float) -> None:
    """Two curves, one with a value that is not finite, and a finding; closes the tracker."""
    for step in range(1, 21):
        loss = float("nan") if step == 7 else 4.0 - slope * step / 10
        tracker.emit(Scalars(step=step, values={"train/loss": loss, "outputs/nll/mean": 5.0 - slope * step / 20}))
    tracker.emit(Alert(step=9, level="warning", title="Voices collapse", text="<b>between_speaker</b> | rises.\nWait."))
    tracker.close()
