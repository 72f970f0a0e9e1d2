"""Measure one clip, real or generated, with the scorers of the run; and all recordings around a prompt.

Guarantees
- Every field is measured by a scorer that is installed, or it is None / empty.
- No model sees an invalid clip (see `metrics.speech`): only its levels are measured.

    instruments = Instruments(encoder=GE2ESpeakerEncoder())
    clip = measure(wave, 24_000, instruments)
    clip.embedding                     # [256]; silence at both ends is trimmed before
    recordings = measure_recordings(prompt, processor, instruments)
    recordings.reference.embedding
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker_logging.data.audio import load_audio
from tracker_logging.events import FloatArray
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.metrics.speech import SpeechLevels, speech_levels, trim_silence
from tracker_logging.metrics.words import NORMALISER
from tracker_logging.voices.prompt import VoicePrompt
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
    """The scorers of a run; None for one that is not installed or not wanted.

    `loudness` takes (wave [n] float32, sample rate in Hz) and returns LUFS.
    """

    encoder: SpeakerEncoder | None = None
    pitch: PitchTracker | None = None
    cepstrum: CepstrumAnalyser | None = None
    speech: SpeechDetector | None = None
    transcriber: Transcriber | None = None
    quality: tuple[QualityModel, ...] = ()
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
        return names | ({"quality": ", ".join(model.name for model in self.quality)} if self.quality else {})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """One clip, `wave` [n] float32 at `sample_rate` Hz, and what was measured in it.

    `embedding` [D] float32, `pitch_hz` [frames] float32 (NaN where unvoiced), `cepstrum` [frames, order + 1] float64.
    """

    wave: FloatArray
    sample_rate: int
    levels: SpeechLevels
    embedding: FloatArray | None = None
    pitch_hz: FloatArray | None = None
    cepstrum: npt.NDArray[np.float64] | None = None
    transcript: str | None = None
    lufs: float | None = None
    quality: dict[str, float] = field(default_factory=dict)


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
        embedding=None if encoder is None else encoder.embed(trim_silence(wave, sample_rate), sample_rate),
        pitch_hz=None if pitch is None else pitch.track(wave, sample_rate),
        cepstrum=None if cepstrum is None else cepstrum.analyse(wave, sample_rate),
        transcript=None if transcriber is None else transcriber.transcribe(wave, sample_rate, language=language),
        lufs=None if loudness is None else loudness(wave, sample_rate),
        quality=quality,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recordings:
    """The recordings around a prompt: reference and target, each as recorded and through the codec."""

    reference: Measurement
    reference_codec: Measurement
    target: Measurement | None = None
    target_codec: Measurement | None = None


def measure_recordings(prompt: VoicePrompt, processor: SpeechProcessor, instruments: Instruments) -> Recordings:
    """Load, resynthesise and measure the recordings, each by what its scores need. Raises `DataError`."""
    sample, codec = prompt.sample, processor.codec
    assert sample.reference_audio is not None
    voice_only = replace(instruments, pitch=None, cepstrum=None, transcriber=None, quality=(), loudness=None)

    def recorded(chosen: Instruments, path: Path) -> Measurement:
        return measure(load_audio(path, codec.sample_rate), codec.sample_rate, chosen, language=sample.language)

    def resynthesised(chosen: Instruments, path: Path) -> Measurement:
        return measure(codec.decode(processor.codes(path)), codec.sample_rate, chosen)

    reference = recorded(replace(instruments, cepstrum=None, transcriber=None), sample.reference_audio)
    reference_codec = resynthesised(voice_only, sample.reference_audio)
    if sample.target_audio is None:
        return Recordings(reference=reference, reference_codec=reference_codec)
    return Recordings(
        reference=reference,
        reference_codec=reference_codec,
        target=recorded(replace(instruments, quality=()), sample.target_audio),
        target_codec=resynthesised(replace(voice_only, pitch=instruments.pitch), sample.target_audio),
    )
