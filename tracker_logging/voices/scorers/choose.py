"""Builds the scorers of a run from their names.

A choice is written in one of five ways:

    ge2e                       comes with the library
    wavlm=models/wavlm-sv      needs a path
    ecapa=ecapa.onnx           an encoder, a quality model or a similarity in a file (see `model_file`)
    my_package.module:Factory  your own: called without arguments, it returns a scorer (see `voices.protocols`)
    off                        none

Guarantees
- A scorer that was chosen and is not available is refused with the fix, before the first step.
- A default scorer that is not installed is left out; one message names it and the command that installs it.
- Building scorers does not change the global random state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from tracker_logging.events import FloatArray
from tracker_logging.metrics.speech import integrated_loudness
from tracker_logging.tags import SCORES, safe_part
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.scorers.distillmos import DistillMos
from tracker_logging.voices.scorers.dnsmos import Dnsmos
from tracker_logging.voices.scorers.model_file import (
    SUFFIXES,
    FileQualityModel,
    FileSimilarityModel,
    FileSpeakerEncoder,
)
from tracker_logging.voices.scorers.pitch import SwiftF0PitchTracker
from tracker_logging.voices.scorers.seed_tts import SeedTtsSpeakerEncoder
from tracker_logging.voices.scorers.silero import SileroSpeechDetector
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder, WavLMSpeakerEncoder
from tracker_logging.voices.scorers.whisper import cached_whisper, open_whisper
from tracker_logging.voices.scorers.world import WorldCepstrum, WorldPitchTracker

logger = logging.getLogger("tracker_logging")

OFF = "off"
Factory = Callable[..., Any]


def loudness_meter() -> Callable[[FloatArray, int], float]:
    """LUFS of (wave, sample rate) by ITU-R BS.1770-4. Raises ImportError without pyloudnorm."""
    import pyloudnorm  # noqa: F401  (so that a missing package is known before the first clip)

    return integrated_loudness


ENCODERS: Mapping[str, Factory] = {
    "ge2e": GE2ESpeakerEncoder,
    "wavlm": WavLMSpeakerEncoder,
    "seed-tts": SeedTtsSpeakerEncoder,
}
PITCH_TRACKERS: Mapping[str, Factory] = {"swift-f0": SwiftF0PitchTracker, "world": WorldPitchTracker}
SPEECH_DETECTORS: Mapping[str, Factory] = {"silero": SileroSpeechDetector}
CEPSTRA: Mapping[str, Factory] = {"world": WorldCepstrum}
QUALITY_MODELS: Mapping[str, Factory] = {"dnsmos": Dnsmos, "distillmos": DistillMos}
LOUDNESS: Mapping[str, Factory] = {"bs1770": loudness_meter}
TRANSCRIBERS: Mapping[str, Factory] = {"whisper": open_whisper}

MODEL_FILES: Mapping[str, Factory] = {
    "speaker encoder": FileSpeakerEncoder,
    "quality": FileQualityModel,
    "similarity": FileSimilarityModel,
}
"""Kinds of scorers that may be a file of the user's own, under a name of the user's own."""

# distillmos requires torchaudio, which is not needed here.
_INSTALL = {
    "swift-f0": "pip install 'tracker-logging[voice]'",
    "world": "pip install 'tracker-logging[voice]'",
    "bs1770": "pip install 'tracker-logging[voice]'",
    "silero": "pip install 'tracker-logging[voice]'",
    "dnsmos": "pip install 'tracker-logging[quality]'",
    "distillmos": "pip install --no-deps distillmos",
    "whisper": "pip install 'tracker-logging[asr]' and hf download openai/whisper-small, or give whisper=PATH",
}


_SINGLE = ("encoder", "pitch", "cepstrum", "speech", "transcriber")
_SEVERAL = ("quality", "similarity")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerChoice:
    """Which scorers to use, each as text (see above). None: the default one, if it is installed."""

    encoder: str | None = None
    pitch: str | None = None
    cepstrum: str | None = None
    speech: str | None = None
    transcriber: str | None = None
    quality: tuple[str, ...] | None = None
    similarity: tuple[str, ...] | None = None
    """Further similarities to the prompt; none by default."""

    def to_text(self) -> dict[str, str]:
        """The choices that were made, as text: `{"encoder": "ge2e", "quality": "dnsmos,distillmos"}`."""
        texts = {name: getattr(self, name) for name in _SINGLE}
        for name in _SEVERAL:
            chosen = getattr(self, name)
            texts[name] = None if chosen is None else ",".join(chosen) or OFF
        return {name: text for name, text in texts.items() if text is not None}

    @classmethod
    def from_text(cls, texts: Mapping[str, str]) -> ScorerChoice:
        """The inverse of `to_text`; names that are not known are ignored."""
        chosen: dict[str, Any] = {name: texts[name] for name in _SINGLE if name in texts}
        for name in _SEVERAL:
            if name in texts:
                chosen[name] = () if texts[name] == OFF else tuple(texts[name].split(","))
        return cls(**chosen)


def has_transcriber(choice: ScorerChoice) -> bool:
    """Whether words are measured: with the one that was chosen, or with a cached default."""
    return choice.transcriber != OFF and (choice.transcriber is not None or cached_whisper() is not None)


def choose_instruments(choice: ScorerChoice) -> Instruments:
    """Build the scorers. Raises `ValueError` for a chosen scorer that is not available."""
    missing: list[str] = []
    with torch.random.fork_rng(devices=[]):
        instruments = Instruments(
            encoder=_make("speaker encoder", choice.encoder, "ge2e", ENCODERS, missing),
            pitch=_make("F0", choice.pitch, "swift-f0", PITCH_TRACKERS, missing),
            cepstrum=_make("MCD", choice.cepstrum, "world", CEPSTRA, missing),
            speech=_make("voice activity", choice.speech, "silero", SPEECH_DETECTORS, missing),
            transcriber=_make("transcripts", choice.transcriber, "whisper", TRANSCRIBERS, missing),
            quality=tuple(_several("quality", choice.quality, QUALITY_MODELS, missing)),
            similarity=tuple(_several("similarity", choice.similarity, {}, missing)),
            loudness=_make("loudness", None, "bs1770", LOUDNESS, missing),
        )
    if missing:
        logger.info("Voice scores that are left out, with the command that installs each:\n  %s", "\n  ".join(missing))
    return instruments


def _several(
    kind: str, choices: tuple[str, ...] | None, factories: Mapping[str, Factory], missing: list[str]
) -> list[Any]:
    if choices is not None:
        models = [_make(kind, choice, OFF, factories, missing) for choice in choices]
    else:
        models = [_make(kind, None, name, factories, missing) for name in factories]
    models = [model for model in models if model is not None]
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise ValueError(f"Voices: {kind} by {', '.join(names)}: give each a name of its own.")
    return models


def _make(kind: str, choice: str | None, default: str, factories: Mapping[str, Factory], missing: list[str]) -> Any:
    """The scorer; None if it is off, or if it is a default that is not installed."""
    name = default if choice is None else choice
    if name == OFF:
        return None
    try:
        return _build(kind, name, factories)
    except ImportError as error:
        short_name = name.partition("=")[0]
        fix = _INSTALL.get(short_name, "install the package that it names")
        if choice is not None:
            raise ValueError(
                f"Voices: {kind} by {name!r} is not available ({error}). {fix}, or choose another."
            ) from error
        missing.append(f"{kind} ({short_name}): {fix}")
        return None


def _build(kind: str, choice: str, factories: Mapping[str, Factory]) -> Any:
    name, equals, path = choice.partition("=")
    if name in factories:
        if equals and not Path(path).exists():
            raise ValueError(f"Voices: {kind} {name}={path}: this path does not exist.")
        parameters = signature(factories[name]).parameters.values()
        if equals and not parameters:
            raise ValueError(f"Voices: {kind} {name} takes no path.")
        if not equals and any(parameter.default is parameter.empty for parameter in parameters):
            raise ValueError(f"Voices: {kind} {name} needs a path: {name}=PATH.")
        return factories[name](Path(path)) if equals else factories[name]()
    if equals and kind in MODEL_FILES and Path(path).suffix in SUFFIXES:
        return _open_file(kind, name, Path(path))
    module, colon, attribute = choice.partition(":")
    if not colon:
        known = ", ".join([*factories, OFF])
        raise ValueError(f"Voices: {kind} {choice!r} is unknown. Choose one of {known}, NAME=PATH or module:factory.")
    factory = getattr(import_module(module), attribute, None)
    if factory is None:
        raise ValueError(f"Voices: {kind} {choice!r}: module {module} has no {attribute}.")
    return factory()


def _open_file(kind: str, name: str, path: Path) -> Any:
    taken = {score.name for score in SCORES if score.unit != "MOS"}
    if not path.is_file():
        raise ValueError(f"Voices: {kind} {name}={path}: this file does not exist.")
    if safe_part(name, "") != name or not name or (kind == "quality" and name in taken):
        raise ValueError(f"Voices: {kind} {name!r}: take a name of letters, digits, - and _ that no other score has.")
    try:
        return MODEL_FILES[kind](path, name)
    except ValueError as error:
        raise ValueError(f"Voices: {kind} {name}={error}") from error
