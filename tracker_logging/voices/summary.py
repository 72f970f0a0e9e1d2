"""Numbers over the whole set of voices at one step, each with n and a 95 % interval (`metrics.interval`).

Guarantees
- Invalid and failed clips are in no mean; they are counted.
- A number that the set does not define (one speaker, no encoder, no targets) is left out.
- Word and character error rates are corpus rates: errors of all clips over words of all clips.
- Where there is more than one language (see `language_pair`), or group of voices (`data.groups`), the scores of each
  are included, measured and with intervals as those of all clips are.

    summary = summarise(scored)
    summary.scalars["voices/spk_top1"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker_logging import tags
from tracker_logging.events import FloatArray
from tracker_logging.metrics import similarity as sim
from tracker_logging.metrics.interval import Indices, Interval, mean_interval, share_interval, statistic_interval
from tracker_logging.metrics.speech import MAX_CLIP_PCT, MIN_SPEECH_S
from tracker_logging.metrics.words import ErrorCount, character_errors, total, word_errors
from tracker_logging.voices.measurement import Measurement
from tracker_logging.voices.scores import ScoredVoice, score_names

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Summary:
    """`scalars` by tag, and for each voice its scores with those that are only defined over the set."""

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
        for row, share in field.off_speaker.items():
            scores[row]["off_speaker"] = share
        scalars |= _field_numbers(field)
    valid = [index for index, voice in enumerate(voices) if voice.fault is None]
    known = {score.name: score for score in tags.SCORES}
    for name in score_names(scores):
        score = known.get(name)
        rows = range(len(voices)) if tags.of_real_clips(name) else valid
        having = [index for index in rows if name in scores[index]]
        interval = mean_interval(
            [scores[index][name] for index in having], [voices[index].voice.speaker for index in having]
        )
        if interval is not None and (score is None or score.mean):
            scalars |= {tags.VOICE_SCORE(score=name): interval.mean, **_bounds(name, interval)}
    for tag, interval in _text_errors(voices).items():
        scalars |= {tag(): interval.mean, **_bounds(tag().removeprefix("voices/"), interval)}
    scalars |= _scores_of_parts(voices, scores)
    return Summary(scalars=scalars, scores=tuple(scores))


@dataclass(frozen=True)
class _Field:
    """Speaker similarities of the valid clips `rows` [G] to all prompts [G, P], and of the real targets to them.

    `windows_to_prompts`: [W, P] by row, of long clips.
    """

    rows: tuple[int, ...]
    own: tuple[int, ...]
    speakers: tuple[str, ...]
    generated: Array
    to_prompts: Array
    between_prompts: Array
    targets_to_prompts: Array
    windows_to_prompts: Mapping[int, Array]

    @classmethod
    def of(cls, voices: Sequence[ScoredVoice]) -> _Field | None:
        references = {
            i: vector for i, v in enumerate(voices) if (vector := _vector(v.recordings.reference)) is not None
        }
        valid = {i: voices[i].clip for i in references if voices[i].fault is None}
        clips = {i: vector for i, clip in valid.items() if (vector := _vector(clip)) is not None}
        if not clips:
            return None
        prompts = list(references)
        generated, prompted = np.stack(list(clips.values())), np.stack(list(references.values()))
        missing = np.full(prompted.shape[1], np.nan, dtype=np.float32)
        targets = [_vector(voices[index].recordings.target) for index in prompts]
        return cls(
            rows=tuple(clips),
            own=tuple(prompts.index(row) for row in clips),
            speakers=tuple(voices[index].voice.speaker for index in prompts),
            generated=sim.cosines(generated, generated),
            to_prompts=sim.cosines(generated, prompted),
            between_prompts=sim.cosines(prompted, prompted),
            windows_to_prompts={
                i: sim.cosines(clip.windows, prompted)
                for i, clip in valid.items()
                if clip is not None and clip.windows is not None and i in clips
            },
            targets_to_prompts=sim.cosines([missing if vector is None else vector for vector in targets], prompted),
        )

    @property
    def margins(self) -> Array:
        return sim.own_margins(self.to_prompts, own=self.own, speakers=self.speakers)

    @property
    def top1(self) -> Array:
        return sim.nearest_is_own(self.to_prompts, own=self.own, speakers=self.speakers)

    @property
    def off_speaker(self) -> dict[int, float]:
        """By row of a long clip, the share of its windows whose nearest prompt is of another speaker."""
        shares: dict[int, float] = {}
        for row, similarity in self.windows_to_prompts.items():
            own = [self.own[self.rows.index(row)]] * len(similarity)
            nearest = sim.nearest_is_own(similarity, own=own, speakers=self.speakers)
            if np.isfinite(nearest).all():
                shares[row] = float(1.0 - nearest.mean())
        return shares

    @property
    def real_margin(self) -> float:
        """The margin of the real targets."""
        own = range(len(self.speakers))
        return _finite_mean(sim.own_margins(self.targets_to_prompts, own=own, speakers=self.speakers))


def _field_numbers(field: _Field) -> dict[str, float]:
    own, speakers = np.array(field.own), field.speakers
    own_speakers = np.array([speakers[index] for index in own])
    several = len(set(speakers)) > 1

    def error_rate(rows: Indices) -> float:
        pairs = sim.genuine_and_impostor(field.to_prompts[rows], own=own[rows], speakers=speakers)
        return sim.equal_error_rate(*pairs)

    def pairs_of(rows: Indices) -> tuple[float, float]:
        return sim.within_and_between(field.generated[np.ix_(rows, rows)], speakers=list(own_speakers[rows]))

    _, different = sim.within_and_between(field.between_prompts, speakers=speakers)
    margins, top1, real_margin = field.margins, field.top1, field.real_margin
    statistics: dict[tags.Tag, Callable[[Indices], float]] = {
        tags.SPK_TOP1: lambda rows: float(top1[rows].mean()),
        tags.SPK_EER: error_rate,
        tags.WITHIN_SPEAKER: lambda rows: pairs_of(rows)[0],
        tags.BETWEEN_SPEAKER: lambda rows: pairs_of(rows)[1],
        tags.MARGIN_RETAINED: lambda rows: float(margins[rows].mean()) / real_margin if real_margin > 0 else np.nan,
    }
    numbers: dict[str, float] = {}
    for tag, statistic in statistics.items():
        trials = len(own) if tag in (tags.SPK_TOP1, tags.SPK_EER) else None
        interval = statistic_interval(statistic, own_speakers.tolist(), trials=trials)
        if interval is not None:
            numbers |= {tag(): interval.mean, **_bounds(tag().removeprefix("voices/"), interval)}
    if several:
        numbers[tags.SPK_TOP1_CHANCE()] = sim.chance_of_own(own=field.own, speakers=speakers)
        numbers[tags.BETWEEN_SPEAKER_REAL()] = different
    return numbers


def _counts(voices: Sequence[ScoredVoice]) -> dict[str, float]:
    generated = [voice for voice in voices if voice.clip is not None]
    valid = sum(voice.fault is None for voice in generated)
    counts = {
        tags.VALID_CLIPS(): float(valid),
        tags.INVALID_CLIPS(): float(len(generated) - valid),
        tags.FAILED_VOICES(): float(len(voices) - len(generated)),
    }
    if generated:
        levels = [voice.clip.levels for voice in generated if voice.clip is not None]
        counts[tags.SILENT_CLIPS()] = float(sum(level.speech_s < MIN_SPEECH_S for level in levels))
        counts[tags.CLIPPED_CLIPS()] = float(sum(level.clip_pct > MAX_CLIP_PCT for level in levels))
        counts[tags.STOPPED()] = 100.0 * sum(voice.stop_reason == "eos" for voice in generated) / len(generated)
    return counts


def _text_errors(voices: Sequence[ScoredVoice]) -> dict[tags.Tag, Interval]:
    """WER and CER of the valid generated clips and of the real targets; empty without a transcriber."""

    def rate(count: Callable[..., ErrorCount], clips: Sequence[Measurement | None]) -> Interval | None:
        counts = [
            (voice.voice.speaker, count(text=voice.voice.target_words, transcript=clip.transcript))
            for voice, clip in zip(voices, clips, strict=True)
            if clip is not None and clip.transcript is not None
        ]
        return _error_rate([errors for _, errors in counts], [speaker for speaker, _ in counts])

    generated, targets = [voice.clip for voice in voices], [voice.recordings.target for voice in voices]
    rates = {
        tags.WER: rate(word_errors, generated),
        tags.CER: rate(character_errors, generated),
        tags.WER_REAL: rate(word_errors, targets),
        tags.CER_REAL: rate(character_errors, targets),
    }
    return {tag: interval for tag, interval in rates.items() if interval is not None}


def _error_rate(counts: Sequence[ErrorCount], speakers: Sequence[str]) -> Interval | None:
    def rate(rows: Indices) -> float:
        return total(counts[row] for row in rows).rate

    return statistic_interval(rate, speakers, trials=total(counts).length) if counts else None


def _scores_of_parts(voices: Sequence[ScoredVoice], scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The scores of each language pair and of each group, by tag; none of a kind with fewer than two of them."""
    numbers: dict[str, float] = {}
    for kind, (part_of, tag) in _KINDS.items():
        rows_of: dict[str, list[int]] = {}
        for row, voice in enumerate(voices):
            part = part_of(voice)
            if part is not None:
                rows_of.setdefault(part, []).append(row)
        for part, rows in rows_of.items() if len(rows_of) > 1 else ():
            for score, interval in _intervals([voices[row] for row in rows], [scores[row] for row in rows]):
                numbers[tag(score=score, **{kind: part})] = interval.mean
                numbers |= _ends(interval, _ENDS_OF_PART, kind=kind, member=part, score=score)
    return numbers


