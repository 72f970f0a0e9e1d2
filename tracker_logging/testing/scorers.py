"""The conformance suite for scorers: checks that a scorer meets its protocol of `voices.protocols`, in any test runner.

    def test_my_encoder():
        assert_scorer(MyEncoder(), clips={"a": (wave_a, 24_000), "b": (wave_b, 24_000)})

Guarantees
- `clips` are the caller's: recordings of real speech, each of another speaker. Nothing is downloaded.
- Each method that the scorer has is checked: `embed`, `represent`, `track`, `analyse`, `rate`, `transcribe`,
  `speech_s`.
- All problems are returned; an exception in one method does not hide the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.testing.conformance import Problem

Wave: TypeAlias = npt.NDArray[np.float32]
Clips: TypeAlias = Mapping[str, tuple[Wave, int]]
SHORT_S = 0.5


def assert_scorer(scorer: Any, *, clips: Clips) -> None:
    """Raises `AssertionError` with all problems that `check_scorer` finds."""
    problems = check_scorer(scorer, clips=clips)
    assert not problems, "\n".join(f"{problem.part}: {problem.what}" for problem in problems)


def check_scorer(scorer: Any, *, clips: Clips) -> list[Problem]:
    """All problems; empty for a correct scorer.

    `clips`: name → (wave [n] float32 of full scale ±1, sample rate in Hz), two or more, each of another speaker.
    """
    checks: dict[str, Callable[[Any, Clips], Iterator[str]]] = {
        "embed": _embeds, "represent": _represents, "track": _tracks, "analyse": _analyses, "rate": _rates,
        "transcribe": _transcribes, "speech_s": _detects,
    }  # fmt: skip
    methods = [method for method in checks if callable(getattr(scorer, method, None))]
    problems = [] if methods else [Problem("members", f"has none of the methods {', '.join(checks)}")]
    if not isinstance(getattr(scorer, "name", None), str) or not scorer.name:
        problems.append(Problem("members", "has no `name`, which tells in the logs what measured a score"))
    for method in methods:
        try:
            for what in (*_leaves_alone(scorer, method, clips), *checks[method](scorer, clips)):
                problems.append(Problem(method, what))
        except Exception as error:
            problems.append(Problem(method, f"{type(error).__name__}: {error}"))
    return problems


def _leaves_alone(scorer: Any, method: str, clips: Clips) -> Iterator[str]:
    """What holds for every protocol: the clip is not changed, no global generator is used, and results repeat."""
    wave, rate = next(iter(clips.values()))
    given = wave.copy()
    before = (torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())  # type: ignore[index]
    first, second = (_call(scorer, method, given, rate) for _ in range(2))
    after = (torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1])  # type: ignore[index]
    if not np.array_equal(given, wave):
        yield "it changes the clip that it is given"
    if not (torch.equal(before[0], after[0]) and before[1] == after[1] and np.array_equal(before[2], after[2])):
        yield "it draws from a global random generator"
    if not _same(first, second):
        yield "it gives another result for the same clip"
    short = wave[: int(SHORT_S * rate)]
    _call(scorer, method, short, rate)  # a valid clip may be this short


def _embeds(encoder: Any, clips: Clips) -> Iterator[str]:
    vectors = {name: np.asarray(encoder.embed(wave, rate)) for name, (wave, rate) in clips.items()}
    faults = [*_vector_faults(vectors)]
    yield from faults
    if faults:
        return
    for name, (wave, rate) in clips.items():
        half = len(wave) // 2
        same = _cosine(vectors[name], encoder.embed(wave[:half], rate))
        others = [_cosine(vectors[other], encoder.embed(wave[:half], rate)) for other in clips if other != name]
        if others and not same > max(others):
            yield f"the first half of {name} is not nearest to {name}: speakers are not told apart"


def _represents(model: Any, clips: Clips) -> Iterator[str]:
    """What is alike in two clips is the model's own matter: only the form of its vectors is checked."""
    if "/" in model.name:
        yield f"the name {model.name!r}, which is part of the name of a score, has a slash"
    short = {f"the beginning of {name}": (wave[: int(SHORT_S * rate)], rate) for name, (wave, rate) in clips.items()}
    given = {**clips, **short}
    yield from _vector_faults({name: np.asarray(model.represent(wave, rate)) for name, (wave, rate) in given.items()})


