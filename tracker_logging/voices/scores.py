"""One generated clip beside the recordings around its prompt, as scores by the names of `tags.SCORES`.

Guarantees
- Only finite values; a score that cannot be measured for this clip is left out.
- Distances to a recording are taken only to the target, which has the same words.
- An empty clip is an invalid clip, not an error.

    scored = score_voice(clip, recordings, instruments)
    scored.scores["sim_o"]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tracker_logging import tags
from tracker_logging.metrics.distance import align
from tracker_logging.metrics.pitch import pitch_error, pitch_shift
from tracker_logging.metrics.similarity import cosines
from tracker_logging.metrics.words import character_errors, leaked_share, word_errors
from tracker_logging.voices.benchmark import benchmark_error_rate, benchmark_similarity
from tracker_logging.voices.clips import GeneratedClip, RecordedVoice
from tracker_logging.voices.measurement import Instruments, Measurement, Recordings, measure, speaker_windows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredVoice:
    """A voice, its recordings, the generated `clip` (None: `error` has the reason) and the scores of this clip."""

    voice: RecordedVoice
    recordings: Recordings
    clip: Measurement | None
    stop_reason: str | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def fault(self) -> str | None:
        """Why the clip counts in no mean; None for a valid clip."""
        return self.error if self.clip is None else self.clip.levels.fault


def missing_voice(voice: RecordedVoice, recordings: Recordings, error: str) -> ScoredVoice:
    """A voice without a generated clip, or with one that cannot be measured: it has the scores of its recordings."""
    scores = recording_scores(voice, recordings)
    return ScoredVoice(voice=voice, recordings=recordings, clip=None, error=error, scores=scores)


def score_voice(generated: GeneratedClip, recordings: Recordings, instruments: Instruments) -> ScoredVoice:
    """Measure the generated clip and compare it with the recordings. A scorer may raise."""
    voice = generated.voice
    if generated.wave is None:
        return missing_voice(voice, recordings, generated.error or "not generated")
    clip = measure(generated.wave, voice.sample_rate, instruments, language=voice.language)
    if instruments.encoder is not None and clip.levels.fault is None:
        clip = replace(clip, windows=speaker_windows(clip.wave, voice.sample_rate, instruments.encoder))
    scores = clip_scores(voice, clip, recordings)
    if (benchmark := benchmark_similarity(instruments.encoder)) is not None and "sim_o" in scores:
        scores[benchmark] = scores["sim_o"]
    scores |= generated.scores
    if generated.swapped is not None and len(generated.swapped) and "sim_o" in scores:
        swapped = measure(generated.swapped, voice.sample_rate, Instruments(encoder=instruments.encoder))
        gain = scores["sim_o"] - speaker_similarity(swapped, recordings.reference)
        scores |= _finite({"cond_gain": gain})
    return ScoredVoice(voice=voice, recordings=recordings, clip=clip, stop_reason=generated.stop_reason, scores=scores)


def clip_scores(voice: RecordedVoice, clip: Measurement, recordings: Recordings) -> dict[str, float]:
    """All scores of one clip. An invalid clip has those of level and length, and those of the recordings."""
    scores = {
        **recording_scores(voice, recordings),
        **_levels(clip, recordings),
        "sim_o": speaker_similarity(clip, recordings.reference),
        **_drift(clip, recordings),
        "sim_r": speaker_similarity(clip, recordings.reference_codec),
        **_similarities(clip, recordings, ""),
        **_rates(voice, clip, recordings),
        **_pitch(clip, recordings),
        **_distances(clip, recordings),
        **_words(voice, clip),
        **_quality(clip, recordings),
    }
    return _finite(scores)


def recording_scores(voice: RecordedVoice, recordings: Recordings) -> dict[str, float]:
    """The scores of the recordings alone: the ceiling of what a generated clip can reach."""
    target = recordings.target
    scores = {
        "sim_ceiling": speaker_similarity(target, recordings.reference),
        "sim_codec": speaker_similarity(recordings.target_codec, recordings.reference),
        **_similarities(target, recordings, "_ceiling"),
        **_similarities(recordings.target_codec, recordings, "_codec"),
    }
    if target is not None and target.transcript is not None:
        text = voice.target_words
        scores["wer_real"] = word_errors(text=text, transcript=target.transcript).rate
        scores["cer_real"] = character_errors(text=text, transcript=target.transcript).rate
    return _finite(scores)


def speaker_similarity(first: Measurement | None, second: Measurement | None) -> float:
    """Cosine of two clips' speaker embeddings; NaN if one has none."""
    if first is None or second is None or first.embedding is None or second.embedding is None:
        return float("nan")
    return float(cosines(first.embedding, second.embedding)[0, 0])


