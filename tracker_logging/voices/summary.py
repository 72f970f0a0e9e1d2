"""Numbers over the whole set of voices at one step, each with n and a 95 % bootstrap interval.

Guarantees
- Invalid and failed clips are in no mean; they are counted.
- A number that the set cannot give (one speaker, no encoder, no targets) is absent.

    summary = summarise(scored)
    summary.scalars["voices/spk_top1"]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker_logging import tags
from tracker_logging.events import FloatArray
from tracker_logging.metrics import similarity as sim
from tracker_logging.metrics.interval import Indices, Interval, mean_interval, statistic_interval
from tracker_logging.metrics.speech import MAX_CLIP_PCT, MIN_SPEECH_S
from tracker_logging.voices.languages import language_means
from tracker_logging.voices.listening import Heard
from tracker_logging.voices.tables import score_names
from tracker_logging.voices.text_errors import text_errors
from tracker_logging.voices.voice import ScoredVoice

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Summary:
    """`scalars` by tag, and the scores of each voice [voices] with those that only the set can give."""

    scalars: dict[str, float]
    scores: tuple[dict[str, float], ...]


def summarise(voices: Sequence[ScoredVoice]) -> Summary:
    """The set-level numbers of one round, and each voice's scores completed by `sim_margin` and `spk_top1`."""
    scores = [dict(voice.scores) for voice in voices]
    scalars = _counts(voices)
    field = _Field.of(voices)
    if field is not None:
        for row, margin, top1 in zip(field.rows, field.margins, field.top1, strict=True):
            extra = {"sim_margin": float(margin), "spk_top1": float(top1)}
            scores[row] |= {name: value for name, value in extra.items() if np.isfinite(value)}
        scalars |= _field_numbers(field)
    valid = [index for index, voice in enumerate(voices) if voice.fault is None]
    known = {score.name: score for score in tags.SCORES}
    for name in score_names(scores):
        score = known.get(name)
        rows = range(len(voices)) if score is not None and score.of_real_clips else valid
        interval = mean_interval([scores[index][name] for index in rows if name in scores[index]])
        if interval is not None and (score is None or score.mean):
            scalars |= {tags.VOICE_SCORE(score=name): interval.mean, **_bounds(name, interval)}
    for tag, interval in text_errors(voices).items():
        scalars |= {tag(): interval.mean, **_bounds(tag().removeprefix("voices/"), interval)}
    scalars |= language_means(voices, scores)
    return Summary(scalars=scalars, scores=tuple(scores))


@dataclass(frozen=True)
class _Field:
    """Speaker similarities of the valid clips `rows` [G] to all prompts [G, P], and of the real targets to them."""

    rows: tuple[int, ...]
    own: tuple[int, ...]
    speakers: tuple[str, ...]
    generated: Array
    to_prompts: Array
    between_prompts: Array
    targets_to_prompts: Array

    @classmethod
    def of(cls, voices: Sequence[ScoredVoice]) -> _Field | None:
        references = {i: vector for i, v in enumerate(voices) if (vector := _vector(v.real.reference)) is not None}
        spoken = {i: vector for i in references if (vector := _vector(voices[i].heard)) is not None}
        spoken = {i: vector for i, vector in spoken.items() if voices[i].fault is None}
        if not spoken:
            return None
        prompts = list(references)
        generated, prompted = np.stack(list(spoken.values())), np.stack(list(references.values()))
        missing = np.full(prompted.shape[1], np.nan, dtype=np.float32)
        targets = [_vector(voices[index].real.target) for index in prompts]
        return cls(
            rows=tuple(spoken),
            own=tuple(prompts.index(row) for row in spoken),
            speakers=tuple(voices[index].prompt.speaker for index in prompts),
            generated=sim.cosines(generated, generated),
            to_prompts=sim.cosines(generated, prompted),
            between_prompts=sim.cosines(prompted, prompted),
            targets_to_prompts=sim.cosines([missing if one is None else one for one in targets], prompted),
        )

    @property
    def margins(self) -> Array:
        return sim.own_margins(self.to_prompts, own=self.own, speakers=self.speakers)

    @property
    def top1(self) -> Array:
        return sim.nearest_is_own(self.to_prompts, own=self.own, speakers=self.speakers)

    @property
    def real_similarity(self) -> float:
        """Mean cosine of the real targets with their prompts."""
        return _finite_mean(np.diag(self.targets_to_prompts))

    @property
    def real_margin(self) -> float:
        """The margin of the real targets."""
        own = range(len(self.speakers))
        return _finite_mean(sim.own_margins(self.targets_to_prompts, own=own, speakers=self.speakers))


