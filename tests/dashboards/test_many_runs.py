"""What the Voices tab costs where there are many runs: requests, searches of the tree, looks for changes."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DEADLINE_S, serving, wait_for
from playwright.sync_api import expect
from scored_runs import draw_scores, speaker_of, write_scores
from speaking_runs import write_run
from tracker_logging.dashboards import run_places, voice_runs
from tracker_logging.dashboards.voice_runs import VoiceRuns

NO_TIME = {"live": 0.0, "old": 0.0}


def versions(runs: VoiceRuns) -> dict[str, str]:
    return {run["name"]: run["version"] for run in runs.table()["runs"]}


def test_the_tab_asks_for_each_file_and_each_run_once(page: Any, tensorboard: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/plugin/voices/")[2]))
    page.goto(f"{tensorboard}/data/plugin_entry.html?name=voices")
    page.locator(".board[data-ready]").wait_for()
    requests = Counter(address for address in asked if address and not address.startswith("clip?"))
    assert requests.pop("runs.json") >= 1  # it is polled every few seconds
    files = ("static/tab.js", "static/board.js", "static/board.css", "static/leaderboard.css")
    assert requests == dict.fromkeys((*files, "voices.json?run=careful", "voices.json?run=hasty"), 1)


def test_only_the_first_search_of_the_tree_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_places, "_SEARCH_S", 0.0)
    monkeypatch.setattr(run_places, "_SEARCH_SHARE", 0.0)
    write_run(tmp_path / "a", steps=[1], voices=1)
    runs = VoiceRuns({"": tmp_path})
    assert runs.names() == ["a"]
    begun, free = threading.Event(), threading.Event()
    find = run_places.directories_with_voices

    def hanging(root: Path) -> list[Path]:
        begun.set()
        assert free.wait(DEADLINE_S)
        return list(find(root))

    monkeypatch.setattr(run_places, "directories_with_voices", hanging)
    write_run(tmp_path / "b", steps=[1], voices=1)
    assert runs.names() == ["a"]
    assert begun.wait(DEADLINE_S)
    assert list(versions(runs)) == ["a"]  # the search still hangs
    free.set()
    wait_for(lambda: runs.names() == ["a", "b"])


@pytest.mark.parametrize("is_old", [False, True])
def test_a_new_clip_of_any_of_many_runs_appears_within_bounded_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    names = [f"run-{number}" for number in range(8)]
    for place, name in enumerate(names):
        write_run(tmp_path / name, steps=[1], voices=1)
        if is_old or place < 4:
            os.utime(tmp_path / name / "voices/voice-00", (1e9, 1e9))
    looked_at: list[Path] = []
    look = voice_runs._version
    monkeypatch.setattr(voice_runs, "_version", lambda place: (looked_at.append(place), look(place))[1])
    monkeypatch.setattr(voice_runs, "_CHECK_S", NO_TIME)
    runs = VoiceRuns({"": tmp_path})
    before = now = versions(runs)
    for name in names:
        write_run(tmp_path / name, steps=[2], voices=1)
        if is_old:
            os.utime(tmp_path / name / "voices/voice-00", (1.1e9, 1.1e9))
    for _ in names:
        looked_at.clear()
        now = versions(runs)
        assert len(looked_at) <= 2  # one live and one old run
    assert [name for name in names if now[name] == before[name]] == []


def test_a_new_clip_of_a_run_that_is_shown_appears_in_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcdef":
        write_run(tmp_path / name, steps=[1], voices=1)
    monkeypatch.setattr(voice_runs, "_CHECK_S", NO_TIME)
    runs = VoiceRuns({"": tmp_path})
    before = versions(runs)
    for name in "bf":
        runs.voices(name)
        write_run(tmp_path / name, steps=[2], voices=1)
    now = versions(runs)
    assert [name for name in "bf" if now[name] == before[name]] == []


TOUCHED = """key => new Promise(done => {
  const touched = new Set();
  const observer = new MutationObserver(records => {
    for (const { target, addedNodes } of records) {
      touched.add(target);
      for (const node of addedNodes) {
        touched.add(node);
        for (const within of node.querySelectorAll?.("*") ?? []) touched.add(within);
      }
    }
  });
  observer.observe(document, { attributes: true, characterData: true, childList: true, subtree: true });
  document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  let frames = 4;
  const next = () => {
    if (frames--) return requestAnimationFrame(next);
    observer.disconnect();
    const rowOf = (node) => (node.closest ? node : node.parentElement)?.closest(".row[data-voice]");
    const rows = new Set([...touched].map((node) => rowOf(node)?.dataset.voice));
    done({ nodes: touched.size, rows: [...rows].filter(Boolean).sort() });
  };
  next();
})"""  # pictures are not waited for


def test_a_key_touches_as_few_elements_among_many_runs_as_among_few(page: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(60):
        scores = draw_scores(random, voices=5, speakers=5, steps=[100, 200])
        write_scores(tmp_path / f"run-{number:02d}", scores, speaker=partial(speaker_of, speakers=5))
    touched = {}
    with serving(tmp_path) as address:
        for runs, button in ((12, "Best by sim_margin"), (60, "All")):
            page.goto(f"{address}/data/plugin_entry.html?name=voices&shown={runs}#p.voices.voice=v00")
            page.get_by_text("60 of 60 runs", exact=True).wait_for()  # the best are those of the runs that are read
            page.get_by_label("How many of the best runs").fill("12")
            page.get_by_role("button", name=button, exact=True).click()
            expect(page.locator(".row .sparkline").first).to_have_attribute("aria-label", re.compile(f"{runs} runs"))
            page.locator(".board[data-ready]").wait_for()
            keys = ("ArrowDown", "ArrowUp", "ArrowRight", "ArrowDown", "ArrowDown")
            touched[runs] = [page.evaluate(TOUCHED, key) for key in keys]
            assert page.locator(".cell").count() <= 5 * 10  # columns in sight, and one more on either side
        page.goto("about:blank")  # asks the server no more
    few, many = touched[12], touched[60]
    assert [key["rows"] for key in few] == [key["rows"] for key in many]
    assert many[1]["rows"] == ["v00", "v01"]  # both have been in sight: only the old and the new selection
    assert all(of_many["nodes"] <= of_few["nodes"] + 20 for of_few, of_many in zip(few, many, strict=True)), touched