def _similarities(clip: Measurement | None, recordings: Recordings, which: str) -> dict[str, float]:
    """By the further similarity models: cosine of a clip and the prompt as recorded."""
    reference = recordings.reference
    if clip is None or reference is None:
        return {}
    return {
        f"{name}{tags.SIMILARITY}{which}": float(cosines(vector, reference.represented[name])[0, 0])
        for name, vector in clip.represented.items()
        if name in reference.represented
    }


def score_names(scores: Sequence[Mapping[str, float]]) -> list[str]:
    """Names that some voice has: in the order of `tags.SCORES`, then those of a user's own scorer by name."""
    known = [score.name for score in tags.SCORES]
    others = sorted({name for of_voice in scores for name in of_voice} - set(known))
    return [name for name in [*known, *others] if any(name in of_voice for of_voice in scores)]


def _drift(clip: Measurement, recordings: Recordings) -> dict[str, float]:
    """How the similarity to the prompt changes within a long clip."""
    reference = recordings.reference
    if clip.windows is None or reference is None or reference.embedding is None:
        return {}
    similarity = cosines(clip.windows, reference.embedding)[:, 0]
    third = len(similarity) // 3
    return {"sim_drift": float(similarity[-third:].mean() - similarity[:third].mean())}


def _levels(clip: Measurement, recordings: Recordings) -> dict[str, float]:
    levels, reference = clip.levels, recordings.reference
    scores = {
        "speech_s": levels.speech_s,
        "silence_pct": levels.silence_pct,
        "level_dbfs": levels.level_dbfs,
        "peak_dbfs": levels.peak_dbfs,
        "clip_pct": levels.clip_pct,
        "dc_offset": levels.dc_offset,
    }
    if clip.lufs is not None:
        scores["lufs"] = clip.lufs
    if reference is not None:
        scores["level_delta_db"] = levels.level_dbfs - reference.levels.level_dbfs
        if clip.lufs is not None and reference.lufs is not None:
            scores["lufs_delta"] = clip.lufs - reference.lufs
    return scores


def _rates(voice: RecordedVoice, clip: Measurement, recordings: Recordings) -> dict[str, float]:
    """Speaking rate is text (UTF-8 bytes) per second of speech, so that it is defined for any language."""
    scores: dict[str, float] = {}
    reference = recordings.reference
    if recordings.target is not None:
        scores["dur_ratio"] = clip.levels.duration_s / recordings.target.levels.duration_s
    target_bytes, reference_bytes = len(voice.target_words.encode()), len(voice.reference_words.encode())
    if reference is None or not target_bytes or not reference_bytes:
        return scores
    if clip.levels.fault is None and reference.levels.fault is None:
        scores["rate_ratio"] = (target_bytes / clip.levels.speech_s) / (reference_bytes / reference.levels.speech_s)
    return scores


def _pitch(clip: Measurement, recordings: Recordings) -> dict[str, float]:
    reference = recordings.reference
    if clip.pitch_hz is None or reference is None or reference.pitch_hz is None:
        return {}
    shift = pitch_shift(clip.pitch_hz, reference.pitch_hz)
    return {"f0_median_shift_cents": shift.median_shift_cents, "f0_std_ratio": shift.std_ratio}


def _distances(clip: Measurement, recordings: Recordings) -> dict[str, float]:
    target = recordings.target
    if clip.cepstrum is None or target is None or target.cepstrum is None:
        return {}
    alignment = align(clip.cepstrum, target.cepstrum)
    scores = {"mcd_db": alignment.mcd_db}
    if clip.pitch_hz is not None and target.pitch_hz is not None:
        error = pitch_error(clip.pitch_hz, target.pitch_hz, alignment.path)
        scores |= {
            "f0_rmse_cents": error.rmse_cents,
            "logf0_corr": error.log_correlation,
            "vuv_err": error.vuv_err,
        }
    return scores


def _words(voice: RecordedVoice, clip: Measurement) -> dict[str, float]:
    if clip.transcript is None:
        return {}
    reference, target, words = voice.reference_words, voice.target_words, clip.transcript
    return {
        "wer": word_errors(text=target, transcript=words).rate,
        "cer": character_errors(text=target, transcript=words).rate,
        "wer_seed_tts": benchmark_error_rate(text=target, transcript=words, language=voice.language),
        "ref_leak": leaked_share(reference=reference, target=target, transcript=words),
    }


def _quality(clip: Measurement, recordings: Recordings) -> dict[str, float]:
    """Scores of the quality models, and their differences to the reference's own."""
    reference = {} if recordings.reference is None else recordings.reference.quality
    deltas = {f"{name}_delta": value - reference[name] for name, value in clip.quality.items() if name in reference}
    return clip.quality | deltas


def _finite(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if np.isfinite(value)}
