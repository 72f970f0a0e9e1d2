"""Turns what a user passes as `processor=` into typed parts, and tells what each part enables.

Accepted are
- a `Processor` of ours (`SpeechProcessor`, `CsmSpeechProcessor`, …): everything
- a tokenizer of transformers: decoded texts
- a processor of transformers (`CsmProcessor`, `DiaProcessor`, `HiggsAudioV2Processor`): its tokenizer, and its codec if
  it has one
- a codec: an `AudioCodec`, a codec model of transformers, or an object with the interface of boson's codec
- any object with a `tokenizer`, a `codec` or an `audio_tokenizer`
- None

    parts = processor_parts(processor)
    parts.tokenizer, parts.codec, parts.voices      # each may be None
    for ability in parts.abilities:
        print(ability.name, ability.enables, ability.missing)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from tracker_logging.data.codec import AudioCodec
from tracker_logging.families.base import Processor
from tracker_logging.families.boson.codec import BosonCodec
from tracker_logging.families.higgs_v2.codec import HiggsCodec
from tracker_logging.families.model_codec import ModelCodec
from tracker_logging.families.semantic_codec import MODEL_TYPES, SemanticCodec
from tracker_logging.families.snac_codec import SnacCodec

_ENABLES = {
    "tokenizer": "decoded texts and special tokens in the input and output tables",
    "codec": "reference, target and teacher-forced audio",
    "voices": "generated voices and their scores, and the conditioning gap",
}
_PASS = {
    "tokenizer": "pass the model's tokenizer, or a processor that has one",
    "codec": "pass a processor with a codec, such as SpeechProcessor, or the codec itself",
    "voices": "pass a processor that builds prompts: SpeechProcessor or that of the model's family (docs/adapters.md)",
}


class ProcessorError(TypeError):
    """What was passed as `processor=` has no part that can be used."""


@dataclass(frozen=True, slots=True)
class Ability:
    """One part of a processor. `missing` is None if it is there, else the reason and what to pass."""

    name: Literal["tokenizer", "codec", "voices"]
    enables: str
    missing: str | None


@dataclass(frozen=True, slots=True)
class ProcessorParts:
    """`tokenizer` of transformers, `codec`, and `voices`, the whole processor if it builds prompts and rows.

    `passed` is the class of what was passed, for messages.
    """

    tokenizer: Any
    codec: AudioCodec | None
    voices: Processor | None
    passed: str

    @property
    def abilities(self) -> tuple[Ability, ...]:
        """The three parts, each with what it enables and, if it is missing, why and what to pass."""
        return (
            self._ability("tokenizer", self.tokenizer),
            self._ability("codec", self.codec),
            self._ability("voices", self.voices),
        )

    def _ability(self, name: Literal["tokenizer", "codec", "voices"], part: object) -> Ability:
        missing = None if part is not None else f"{self.passed} has none; {_PASS[name]}"
        return Ability(name=name, enables=_ENABLES[name], missing=missing)


def processor_parts(given: Any) -> ProcessorParts:
    """The parts of what was passed as `processor=`. Raises `ProcessorError` for an object without any part."""
    passed = "no processor (None)" if given is None else type(given).__name__
    if given is None:
        return ProcessorParts(tokenizer=None, codec=None, voices=None, passed=passed)
    if isinstance(given, Processor):
        return ProcessorParts(tokenizer=given.tokenizer, codec=given.codec, voices=given, passed=passed)
    if _is_tokenizer(given):
        return ProcessorParts(tokenizer=given, codec=None, voices=None, passed=passed)
    tokenizer = getattr(given, "tokenizer", None)
    codec = _codec(given) or _codec(getattr(given, "codec", None)) or _codec(getattr(given, "audio_tokenizer", None))
    if not _is_tokenizer(tokenizer):
        tokenizer = None
    if tokenizer is None and codec is None:
        raise ProcessorError(
            f"processor: a {passed} has neither a tokenizer nor a codec. Pass a processor, a tokenizer or a codec."
        )
    return ProcessorParts(tokenizer=tokenizer, codec=codec, voices=None, passed=passed)


def _is_tokenizer(candidate: Any) -> bool:
    """Whether it has the methods of a transformers tokenizer that are used. A codec has `decode` too."""
    return all(callable(getattr(candidate, name, None)) for name in ("decode", "convert_ids_to_tokens"))


def _codec(candidate: Any) -> AudioCodec | None:
    if isinstance(candidate, AudioCodec):
        return candidate
    config: Any = getattr(candidate, "config", None)
    if isinstance(candidate, nn.Module) and getattr(config, "model_type", None) in MODEL_TYPES:
        return SemanticCodec(candidate)
    if type(candidate).__name__ == "SNAC" and hasattr(candidate, "vq_strides"):
        return SnacCodec(candidate)
    if isinstance(candidate, nn.Module) and hasattr(config, "codebook_size"):
        return HiggsCodec(candidate) if config.model_type == "higgs_audio_v2_tokenizer" else ModelCodec(candidate)
    return BosonCodec(candidate) if BosonCodec.fits(candidate) else None
