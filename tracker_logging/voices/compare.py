"""The scores of one generated clip beside the recordings, by the names of `tags.SCORES` (METRICS: Voices).

Guarantees
- Only finite values; what cannot be measured for this clip is absent.
- Distances to a recording are taken only to the target, which says the same words.

    compare(prompt, heard, real)["sim_o"]
"""

from __future__ import annotations

import numpy as np

from tracker_logging.metrics.distance import align
from tracker_logging.metrics.pitch import pitch_error, pitch_shift
from tracker_logging.metrics.similarity import cosines
from tracker_logging.metrics.words import character_errors, leaked_share, word_errors
from tracker_logging.voices.listening import Heard
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.real import RealSide


def compare(prompt: VoicePrompt, heard: Heard, real: RealSide) -> dict[str, float]:
    """All scores of one clip. For an invalid clip only those of level and length, and those of the real clips."""
    scores = {
        **real_scores(prompt, real),
        **_levels(heard, real),
        "sim_o": voice_similarity(heard, real.reference),
        "sim_r": voice_similarity(heard, real.reference_codec),
        **_rates(prompt, heard, real),
        **_pitch(heard, real),
        **_distances(heard, real),
        **_words(prompt, heard),
        **_quality(heard, real),
    }
    return _finite(scores)


def real_scores(prompt: VoicePrompt, real: RealSide) -> dict[str, float]:
    """The scores of the recordings alone: what a generated clip can be held to."""
    scores = {
        "sim_ceiling": voice_similarity(real.target, real.reference),
        "sim_codec": voice_similarity(real.target_codec, real.reference),
    }
    if real.target is not None and real.target.transcript is not None:
        said, heard = prompt.sample.target_text, real.target.transcript
        scores["wer_real"] = word_errors(text=said, transcript=heard).rate
        scores["cer_real"] = character_errors(text=said, transcript=heard).rate
    return _finite(scores)


def voice_similarity(one: Heard | None, other: Heard | None) -> float:
    """Cosine of two clips' speaker embeddings; NaN if one has none."""
    if one is None or other is None or one.embedding is None or other.embedding is None:
        return float("nan")
    return float(cosines(one.embedding, other.embedding)[0, 0])


def _levels(heard: Heard, real: RealSide) -> dict[str, float]:
    levels = heard.levels
    scores = {
        "speech_s": levels.speech_s,
        "silence_pct": levels.silence_pct,
        "level_dbfs": levels.level_dbfs,
        "level_delta_db": levels.level_dbfs - real.reference.levels.level_dbfs,
        "peak_dbfs": levels.peak_dbfs,
        "clip_pct": levels.clip_pct,
    }
    if heard.lufs is not None:
        scores["lufs"] = heard.lufs
        if real.reference.lufs is not None:
            scores["lufs_delta"] = heard.lufs - real.reference.lufs
    return scores


def _rates(prompt: VoicePrompt, heard: Heard, real: RealSide) -> dict[str, float]:
    """Speaking rate is text (UTF-8 bytes) per second of speech, so that any language has one."""
    scores: dict[str, float] = {}
    if real.target is not None:
        scores["dur_ratio"] = heard.levels.duration_s / real.target.levels.duration_s
    said, read = len(prompt.sample.target_text.encode()), len(prompt.sample.reference_text.encode())
    if heard.levels.fault is None and real.reference.levels.fault is None and said and read:
        scores["rate_ratio"] = (said / heard.levels.speech_s) / (read / real.reference.levels.speech_s)
    return scores


def _pitch(heard: Heard, real: RealSide) -> dict[str, float]:
    if heard.pitch_hz is None or real.reference.pitch_hz is None:
        return {}
    shift = pitch_shift(heard.pitch_hz, real.reference.pitch_hz)
    return {"f0_median_shift_cents": shift.median_shift_cents, "f0_std_ratio": shift.std_ratio}


def _distances(heard: Heard, real: RealSide) -> dict[str, float]:
    if heard.cepstrum is None or real.target is None or real.target.cepstrum is None:
        return {}
    alignment = align(heard.cepstrum, real.target.cepstrum)
    scores = {"mcd_db": alignment.mcd_db}
    if heard.pitch_hz is not None and real.target.pitch_hz is not None:
        error = pitch_error(heard.pitch_hz, real.target.pitch_hz, alignment.path)
        scores |= {
            "f0_rmse_cents": error.rmse_cents,
            "logf0_corr": error.log_correlation,
            "vuv_err": error.vuv_err,
        }
    return scores


def _words(prompt: VoicePrompt, heard: Heard) -> dict[str, float]:
    if heard.transcript is None:
        return {}
    reference, target, words = prompt.sample.reference_text, prompt.sample.target_text, heard.transcript
    return {
        "wer": word_errors(text=target, transcript=words).rate,
        "cer": character_errors(text=target, transcript=words).rate,
        "ref_leak": leaked_share(reference=reference, target=target, transcript=words),
    }


def _quality(heard: Heard, real: RealSide) -> dict[str, float]:
    """Scores of the models, and their differences to the prompt's own."""
    reference = real.reference.quality
    deltas = {f"{name}_delta": value - reference[name] for name, value in heard.quality.items() if name in reference}
    return heard.quality | deltas


def _finite(scores: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if np.isfinite(value)}
