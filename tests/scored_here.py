"""Scoring of voices on a thread of the tests' own process: to start another process takes seconds.

For tests of something else. `tests/voices/test_scoring_process.py` holds that both give the same scores.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tracker_logging.integrations import checkpoint_voices
from tracker_logging.observers import zero_shot
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import VoiceScorer


@contextmanager
def scored_here() -> Iterator[None]:
    """Until the block ends, trainings and `tracker-logging voices` start no process that scores."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (zero_shot, checkpoint_voices):
            patch.setattr(module, "open_scorer", _on_a_thread)
        yield


def _on_a_thread(choice: ScorerChoice) -> VoiceScorer:
    return VoiceScorer(choose_instruments(choice))