def _field_numbers(field: _Field) -> dict[str, float]:
    own, speakers, n = np.array(field.own), field.speakers, len(field.own)
    own_speakers = np.array([speakers[index] for index in own])
    several = len(set(speakers)) > 1

    def error_rate(rows: Indices) -> float:
        pairs = sim.genuine_and_impostor(field.to_prompts[rows], own=own[rows], speakers=speakers)
        return sim.equal_error_rate(*pairs)

    def pairs_of(rows: Indices) -> tuple[float, float]:
        # A clip drawn twice is no pair with itself.
        rows = np.unique(rows)
        return sim.within_and_between(field.generated[np.ix_(rows, rows)], speakers=list(own_speakers[rows]))

    _, different = sim.within_and_between(field.between_prompts, speakers=speakers)
    own_similarity = sim.own_similarity(field.to_prompts, own=field.own)
    nearness = sim.normalised_similarity(own_similarity, same=field.real_similarity, different=different)
    margins, top1, real_margin = field.margins, field.top1, field.real_margin
    statistics: dict[tags.Tag, Callable[[Indices], float]] = {
        tags.SPK_TOP1: lambda rows: float(top1[rows].mean()),
        tags.SPK_EER: error_rate,
        tags.WITHIN_SPEAKER: lambda rows: pairs_of(rows)[0],
        tags.BETWEEN_SPEAKER: lambda rows: pairs_of(rows)[1],
        tags.SIM_NORM: lambda rows: float(nearness[rows].mean()),
        tags.MARGIN_RETAINED: lambda rows: float(margins[rows].mean()) / real_margin if real_margin > 0 else np.nan,
    }
    numbers: dict[str, float] = {}
    for tag, statistic in statistics.items():
        interval = statistic_interval(statistic, n)
        if interval is not None:
            numbers |= {tag(): interval.mean, **_bounds(tag().removeprefix("voices/"), interval)}
    if several:
        numbers[tags.SPK_TOP1_CHANCE()] = sim.chance_of_own(own=field.own, speakers=speakers)
        numbers[tags.BETWEEN_SPEAKER_REAL()] = different
    return numbers


def _counts(voices: Sequence[ScoredVoice]) -> dict[str, float]:
    spoken = [voice for voice in voices if voice.heard is not None]
    valid = sum(voice.fault is None for voice in spoken)
    counts = {
        tags.VALID_CLIPS(): float(valid),
        tags.INVALID_CLIPS(): float(len(spoken) - valid),
        tags.FAILED_VOICES(): float(len(voices) - len(spoken)),
    }
    if spoken:
        levels = [voice.heard.levels for voice in spoken if voice.heard is not None]
        counts[tags.SILENT_CLIPS()] = float(sum(own.speech_s < MIN_SPEECH_S for own in levels))
        counts[tags.CLIPPED_CLIPS()] = float(sum(own.clip_pct > MAX_CLIP_PCT for own in levels))
        counts[tags.STOPPED()] = 100.0 * sum(voice.stop_reason == "eos" for voice in spoken) / len(spoken)
    return counts


def _bounds(score: str, interval: Interval) -> dict[str, float]:
    bounds = {tags.VOICE_N(score=score): float(interval.n)}
    for tag, value in ((tags.VOICE_LOW, interval.low), (tags.VOICE_HIGH, interval.high)):
        if value is not None:
            bounds[tag(score=score)] = value
    return bounds


def _vector(heard: Heard | None) -> FloatArray | None:
    """The clip's embedding, if there is one and it is a direction."""
    if heard is None or heard.embedding is None or not np.isfinite(heard.embedding).all():
        return None
    return heard.embedding


def _finite_mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
