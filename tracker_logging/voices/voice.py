"""One voice as it is measured: a generated clip beside the recordings around its prompt.

scored = score_voice(prompt, spoken, real, codec, instruments)
scored.scores["sim_o"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tracker_logging.data.codec import AudioCodec
from tracker_logging.metrics.repetition import repetition
from tracker_logging.metrics.speech import sounding_stretches
from tracker_logging.voices.compare import compare, real_scores
from tracker_logging.voices.generation import Spoken
from tracker_logging.voices.listening import Heard, Instruments, listen
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.real import RealSide


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


def silent_voice(prompt: VoicePrompt, real: RealSide, error: str) -> ScoredVoice:
    """A voice that said nothing, with the scores of its recordings."""
    return ScoredVoice(prompt=prompt, real=real, heard=None, error=error, scores=real_scores(prompt, real))


def score_voice(
    prompt: VoicePrompt, spoken: Spoken, real: RealSide, codec: AudioCodec, instruments: Instruments
) -> ScoredVoice:
    """Decode and measure what was said. An empty clip is an invalid clip, not an error."""
    if spoken.codes is None:
        return silent_voice(prompt, real, spoken.error or "not spoken")
    wave = codec.decode(spoken.codes) if spoken.codes.shape[1] else np.zeros(0, dtype=np.float32)
    heard = listen(wave, codec.sample_rate, instruments, language=prompt.sample.language)
    scores = compare(prompt, heard, real)
    sounding = sounding_stretches(wave, codec.sample_rate, count=spoken.codes.shape[1])
    share = repetition(spoken.codes[:, sounding])
    if share is not None:
        scores = {**scores, "repetition": share}
    return ScoredVoice(prompt=prompt, real=real, heard=heard, stop_reason=spoken.stop_reason, scores=scores)
