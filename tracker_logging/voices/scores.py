"""One generated clip beside the recordings around its prompt, as scores by the names of `tags.SCORES`.

Guarantees
- Only finite values; a score that cannot be measured for this clip is left out.
- Distances to a recording are taken only to the target, which has the same words.
- An empty clip is an invalid clip, not an error.

    voice = score_voice(prompt, generated, recordings, codec, instruments)
    voice.scores["sim_o"]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tracker_logging import tags
from tracker_logging.data.codec import AudioCodec
from tracker_logging.metrics.distance import align
from tracker_logging.metrics.pitch import pitch_error, pitch_shift
from tracker_logging.metrics.repetition import repetition
from tracker_logging.metrics.similarity import cosines
from tracker_logging.metrics.speech import sounding_stretches
from tracker_logging.metrics.words import character_errors, leaked_share, word_errors
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.measurement import Instruments, Measurement, Recordings, measure
from tracker_logging.voices.prompt import VoicePrompt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredVoice:
    """A prompt, its recordings, the generated `clip` (None: `error` has the reason) and the scores of this clip."""

    prompt: VoicePrompt
    recordings: Recordings
    clip: Measurement | None
    stop_reason: str | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def fault(self) -> str | None:
        """Why the clip counts in no mean; None for a valid clip."""
        return self.error if self.clip is None else self.clip.levels.fault


def missing_voice(prompt: VoicePrompt, recordings: Recordings, error: str) -> ScoredVoice:
    """A voice without a generated clip: it has the scores of its recordings only."""
    scores = recording_scores(prompt, recordings)
    return ScoredVoice(prompt=prompt, recordings=recordings, clip=None, error=error, scores=scores)


def score_voice(
    prompt: VoicePrompt, generated: Generated, recordings: Recordings, codec: AudioCodec, instruments: Instruments
) -> ScoredVoice:
    """Decode the generated codes, measure the clip and compare it with the recordings. A scorer may raise."""
    if generated.codes is None:
        return missing_voice(prompt, recordings, generated.error or "not generated")
    wave = codec.decode(generated.codes) if generated.codes.shape[1] else np.zeros(0, dtype=np.float32)
    clip = measure(wave, codec.sample_rate, instruments, language=prompt.sample.language)
    scores = clip_scores(prompt, clip, recordings)
    sounding = sounding_stretches(wave, codec.sample_rate, count=generated.codes.shape[1])
    share = repetition(generated.codes[:, sounding])
    if share is not None:
        scores["repetition"] = share
    return ScoredVoice(
        prompt=prompt, recordings=recordings, clip=clip, stop_reason=generated.stop_reason, scores=scores
    )


def clip_scores(prompt: VoicePrompt, clip: Measurement, recordings: Recordings) -> dict[str, float]:
    """All scores of one clip. An invalid clip has those of level and length, and those of the recordings."""
    scores = {
        **recording_scores(prompt, recordings),
        **_levels(clip, recordings),
        "sim_o": speaker_similarity(clip, recordings.reference),
        "sim_r": speaker_similarity(clip, recordings.reference_codec),
        **_rates(prompt, clip, recordings),
        **_pitch(clip, recordings),
        **_distances(clip, recordings),
        **_words(prompt, clip),
        **_quality(clip, recordings),
    }
    return _finite(scores)


def recording_scores(prompt: VoicePrompt, recordings: Recordings) -> dict[str, float]:
    """The scores of the recordings alone: the ceiling of what a generated clip can reach."""
    target = recordings.target
    scores = {
        "sim_ceiling": speaker_similarity(target, recordings.reference),
        "sim_codec": speaker_similarity(recordings.target_codec, recordings.reference),
    }
    if target is not None and target.transcript is not None:
        text = prompt.sample.target_text
        scores["wer_real"] = word_errors(said=text, heard=target.transcript).rate
        scores["cer_real"] = character_errors(said=text, heard=target.transcript).rate
    return _finite(scores)


def speaker_similarity(first: Measurement | None, second: Measurement | None) -> float:
    """Cosine of two clips' speaker embeddings; NaN if one has none."""
    if first is None or second is None or first.embedding is None or second.embedding is None:
        return float("nan")
    return float(cosines(first.embedding, second.embedding)[0, 0])


def score_names(scores: Sequence[Mapping[str, float]]) -> list[str]:
    """Names that some voice has: in the order of `tags.SCORES`, then those of a user's own scorer by name."""
    known = [score.name for score in tags.SCORES]
    others = sorted({name for of_voice in scores for name in of_voice} - set(known))
    return [name for name in [*known, *others] if any(name in of_voice for of_voice in scores)]


def _levels(clip: Measurement, recordings: Recordings) -> dict[str, float]:
    levels, reference = clip.levels, recordings.reference
    scores = {
        "speech_s": levels.speech_s,
        "silence_pct": levels.silence_pct,
        "level_dbfs": levels.level_dbfs,
        "level_delta_db": levels.level_dbfs - reference.levels.level_dbfs,
        "peak_dbfs": levels.peak_dbfs,
        "clip_pct": levels.clip_pct,
    }
    if clip.lufs is not None:
        scores["lufs"] = clip.lufs
        if reference.lufs is not None:
            scores["lufs_delta"] = clip.lufs - reference.lufs
    return scores


def _rates(prompt: VoicePrompt, clip: Measurement, recordings: Recordings) -> dict[str, float]:
    """Speaking rate is text (UTF-8 bytes) per second of speech, so that it is defined for any language."""
    scores: dict[str, float] = {}
    reference = recordings.reference
    if recordings.target is not None:
        scores["dur_ratio"] = clip.levels.duration_s / recordings.target.levels.duration_s
    target_bytes, reference_bytes = len(prompt.sample.target_text.encode()), len(prompt.sample.reference_text.encode())
    if clip.levels.fault is None and reference.levels.fault is None and target_bytes and reference_bytes:
        scores["rate_ratio"] = (target_bytes / clip.levels.speech_s) / (reference_bytes / reference.levels.speech_s)
    return scores


def _pitch(clip: Measurement, recordings: Recordings) -> dict[str, float]:
    if clip.pitch_hz is None or recordings.reference.pitch_hz is None:
        return {}
    shift = pitch_shift(clip.pitch_hz, recordings.reference.pitch_hz)
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


def _words(prompt: VoicePrompt, clip: Measurement) -> dict[str, float]:
    if clip.transcript is None:
        return {}
    reference, target, words = prompt.sample.reference_text, prompt.sample.target_text, clip.transcript
    return {
        "wer": word_errors(said=target, heard=words).rate,
        "cer": character_errors(said=target, heard=words).rate,
        "ref_leak": leaked_share(reference=reference, target=target, heard=words),
    }


def _quality(clip: Measurement, recordings: Recordings) -> dict[str, float]:
    """Scores of the quality models, and their differences to the reference's own."""
    reference = recordings.reference.quality
    deltas = {f"{name}_delta": value - reference[name] for name, value in clip.quality.items() if name in reference}
    return clip.quality | deltas


def _finite(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if np.isfinite(value)}
