"""Voices scored in another process: the same scores, and no clip is lost when the process fails."""

import hashlib
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker_logging.events import Event, VoiceComparison
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.trackers.event_json import to_json
from tracker_logging.voices.clips import ClipDecoder, GeneratedClip
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import VoiceScorer
from tracker_logging.voices.scoring_process import ScoringError, ScoringProcess, open_scorer

pytestmark = pytest.mark.slow

OFF = ScorerChoice(encoder="off", pitch="off", cepstrum="off", speech="off", quality=())
SOON_S = 90.0


class ProcessEncoder:
    """A speaker encoder that returns the id of its process; named on a command line as `module:factory`."""

    name = "process"

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        return np.array([os.getpid(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())], dtype=np.float64)


class Fatal:
    """A scorer that ends its process."""

    name = "fatal"

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        os._exit(3)


class Stuck:
    """A scorer that never answers."""

    name = "stuck"

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        threading.Event().wait()
        raise AssertionError


@pytest.fixture(scope="module")
def clips(demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor) -> list[GeneratedClip]:
    prompts = demo_prompts[:2]
    results = [
        Generated(voice_id=prompt.voice_id, codes=demo_processor.codes(prompt.sample.target_audio), stop_reason="eos")
        for prompt in prompts
    ]
    return ClipDecoder(prompts, demo_processor).decode(results)


@pytest.fixture
def started() -> Iterator[Callable[..., ScoringProcess]]:
    """Starts a process for a choice; all are ended after the test."""
    scorers: list[ScoringProcess] = []

    def start(choice: ScorerChoice) -> ScoringProcess:
        scorers.append(ScoringProcess(choice))
        return scorers[-1]

    yield start
    for scorer in scorers:
        scorer.close()


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_events_are_those_of_the_same_scorer_in_this_process(
    started: Callable[..., ScoringProcess], clips: list[GeneratedClip]
) -> None:
    choice = replace(OFF, encoder=None, cepstrum="world")
    here = VoiceScorer(choose_instruments(choice))
    there = started(choice)
    for step in (1, 2):
        expected, found = (list(scorer.score(step=step, clips=clips)) for scorer in (here, there))
        assert [content(event) for event in found] == [content(event) for event in expected]


def content(event: Event) -> dict[str, Any]:
    """Everything in an event, its clips by a hash of their samples."""
    return to_json(event, lambda data, stem, suffix: hashlib.sha256(data).hexdigest())


def embeddings(events: Iterator[Event]) -> list[np.ndarray]:
    return [event.embeddings["generated"] for event in events if isinstance(event, VoiceComparison)]


@pytest.mark.skipif(sys.platform != "linux", reason="a nice value per thread is Linux's")
def test_a_custom_scorer_runs_in_the_other_process_below_the_priority_of_training_until_training_waits(
    started: Callable[..., ScoringProcess], clips: list[GeneratedClip]
) -> None:
    scorer = started(replace(OFF, encoder=f"{__name__}:ProcessEncoder"))
    processes, nice_values = zip(*embeddings(scorer.score(step=1, clips=clips)), strict=True)
    assert set(processes) == {scorer.process_id} and scorer.process_id != os.getpid()
    assert all(nice > os.nice(0) for nice in nice_values) or os.nice(0) == 19
    scorer.hurry()
    _, nice_values = zip(*embeddings(scorer.score(step=2, clips=clips)), strict=True)
    assert set(nice_values) == {os.nice(0)}


def test_a_process_that_dies_is_replaced_for_the_next_round(
    started: Callable[..., ScoringProcess], clips: list[GeneratedClip]
) -> None:
    scorer = started(replace(OFF, encoder=f"{__name__}:Fatal"))
    for step in (1, 2):
        with pytest.raises(ScoringError, match=r"died \(exit code 3\); another is started for the next round"):
            list(scorer.score(step=step, clips=clips))


def test_closing_ends_a_process_that_is_stuck(
    started: Callable[..., ScoringProcess], clips: list[GeneratedClip]
) -> None:
    scorer = started(replace(OFF, encoder=f"{__name__}:Stuck"))
    pid = scorer.process_id
    errors: list[Exception] = []

    def score() -> None:
        try:
            list(scorer.score(step=1, clips=clips))
        except ScoringError as error:
            errors.append(error)

    thread = threading.Thread(target=score)
    thread.start()
    scorer.close()
    thread.join(timeout=SOON_S)
    assert len(errors) == 1 and not running(pid)


def test_the_process_ends_with_a_parent_that_is_killed() -> None:
    code = """
import os, sys
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.scoring_process import ScoringProcess
off = ScorerChoice(encoder="off", pitch="off", cepstrum="off", speech="off", quality=())
scorer = ScoringProcess(off)
if os.fork() == 0:  # like a worker of a data loader, which holds all that was open when it was forked
    sys.stdin.read()
    os._exit(0)
print(scorer.process_id, flush=True)
os.kill(os.getpid(), 9)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert parent.wait(timeout=SOON_S) == -9
    assert until(lambda: not running(pid))
    parent.stdin.close()
    parent.stdout.close()


def test_a_codec_that_cannot_be_pickled_does_not_keep_voices_from_being_scored_in_another_process(
    started: Callable[..., ScoringProcess], demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor
) -> None:
    class Local(type(demo_processor.codec)):  # a class that another process cannot import
        def __reduce__(self) -> str:
            raise TypeError("this codec stays here")

    codec = Local.load(demo_processor.codes.directory.parent / "codec")
    codes = demo_processor.codes(demo_prompts[0].sample.target_audio)
    result = Generated(voice_id=demo_prompts[0].voice_id, codes=codes, stop_reason="eos")
    clips = ClipDecoder(demo_prompts[:1], replace(demo_processor, codec=codec)).decode([result])
    (event,) = (e for e in started(OFF).score(step=1, clips=clips) if isinstance(e, VoiceComparison))
    assert event.scores["dur_ratio"] == pytest.approx(1.0)


def test_a_scorer_that_another_process_cannot_import_runs_in_this_one_with_a_warning(
    clips: list[GeneratedClip], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = types.ModuleType("scorers_of_a_notebook")
    notebook.Mine = ProcessEncoder
    monkeypatch.setitem(sys.modules, notebook.__name__, notebook)
    scorer = open_scorer(replace(OFF, encoder="scorers_of_a_notebook:Mine"))
    assert "thread of the training process" in caplog.text
    assert {int(process) for process, _ in embeddings(scorer.score(step=1, clips=clips))} == {os.getpid()}


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="Choose one of ge2e, wavlm, seed-tts, off, NAME=PATH"):
        open_scorer(replace(OFF, encoder="geee"))


def test_scores_that_are_left_out_are_logged_in_the_training_process(
    started: Callable[..., ScoringProcess],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "swift_f0").mkdir()
    (tmp_path / "swift_f0" / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level("INFO"):
        started(replace(OFF, pitch=None))
    assert "pip install 'tracker-logging[voice]'" in caplog.text