def _vector_faults(vectors: Mapping[str, npt.NDArray[Any]]) -> Iterator[str]:
    for name, vector in vectors.items():
        if vector.ndim != 1 or vector.dtype != np.float32:
            yield f"the embedding of {name} is {vector.dtype} of shape {vector.shape}; give [D] float32"
            return
        if not np.isfinite(vector).all() or not np.linalg.norm(vector) > 0:
            yield f"the embedding of {name} is not finite or zero"
            return
    if len({vector.shape for vector in vectors.values()}) > 1:
        yield "embeddings of two clips have different lengths"


def _tracks(tracker: Any, clips: Clips) -> Iterator[str]:
    for name, (wave, rate) in clips.items():
        pitch = np.asarray(tracker.track(wave, rate))
        if pitch.ndim != 1 or pitch.dtype != np.float32:
            yield f"the F0 of {name} is {pitch.dtype} of shape {pitch.shape}; give [frames] float32"
        elif not np.isfinite(pitch).any():
            yield f"no frame of {name} is voiced"
        elif not (np.nanmin(pitch) > 20 and np.nanmax(pitch) < 2000):
            yield f"the F0 of {name} is outside 20 to 2000 Hz; unvoiced frames are NaN, not 0"
    octave = _tone(440.0)
    measured = float(np.nanmedian(tracker.track(octave, 16_000)))
    if not abs(measured / 440.0 - 1.0) < 0.03:
        yield f"a tone of 440 Hz has an F0 of {measured:.0f} Hz"


def _analyses(analyser: Any, clips: Clips) -> Iterator[str]:
    for name, (wave, rate) in clips.items():
        cepstrum = np.asarray(analyser.analyse(wave, rate))
        if cepstrum.ndim != 2 or cepstrum.shape[1] < 2 or not np.isfinite(cepstrum).all():
            yield f"the cepstrum of {name} has shape {cepstrum.shape}; give finite [frames, order + 1]"


def _rates(model: Any, clips: Clips) -> Iterator[str]:
    for name, (wave, rate) in clips.items():
        scores = model.rate(wave, rate)
        if not isinstance(scores, Mapping) or not scores:
            yield f"rate() of {name} gives {scores!r}; give scores by name"
            continue
        for score, value in scores.items():
            if "/" in score or not np.isfinite(value):
                yield f"the score {score!r} of {name} is {value}; names have no slash, and numbers are finite"
            elif not 0.0 <= value <= 5.5:
                yield f"the score {score!r} of {name} is {value:.3g}, outside the scale of opinion scores (1 to 5)"


def _transcribes(transcriber: Any, clips: Clips) -> Iterator[str]:
    for name, (wave, rate) in clips.items():
        for language in (None, "en"):
            if not isinstance(transcriber.transcribe(wave, rate, language=language), str):
                yield f"the transcript of {name} is no text (language {language})"


def _detects(detector: Any, clips: Clips) -> Iterator[str]:
    for name, (wave, rate) in clips.items():
        seconds = float(detector.speech_s(wave, rate))
        if not 0 < seconds <= len(wave) / rate + 0.1:
            yield f"{seconds:.2f} s of speech in {name}, which has {len(wave) / rate:.2f} s of it"
    if float(detector.speech_s(np.zeros(16_000, np.float32), 16_000)) > 0.1:
        yield "there is speech in silence"


def _call(scorer: Any, method: str, wave: Wave, rate: int) -> Any:
    options = {"language": None} if method == "transcribe" else {}
    return getattr(scorer, method)(wave, rate, **options)


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Mapping):
        return dict(first) == dict(second)
    return first == second if isinstance(first, str) else np.array_equal(first, second, equal_nan=True)


def _cosine(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    left, right = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


def _tone(hz: float) -> Wave:
    """One second of a harmonic tone at 16 kHz."""
    time = np.arange(16_000) / 16_000
    return sum((np.sin(2 * np.pi * hz * n * time) / n for n in range(1, 6)), np.zeros(16_000)).astype(np.float32) * 0.2
