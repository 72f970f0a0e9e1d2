"""`tracker_logging.testing.scorers`: our scorers pass it, and each fault of a scorer is found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracker_logging.data.audio import load_audio
from tracker_logging.demo.composed.phrases import SLOTS, clip_name
from tracker_logging.demo.composed.speakers import SPEAKERS, VOICES
from tracker_logging.testing.scorers import assert_scorer, check_scorer
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder

RATE = 24_000


@pytest.fixture(scope="module")
def clips() -> dict[str, tuple[np.ndarray, int]]:
    """All phrases of two speakers that are recordings, not made of others."""
    found = {}
    for speaker in SPEAKERS[:2]:
        parts = [load_audio(VOICES / clip_name(speaker.name, slot, 0), RATE) for slot in range(len(SLOTS))]
        found[speaker.name] = np.concatenate(parts), RATE
    return found


@pytest.mark.parametrize("kind", ["encoder", "pitch", "cepstrum", "speech"])
def test_our_scorers_pass(kind: str, clips: dict) -> None:
    pytest.importorskip("swift_f0")
    scorer = getattr(choose_instruments(ScorerChoice(quality=())), kind)
    assert scorer is not None
    assert_scorer(scorer, clips=clips)


class Encoder(GE2ESpeakerEncoder):
    """Faulty in one way."""

    def __init__(self, change: Callable[[np.ndarray, np.ndarray], Any]) -> None:
        super().__init__()
        self.change = change

    def embed(self, wave: np.ndarray, sample_rate: int) -> Any:
        return self.change(super().embed(wave, sample_rate), wave)


def scaled_in_place(vector: np.ndarray, wave: np.ndarray) -> np.ndarray:
    wave *= 0.5
    return vector


FAULTS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], Any], str]] = {
    "doubles": (lambda vector, wave: vector.astype(np.float64), "float64"),
    "a row": (lambda vector, wave: vector[None], r"(1, 256)"),
    "not finite": (lambda vector, wave: vector * np.nan, "not finite"),
    "random": (lambda vector, wave: vector + np.random.rand(256).astype(np.float32), "global random generator"),
    "changes the clip": (scaled_in_place, "changes the clip"),
    "one voice": (lambda vector, wave: np.ones(256, np.float32), "not told apart"),
    "raises": (lambda vector, wave: wave[10**9], "IndexError"),
}


class Similarity:
    """Faulty in one way."""

    def __init__(self, name: str, size: int | None) -> None:
        self.name, self.size = name, size

    def represent(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        return np.ones(len(wave) if self.size is None else self.size, np.float32)


def test_a_similarity_needs_vectors_of_one_length_and_need_not_tell_speakers_apart(clips: dict) -> None:
    assert_scorer(Similarity("emotion", 8), clips=clips)
    (problem,) = check_scorer(Similarity("emotion", None), clips=clips)
    assert "different lengths" in problem.what
    (problem,) = check_scorer(Similarity("emotion/happy", 8), clips=clips)
    assert "has a slash" in problem.what


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_encoder_is_found(fault: str, clips: dict) -> None:
    change, message = FAULTS[fault]
    problems = check_scorer(Encoder(change), clips={name: (wave.copy(), rate) for name, (wave, rate) in clips.items()})
    assert message in " ".join(problem.what for problem in problems)
    with pytest.raises(AssertionError):
        assert_scorer(Encoder(change), clips={name: (wave.copy(), rate) for name, (wave, rate) in clips.items()})


def test_what_is_no_scorer_and_scores_off_the_scale_are_found(clips: dict) -> None:
    class Percent:
        name = "percent"

        def rate(self, wave: np.ndarray, sample_rate: int) -> dict[str, float]:
            return {"mine/quality": 3.0, "share": 87.0}

    class Deaf:
        def speech_s(self, wave: np.ndarray, sample_rate: int) -> float:
            return 1.0

    said = " ".join(problem.what for problem in check_scorer(Percent(), clips=clips))
    assert "names have no slash" in said and "outside the scale" in said
    said = " ".join(problem.what for problem in check_scorer(Deaf(), clips=clips))
    assert "has no `name`" in said and "speech in silence" in said
    assert "none of the methods" in check_scorer(object(), clips=clips)[0].what
