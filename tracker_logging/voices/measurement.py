"""Measure one clip, real or generated, with the scorers of the run; and all recordings around a prompt.

Guarantees
- Every field is measured by a scorer that is installed, or it is None / empty.
- No model sees an invalid clip (see `metrics.speech`): only its levels are measured.
- A recording that cannot be measured costs its own scores, no others.

    instruments = Instruments(encoder=GE2ESpeakerEncoder())
    clip = measure(wave, 24_000, instruments)
    clip.embedding                     # [256]; silence at both ends is trimmed before
    recordings = measure_recordings(voice, instruments)
    recordings.reference.embedding
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tracker_logging.events import FloatArray
from tracker_logging.metrics.speech import SpeechLevels, speech_levels, trim_silence
from tracker_logging.metrics.words import NORMALISER
from tracker_logging.voices.benchmark import comparability
from tracker_logging.voices.clips import RecordedVoice
from tracker_logging.voices.protocols import (
    CepstrumAnalyser,
    PitchTracker,
    QualityModel,
    SimilarityModel,
    SpeakerEncoder,
    SpeechDetector,
    Transcriber,
)

logger = logging.getLogger("tracker_logging")

LONG_S = 4.5
"""Seconds from which a clip is long enough to compare its thirds, in each of which a speaker can be recognised."""
_WINDOW_S, _HOP_S = 1.6, 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """The scorers of a run; None for one that is not installed or not wanted.

    `loudness` takes (wave [n] float32, sample rate in Hz) and returns LUFS.
    """

    encoder: SpeakerEncoder | None = None
    pitch: PitchTracker | None = None
    cepstrum: CepstrumAnalyser | None = None
    speech: SpeechDetector | None = None
    transcriber: Transcriber | None = None
    quality: tuple[QualityModel, ...] = ()
    similarity: tuple[SimilarityModel, ...] = ()
    loudness: Callable[[FloatArray, int], float] | None = None

    def names(self) -> dict[str, str]:
        """Kind of score -> name of what measures it."""
        single = {
            "speaker encoder": self.encoder,
            "F0": self.pitch,
            "mel-cepstrum": self.cepstrum,
            "voice activity": self.speech,
            "transcripts": self.transcriber,
        }
        names = {kind: scorer.name for kind, scorer in single.items() if scorer is not None}
        if self.transcriber is not None:
            names["words compared as"] = NORMALISER
        names |= comparability(self.encoder, self.transcriber)
        several: dict[str, Sequence[QualityModel | SimilarityModel]] = {
            "quality": self.quality,
            "further similarities": self.similarity,
        }
        return names | {kind: ", ".join(model.name for model in models) for kind, models in several.items() if models}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """One clip, `wave` [n] float32 at `sample_rate` Hz, and what was measured in it.

    `embedding` [D] float32, `windows` [W, D] float32 (see `speaker_windows`), `pitch_hz` [frames] float32 (NaN where
    unvoiced), `cepstrum` [frames, order + 1] float64, `represented` [D] float32 by name of the similarity.
    """

    wave: FloatArray
    sample_rate: int
    levels: SpeechLevels
    embedding: FloatArray | None = None
    windows: FloatArray | None = None
    pitch_hz: FloatArray | None = None
    cepstrum: npt.NDArray[np.float64] | None = None
    transcript: str | None = None
    lufs: float | None = None
    quality: dict[str, float] = field(default_factory=dict)
    represented: dict[str, FloatArray] = field(default_factory=dict)


def measure(
    wave: FloatArray, sample_rate: int, instruments: Instruments, *, language: str | None = None
) -> Measurement:
    """Measure a clip [n] float32 with all instruments. Does not raise for an invalid clip; a scorer may raise."""
    levels = speech_levels(wave, sample_rate)
    if levels.fault is None and instruments.speech is not None:
        levels = speech_levels(wave, sample_rate, speech_s=instruments.speech.speech_s(wave, sample_rate))
    if levels.fault is not None:
        return Measurement(wave=wave, sample_rate=sample_rate, levels=levels)
    quality: dict[str, float] = {}
    for model in instruments.quality:
        quality |= model.rate(wave, sample_rate)
    encoder, pitch, cepstrum = instruments.encoder, instruments.pitch, instruments.cepstrum
    transcriber, loudness = instruments.transcriber, instruments.loudness
    return Measurement(
        wave=wave,
        sample_rate=sample_rate,
        levels=levels,
        embedding=None if encoder is None else encoder.embed(_embedded(wave, sample_rate, encoder), sample_rate),
        pitch_hz=None if pitch is None else pitch.track(wave, sample_rate),
        cepstrum=None if cepstrum is None else cepstrum.analyse(wave, sample_rate),
        transcript=None if transcriber is None else transcriber.transcribe(wave, sample_rate, language=language),
        lufs=None if loudness is None else loudness(wave, sample_rate),
        quality=quality,
        represented={
            model.name: model.represent(_embedded(wave, sample_rate, model), sample_rate)
            for model in instruments.similarity
        },
    )


def _embedded(wave: FloatArray, sample_rate: int, model: SpeakerEncoder | SimilarityModel) -> FloatArray:
    """What is embedded of a clip: not the silence at both ends, unless the model's published numbers are with it."""
    return wave if getattr(model, "whole_clip", False) else trim_silence(wave, sample_rate)


def speaker_windows(wave: FloatArray, sample_rate: int, encoder: SpeakerEncoder) -> FloatArray | None:
    """Speaker embeddings [W, D] of windows of 1.6 s every 0.8 s of a long clip [n] float32, silence at both ends
    trimmed; None for a clip shorter than `LONG_S`."""
    speech = trim_silence(wave, sample_rate)
    if len(speech) < LONG_S * sample_rate:
        return None
    length, hop = int(_WINDOW_S * sample_rate), int(_HOP_S * sample_rate)
    starts = range(0, len(speech) - length + 1, hop)
    return np.stack([encoder.embed(speech[start : start + length], sample_rate) for start in starts])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recordings:
    """The measured recordings around a prompt: reference and target, each as recorded and through the codec."""

    reference: Measurement | None = None
    reference_codec: Measurement | None = None
    target: Measurement | None = None
    target_codec: Measurement | None = None


def measure_recordings(voice: RecordedVoice, instruments: Instruments) -> Recordings:
    """Measure each recording by what its scores need.

    A recording that a scorer cannot measure has levels only, with a warning: it costs its own scores, no others.
    """
    voice_only = replace(instruments, pitch=None, cepstrum=None, transcriber=None, quality=(), loudness=None)
    chosen = {
        "reference": replace(instruments, cepstrum=None, transcriber=None),
        "reference_codec": replace(voice_only, similarity=()),
        "target": replace(instruments, quality=()),
        "target_codec": replace(voice_only, pitch=instruments.pitch),
    }
    return Recordings(**{name: _measured(voice, name, chosen[name]) for name in chosen})


def _measured(voice: RecordedVoice, name: str, instruments: Instruments) -> Measurement | None:
    wave = voice.waves.get(name)
    if wave is None:
        return None
    try:
        return measure(wave, voice.sample_rate, instruments, language=voice.language)
    except Exception as error:
        logger.warning(
            "Voice %s: its %s cannot be measured (%s: %s). Scores that need it are left out; all others are logged.",
            voice.voice_id, name.replace("_", " "), type(error).__name__, error,
        )  # fmt: skip
        return measure(wave, voice.sample_rate, Instruments())
