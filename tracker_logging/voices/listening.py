"""What can be heard in one clip alone, real or generated.

Guarantees
- Every field is measured by an instrument that is there, or None / empty.
- An invalid clip (see `metrics.speech`) is not shown to any model: only its levels are known.

    instruments = Instruments(encoder=GE2ESpeakerEncoder())
    heard = listen(wave, 24_000, instruments)
    heard.embedding        # [256], edges of silence removed before
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracker_logging.events import FloatArray
from tracker_logging.metrics.speech import SpeechLevels, speech_levels, trim_silence
from tracker_logging.metrics.words import NORMALISER
from tracker_logging.voices.protocols import (
    CepstrumAnalyser,
    PitchTracker,
    QualityModel,
    SpeakerEncoder,
    SpeechDetector,
    Transcriber,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """The scorers of a run, each only where it is installed and wanted. `loudness`: LUFS of (wave, sample_rate)."""

    encoder: SpeakerEncoder | None = None
    pitch: PitchTracker | None = None
    cepstrum: CepstrumAnalyser | None = None
    speech: SpeechDetector | None = None
    transcriber: Transcriber | None = None
    quality: tuple[QualityModel, ...] = ()
    loudness: Callable[[FloatArray, int], float] | None = None

    def names(self) -> dict[str, str]:
        """What each kind of score is measured by."""
        single = {
            "speaker encoder": self.encoder,
            "F0": self.pitch,
            "mel-cepstrum": self.cepstrum,
            "voice activity": self.speech,
            "transcripts": self.transcriber,
        }
        names = {kind: one.name for kind, one in single.items() if one is not None}
        if self.transcriber is not None:
            names["words compared as"] = NORMALISER
        return names | ({"quality": ", ".join(model.name for model in self.quality)} if self.quality else {})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """One clip: `wave` [n] float32 at `sample_rate`, and what was measured in it."""

    wave: FloatArray
    sample_rate: int
    levels: SpeechLevels
    embedding: FloatArray | None = None
    pitch_hz: FloatArray | None = None
    cepstrum: npt.NDArray[np.float64] | None = None
    transcript: str | None = None
    lufs: float | None = None
    quality: dict[str, float] = field(default_factory=dict)


def listen(wave: FloatArray, sample_rate: int, instruments: Instruments, *, language: str | None = None) -> Heard:
    """Measure one clip with all instruments. Never raises for a bad clip; an instrument may raise."""
    levels = speech_levels(wave, sample_rate)
    if levels.fault is None and instruments.speech is not None:
        levels = speech_levels(wave, sample_rate, speech_s=instruments.speech.speech_s(wave, sample_rate))
    if levels.fault is not None:
        return Heard(wave=wave, sample_rate=sample_rate, levels=levels)
    quality: dict[str, float] = {}
    for model in instruments.quality:
        quality |= model.rate(wave, sample_rate)
    encoder, pitch, cepstrum = instruments.encoder, instruments.pitch, instruments.cepstrum
    transcriber, loudness = instruments.transcriber, instruments.loudness
    return Heard(
        wave=wave,
        sample_rate=sample_rate,
        levels=levels,
        embedding=None if encoder is None else encoder.embed(trim_silence(wave, sample_rate), sample_rate),
        pitch_hz=None if pitch is None else pitch.track(wave, sample_rate),
        cepstrum=None if cepstrum is None else cepstrum.analyse(wave, sample_rate),
        transcript=None if transcriber is None else transcriber.transcribe(wave, sample_rate, language=language),
        lufs=None if loudness is None else loudness(wave, sample_rate),
        quality=quality,
    )
