"""Scorers by name, and what a run can do with the packages that are installed.

A choice is written in one of four ways:

    ge2e                       one that comes with the library
    wavlm=models/wavlm-sv      one that needs a path
    my_package.module:Factory  your own: called without arguments, it returns a scorer (see `voices.protocols`)
    off                        none

Guarantees
- What was asked for and cannot be had is refused with the cure, before the first step.
- What was not asked for and is not installed is left out; one message names it and the command that installs it.
- Building scorers does not move the global random state.
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

from tracker_logging.voices.listening import Instruments
from tracker_logging.voices.scorers.distillmos import DistillMos
from tracker_logging.voices.scorers.dnsmos import Dnsmos
from tracker_logging.voices.scorers.loudness import loudness_meter
from tracker_logging.voices.scorers.pitch import SwiftF0PitchTracker
from tracker_logging.voices.scorers.silero import SileroSpeechDetector
from tracker_logging.voices.scorers.whisper import open_whisper
from tracker_logging.voices.scorers.world import WorldCepstrum, WorldPitchTracker
from tracker_logging.voices.scorers.xvector import WavLMSpeakerEncoder
from tracker_logging.voices.speaker import GE2ESpeakerEncoder

logger = logging.getLogger("tracker_logging")

OFF = "off"
Maker = Callable[..., Any]

ENCODERS: Mapping[str, Maker] = {"ge2e": GE2ESpeakerEncoder, "wavlm": WavLMSpeakerEncoder}
PITCH_TRACKERS: Mapping[str, Maker] = {"swift-f0": SwiftF0PitchTracker, "world": WorldPitchTracker}
SPEECH_DETECTORS: Mapping[str, Maker] = {"silero": SileroSpeechDetector}
CEPSTRA: Mapping[str, Maker] = {"world": WorldCepstrum}
QUALITY_MODELS: Mapping[str, Maker] = {"dnsmos": Dnsmos, "distillmos": DistillMos}
LOUDNESS: Mapping[str, Maker] = {"bs1770": loudness_meter}
TRANSCRIBERS: Mapping[str, Maker] = {"whisper": open_whisper}

# distillmos asks for a torchaudio that it does not need here.
_INSTALL = {
    "swift-f0": "pip install 'tracker-logging[voice]'",
    "world": "pip install 'tracker-logging[voice]'",
    "bs1770": "pip install 'tracker-logging[voice]'",
    "silero": "pip install 'tracker-logging[voice]'",
    "dnsmos": "pip install 'tracker-logging[quality]'",
    "distillmos": "pip install --no-deps distillmos",
    "whisper": "pip install 'tracker-logging[asr]'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerChoice:
    """Which scorers to use, each as text (see above). None: the library's own, if it is installed."""

    encoder: str | None = None
    pitch: str | None = None
    cepstrum: str | None = None
    speech: str | None = None
    transcriber: str | None = None
    quality: tuple[str, ...] | None = None


def choose_instruments(choice: ScorerChoice) -> Instruments:
    """Build the scorers. Raises `ValueError` for one that was asked for and cannot be had."""
    missing: list[str] = []
    with torch.random.fork_rng(devices=[]):
        found = Instruments(
            encoder=_make("speaker encoder", choice.encoder, "ge2e", ENCODERS, missing),
            pitch=_make("F0", choice.pitch, "swift-f0", PITCH_TRACKERS, missing),
            cepstrum=_make("MCD", choice.cepstrum, "world", CEPSTRA, missing),
            speech=_make("voice activity", choice.speech, "silero", SPEECH_DETECTORS, missing),
            transcriber=_make("transcripts", choice.transcriber or OFF, OFF, TRANSCRIBERS, missing),
            quality=tuple(_quality(choice.quality, missing)),
            loudness=_make("loudness", None, "bs1770", LOUDNESS, missing),
        )
    if missing:
        logger.info("Voice scores that are left out, with the command that installs each:\n  %s", "\n  ".join(missing))
    return found


def _quality(wanted: tuple[str, ...] | None, missing: list[str]) -> list[Any]:
    if wanted is not None:
        made = [_make("quality", one, OFF, QUALITY_MODELS, missing) for one in wanted]
    else:
        made = [_make("quality", None, name, QUALITY_MODELS, missing) for name in QUALITY_MODELS]
    return [model for model in made if model is not None]


def _make(what: str, wanted: str | None, default: str, makers: Mapping[str, Maker], missing: list[str]) -> Any:
    """The scorer, or None if it is off or, not having been asked for, not installed."""
    chosen = default if wanted is None else wanted
    if chosen == OFF:
        return None
    try:
        return _build(what, chosen, makers)
    except ImportError as error:
        name = chosen.partition("=")[0]
        cure = _INSTALL.get(name, "install the package that it names")
        if wanted is not None:
            raise ValueError(
                f"Voices: {what} by {chosen!r} cannot be had ({error}). {cure}, or choose another."
            ) from error
        missing.append(f"{what} ({name}): {cure}")
        return None


def _build(what: str, chosen: str, makers: Mapping[str, Maker]) -> Any:
    name, equals, path = chosen.partition("=")
    if name in makers:
        if equals and not Path(path).exists():
            raise ValueError(f"Voices: {what} {name}={path}: there is nothing at that path.")
        parameters = signature(makers[name]).parameters.values()
        if equals and not parameters:
            raise ValueError(f"Voices: {what} {name} takes no path.")
        if not equals and any(one.default is one.empty for one in parameters):
            raise ValueError(f"Voices: {what} {name} needs a path: {name}=PATH.")
        return makers[name](Path(path)) if equals else makers[name]()
    module, colon, attribute = chosen.partition(":")
    if not colon:
        known = ", ".join([*makers, OFF])
        raise ValueError(f"Voices: {what} {chosen!r} is unknown. Choose of {known}, NAME=PATH or module:factory.")
    factory = getattr(import_module(module), attribute, None)
    if factory is None:
        raise ValueError(f"Voices: {what} {chosen!r}: module {module} has no {attribute}.")
    return factory()
