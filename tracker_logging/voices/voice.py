"""One voice as it is measured: the real recordings around a prompt, and a generated clip beside them.

Guarantees
- The real side is measured once per run.
- A score that cannot be measured is absent: no target recording, no `dur_ratio`.

    real = real_side(prompt, processor, instruments)
    scored = score_voice(prompt, spoken, real, codec, instruments)
    scored.scores["sim_o"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tracker_logging.data.audio import load_audio
from tracker_logging.data.processor import SpeechProcessor
from tracker_logging.metrics.similarity import cosines
from tracker_logging.models.base import AudioCodec
from tracker_logging.voices.generation import Spoken
from tracker_logging.voices.listening import Heard, Instruments, listen
from tracker_logging.voices.prompt import VoicePrompt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealSide:
    """The recordings: the prompt, the prompt through the codec, the target and the target through the codec."""

    reference: Heard
    reference_codec: Heard
    target: Heard | None
    target_codec: Heard | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredVoice:
    """A prompt, what was heard (None if nothing was spoken; then `error` says why) and the scores of this clip."""

    prompt: VoicePrompt
    real: RealSide
    heard: Heard | None
    stop_reason: str | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def fault(self) -> str | None:
        """Why the clip counts in no mean; None for a valid clip."""
        return self.error if self.heard is None else self.heard.levels.fault


def real_side(prompt: VoicePrompt, processor: SpeechProcessor, instruments: Instruments) -> RealSide:
    """Load, resynthesise and measure the recordings of one prompt. Raises `DataError` if one cannot be read."""
    sample, codec = prompt.sample, processor.codec
    assert sample.reference_audio is not None
    clips = [
        load_audio(sample.reference_audio, codec.sample_rate),
        codec.decode(processor.codes(sample.reference_audio)),
    ]
    if sample.target_audio is not None:
        clips.append(load_audio(sample.target_audio, codec.sample_rate))
        clips.append(codec.decode(processor.codes(sample.target_audio)))
    heard = [listen(clip, codec.sample_rate, instruments, language=sample.language) for clip in clips]
    target, target_codec = heard[2:] if len(heard) == 4 else (None, None)
    return RealSide(reference=heard[0], reference_codec=heard[1], target=target, target_codec=target_codec)


def score_voice(
    prompt: VoicePrompt, spoken: Spoken, real: RealSide, codec: AudioCodec, instruments: Instruments
) -> ScoredVoice:
    """Decode and measure what was said. An empty clip is an invalid clip, not an error."""
    if spoken.codes is None:
        return ScoredVoice(prompt=prompt, real=real, heard=None, error=spoken.error)
    wave = codec.decode(spoken.codes) if spoken.codes.shape[1] else np.zeros(0, dtype=np.float32)
    heard = listen(wave, codec.sample_rate, instruments, language=prompt.sample.language)
    scores = compare(prompt, heard, real)
    return ScoredVoice(prompt=prompt, real=real, heard=heard, stop_reason=spoken.stop_reason, scores=scores)


def compare(prompt: VoicePrompt, heard: Heard, real: RealSide) -> dict[str, float]:
    """The scores of a generated clip beside the recordings, by the names of `tags.SCORES`; only finite ones."""
    scores = {**_level_scores(heard, real), **_similarity_scores(heard, real), **_rate_scores(prompt, heard, real)}
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def _level_scores(heard: Heard, real: RealSide) -> dict[str, float]:
    levels = heard.levels
    return {
        "speech_s": levels.speech_s,
        "silence_pct": levels.silence_pct,
        "level_dbfs": levels.level_dbfs,
        "level_delta_db": levels.level_dbfs - real.reference.levels.level_dbfs,
        "peak_dbfs": levels.peak_dbfs,
        "clip_pct": levels.clip_pct,
    }


def _similarity_scores(heard: Heard, real: RealSide) -> dict[str, float]:
    return {
        "sim_o": _similarity(heard, real.reference),
        "sim_r": _similarity(heard, real.reference_codec),
        "sim_ceiling": _similarity(real.target, real.reference),
        "sim_codec": _similarity(real.target_codec, real.reference),
    }


def _rate_scores(prompt: VoicePrompt, heard: Heard, real: RealSide) -> dict[str, float]:
    """Speaking rate is text (UTF-8 bytes) per second of speech, so that any language has one."""
    scores: dict[str, float] = {}
    if real.target is not None:
        scores["dur_ratio"] = heard.levels.duration_s / real.target.levels.duration_s
    said, read = len(prompt.sample.target_text.encode()), len(prompt.sample.reference_text.encode())
    if heard.levels.fault is None and real.reference.levels.fault is None and said and read:
        scores["rate_ratio"] = (said / heard.levels.speech_s) / (read / real.reference.levels.speech_s)
    return scores


def _similarity(one: Heard | None, other: Heard) -> float:
    if one is None or one.embedding is None or other.embedding is None:
        return float("nan")
    return float(cosines(one.embedding, other.embedding)[0, 0])
