"""Rounds of one process: clips are logged at once, whatever becomes of their scores."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tracker_logging.data.sample import VoiceSample
from tracker_logging.events import Event, Scalars, VoiceComparison
from tracker_logging.families import GeneratedCodes
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.voices.clips import GeneratedClip
from tracker_logging.voices.exchange import SingleProcess
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.priority import LEVELS, ScoringPriority
from tracker_logging.voices.rounds import VoiceRounds
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.scoring import VoiceScorer
from tracker_logging.voices.scoring_process import open_scorer
from tracker_logging.voices.settings import VoiceSettings

SOON_S = 90.0
OFF = ScorerChoice(encoder="off", pitch="off", cepstrum="off", speech="off", quality=())


class HalfASecond:
    """An adapter that generates half a second of the same codes for every prompt."""

    def generate(self, prompts, settings):
        return [GeneratedCodes(codes=np.full((4, 12), 3), stop_reason="eos") for _ in prompts]


class HeldScorer:
    """Scores nothing until it is told to hurry; then without instruments."""

    def __init__(self) -> None:
        self.hurried = threading.Event()
        self._scorer = VoiceScorer(Instruments())

    def score(self, *, step: int, clips: Sequence[GeneratedClip]) -> Iterator[Event]:
        assert self.hurried.wait(SOON_S)
        yield from self._scorer.score(step=step, clips=clips)

    def hurry(self) -> None:
        self.hurried.set()

    def close(self) -> None:
        """Nothing is held open."""


class Stuck:
    """A speaker encoder that never returns."""

    name = "stuck"

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        threading.Event().wait()
        raise AssertionError


class Fatal:
    """A speaker encoder that ends its process."""

    name = "fatal"

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        import os

        os._exit(3)


def rounds_of(
    samples: list[VoiceSample], processor: SpeechProcessor, tracker: MemoryTracker, **options: object
) -> VoiceRounds:
    settings = {"timeout_s": SOON_S, "scorers": OFF, "scorer": open_scorer} | options
    scorer = settings.pop("scorer")
    return VoiceRounds(
        samples, processor, VoiceSettings(max_clips=2, conditioning_clips=0, **settings),
        exchange=SingleProcess(), scorer=scorer, emit=tracker.emit,
    )  # fmt: skip


def voices(tracker: MemoryTracker, stage: str) -> list[VoiceComparison]:
    return [event for event in list(tracker.events) if isinstance(event, VoiceComparison) and event.stage == stage]


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_clips_are_logged_while_the_round_before_is_still_being_scored_and_lateness_is_reported_once(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, scorer = MemoryTracker(), HeldScorer()
    rounds = rounds_of(demo_samples, demo_processor, tracker, scorer=lambda choice: scorer)
    for step in (1, 2, 3, 4):
        rounds.generate(HalfASecond(), step=step)
    assert until(lambda: len(voices(tracker, "generated")) == 8)
    assert not voices(tracker, "scored") and not scorer.hurried.is_set()
    assert all("generated" in event.clips and not event.transcript for event in voices(tracker, "generated"))
    assert sorted(rounds.unfinished) == ["voices/1", "voices/2", "voices/3", "voices/4"]
    assert rounds.close()
    assert [event.step for event in voices(tracker, "scored")] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert "silence_pct" in voices(tracker, "scored")[0].scores
    late = [record.getMessage() for record in caplog.records if "Scoring of voices is late" in record.getMessage()]
    assert len(late) == 1 and "step 1 is not scored yet, and step 3 is generated" in late[0]
    assert rounds.unfinished == {}


def test_a_voice_with_scores_has_the_numbers_of_its_round_before(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor
) -> None:
    tracker = MemoryTracker()
    rounds = rounds_of(demo_samples, demo_processor, tracker, scorer=lambda choice: VoiceScorer(Instruments()))
    rounds.generate(HalfASecond(), step=5)
    assert rounds.close()
    kinds = [
        event.stage if isinstance(event, VoiceComparison) else type(event).__name__
        for event in tracker.events
        if not (isinstance(event, Scalars) and "voices/cost/generation_s" in event.values)
    ]
    assert kinds == ["generated"] * 2 + ["Scalars"] + ["Table"] * 3 + ["scored"] * 2 + ["Scalars"]
    assert [event.new_fixed_clips for event in voices(tracker, "generated")] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "timeout_s", "report"),
    [("Stuck", 2.0, "step 7 is not scored"), ("Fatal", SOON_S, "died (exit code 3)")],
)
def test_clips_of_the_last_round_stay_logged_and_the_message_says_how_to_score_them(
    encoder: str, timeout_s: float, report: str,
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    tracker = MemoryTracker()
    choice = ScorerChoice(encoder=f"{__name__}:{encoder}", pitch="off", cepstrum="off", speech="off", quality=())
    rounds = rounds_of(demo_samples, demo_processor, tracker, scorers=choice, timeout_s=timeout_s)
    rounds.generate(HalfASecond(), step=7)
    start = time.monotonic()
    is_done = rounds.close()
    assert time.monotonic() - start < timeout_s + SOON_S
    clips = voices(tracker, "generated")
    assert len(clips) == 2 and all(len(event.clips["generated"].samples) for event in clips)
    assert clips[0].scorers == {**choice.to_text()} and choice == ScorerChoice.from_text(clips[0].scorers)
    assert not voices(tracker, "scored")
    messages = caplog.text + "".join(map(str, rounds.take_errors()))
    assert report in messages and "Run `tracker-logging score RUN`" in messages
    assert not is_done or encoder == "Fatal"


def test_results_in_a_checkpoint_of_an_earlier_version_are_read(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor
) -> None:
    tracker = MemoryTracker()
    rounds = rounds_of(demo_samples, demo_processor, tracker, scorer=lambda choice: VoiceScorer(Instruments()))
    codes = np.full((4, 12), 3).tolist()
    spoken = [{"voice_id": p.voice_id, "codes": codes, "stop_reason": "eos", "error": None} for p in rounds.prompts]
    rounds.resume({"voices/4": [{"spoken": spoken, "swapped": [], "seconds": 1.0}]})
    assert rounds.close()
    assert [(event.step, event.error) for event in voices(tracker, "scored")] == [(4, None)] * 2


def test_the_priority_rises_while_scoring_starves_and_falls_while_a_core_is_idle() -> None:
    priority = ScoringPriority()
    start = priority.nice
    priority.observe(0.1)
    assert priority.nice < start
    for _ in range(5):
        priority.observe(0.1)
    assert priority.nice == min(LEVELS) > 0
    priority.observe(0.7)
    assert priority.nice == min(LEVELS)
    for _ in range(5):
        priority.observe(1.0)
    assert priority.nice == max(LEVELS)
    priority.hurry()
    assert priority.nice == 0


def test_the_share_of_a_core_is_measured_and_errors_pass_through() -> None:
    priority = ScoringPriority()
    priority.run(lambda: time.sleep(0.05))
    assert priority.nice == min(LEVELS)
    with pytest.raises(ValueError, match="no clip"):
        priority.run(lambda: (_ for _ in ()).throw(ValueError("no clip")))


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