def _intervals(voices: Sequence[ScoredVoice], scores: Sequence[Mapping[str, float]]) -> Iterator[tuple[str, Interval]]:
    """The scores `tags.PART_SCORES` over the valid clips of some voices."""
    errors = {tag().removeprefix("voices/"): interval for tag, interval in _text_errors(voices).items()}
    for name in tags.PART_SCORES:
        having = [row for row, voice in enumerate(voices) if voice.fault is None and name in scores[row]]
        over_clips = share_interval if name == "spk_top1" else mean_interval
        values = [scores[row][name] for row in having]
        interval = errors.get(name) or over_clips(values, [voices[row].voice.speaker for row in having])
        if interval is not None:
            yield name, interval


def language_pair(voice: ScoredVoice) -> str | None:
    """The target's language (`en`), or `de>en` where the reference has another language.

    None where the data names no language.
    """
    target, reference = voice.voice.language, voice.voice.reference_language
    return target if target is None or reference in (None, target) else f"{reference}>{target}"


def group_name(voice: ScoredVoice) -> str | None:
    """The voice's group as a part of a tag; None where it is in none."""
    return None if voice.voice.group is None else tags.safe_part(voice.voice.group, "_")


_ENDS = (tags.VOICE_N, tags.VOICE_LOW, tags.VOICE_HIGH)
_ENDS_OF_PART = (tags.PART_N, tags.PART_LOW, tags.PART_HIGH)
_KINDS: Mapping[str, tuple[Callable[[ScoredVoice], str | None], tags.Tag]] = {
    "language": (language_pair, tags.LANGUAGE_SCORE),
    "group": (group_name, tags.GROUP_SCORE),
}
"""What voices are parted by: the part that a voice is in, and the tag of its scores."""


def _bounds(score: str, interval: Interval) -> dict[str, float]:
    return _ends(interval, _ENDS, score=score)


def _ends(interval: Interval, ends: Sequence[tags.Tag], **fields: str) -> dict[str, float]:
    """What is logged beside a number under the tags `ends`: how many clips have it, and its interval if any."""
    values = (float(interval.n), interval.low, interval.high)
    return {tag(**fields): value for tag, value in zip(ends, values, strict=True) if value is not None}


def _vector(clip: Measurement | None) -> FloatArray | None:
    """The clip's embedding, if it has one and all its values are finite."""
    if clip is None or clip.embedding is None or not np.isfinite(clip.embedding).all():
        return None
    return clip.embedding


def _finite_mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
