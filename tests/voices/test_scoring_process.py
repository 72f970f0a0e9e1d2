"""Voices scored in another process: the same scores, and no clip is lost when the process fails."""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker_logging.events import Event, VoiceComparison
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import VoiceScorer
from tracker_logging.voices.scoring_process import ScoringError, ScoringProcess, open_scorer

pytestmark = pytest.mark.slow

OFF = ScorerChoice(encoder="off", pitch="off", cepstrum="off", speech="off", quality=())
SOON_S = 30.0


class ProcessEncoder:
    """A speaker encoder that returns the id of its process; named on a command line as `module:factory`."""

    name = "process"

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        return np.array([os.getpid(), os.nice(0)], dtype=np.float32)


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


@pytest.fixture
def prompts(demo_prompts: list[VoicePrompt]) -> list[VoicePrompt]:
    return demo_prompts[:2]


@pytest.fixture
def generated(prompts: list[VoicePrompt], demo_processor: SpeechProcessor) -> list[Generated]:
    codes = [demo_processor.codes(one.sample.target_audio) for one in prompts]
    return [
        Generated(voice_id=one.voice_id, codes=own, stop_reason="eos") for one, own in zip(prompts, codes, strict=True)
    ]


@pytest.fixture
def started(prompts: list[VoicePrompt], demo_processor: SpeechProcessor) -> Iterator[Callable[..., ScoringProcess]]:
    """Starts a process for a choice; all are ended after the test."""
    scorers: list[ScoringProcess] = []

    def start(choice: ScorerChoice) -> ScoringProcess:
        scorers.append(ScoringProcess(prompts, demo_processor, choice))
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
    started: Callable[..., ScoringProcess], prompts: list, generated: list, demo_processor: SpeechProcessor
) -> None:
    choice = replace(OFF, encoder=None, cepstrum="world")
    here = VoiceScorer(prompts, demo_processor, choose_instruments(choice))
    there = started(choice)
    for step in (1, 2):
        expected, found = (list(scorer.score(step=step, generated=generated)) for scorer in (here, there))
        assert [pickle.dumps(event) for event in found] == [pickle.dumps(event) for event in expected]


def test_a_custom_scorer_runs_in_the_other_process_at_lower_priority(
    started: Callable[..., ScoringProcess], generated: list
) -> None:
    scorer = started(replace(OFF, encoder=f"{__name__}:ProcessEncoder"))
    events: list[Event] = list(scorer.score(step=1, generated=generated))
    assert all(event.scores["sim_o"] == pytest.approx(1.0) for event in events if isinstance(event, VoiceComparison))
    assert scorer.process_id not in (None, os.getpid())
    assert os.getpriority(os.PRIO_PROCESS, scorer.process_id) > os.nice(0)


def test_a_process_that_dies_leaves_clips_without_scores_and_is_replaced(
    started: Callable[..., ScoringProcess], generated: list
) -> None:
    scorer = started(replace(OFF, encoder=f"{__name__}:Fatal"))
    for step in (1, 2):
        rows, error = until_it_raises(scorer.score(step=step, generated=generated))
        assert "died (exit code 3)" in error and "another process is started" in error
        assert len(rows) == 2 and all("generated" in row.clips and "sim_o" not in row.scores for row in rows)


def until_it_raises(events: Iterator[Event]) -> tuple[list[VoiceComparison], str]:
    rows: list[VoiceComparison] = []
    with pytest.raises(ScoringError) as error:
        for event in events:
            if isinstance(event, VoiceComparison):
                rows.append(event)
    return rows, str(error.value)


def test_closing_ends_a_process_that_is_stuck(started: Callable[..., ScoringProcess], generated: list) -> None:
    scorer = started(replace(OFF, encoder=f"{__name__}:Stuck"))
    pid = scorer.process_id
    errors: list[Exception] = []

    def score() -> None:
        try:
            list(scorer.score(step=1, generated=generated))
        except ScoringError as error:
            errors.append(error)

    thread = threading.Thread(target=score)
    thread.start()
    scorer.close()
    thread.join(timeout=SOON_S)
    assert len(errors) == 1 and not running(pid)


def test_the_process_ends_with_a_parent_that_is_killed(tmp_path: Path, demo: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from tracker_logging.demo.build import DemoPaths
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.scoring_process import ScoringProcess
demo = DemoPaths(Path(sys.argv[1]))
processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
off = ScorerChoice(encoder="off", pitch="off", cepstrum="off", speech="off", quality=())
scorer = ScoringProcess([], processor, off)
if os.fork() == 0:  # like a worker of a data loader, which holds all that was open when it was forked
    sys.stdin.read()
    os._exit(0)
print(scorer.process_id, flush=True)
os.kill(os.getpid(), 9)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(demo)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(parent.stdout.readline())
    assert parent.wait(timeout=SOON_S) == -9
    assert until(lambda: not running(pid))
    parent.stdin.close()
    parent.stdout.close()


def test_voices_are_scored_in_this_process_with_a_warning_if_the_codec_cannot_be_pickled(
    prompts: list, generated: list, demo_processor: SpeechProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    class Local(type(demo_processor.codec)):  # a class that another process cannot import
        def __reduce__(self) -> str:
            raise TypeError("this codec stays here")

    codec = Local.load(demo_processor.codes.directory.parent / "codec")
    scorer = open_scorer(prompts, replace(demo_processor, codec=codec), OFF)
    assert "this codec stays here" in caplog.text and "thread of the training process" in caplog.text
    assert isinstance(scorer, VoiceScorer)


def test_an_unknown_choice_is_refused(prompts: list, demo_processor: SpeechProcessor) -> None:
    with pytest.raises(ValueError, match="Choose one of ge2e, wavlm, off"):
        open_scorer(prompts, demo_processor, replace(OFF, encoder="geee"))


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
