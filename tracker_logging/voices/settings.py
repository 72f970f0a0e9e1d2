"""How voices are generated and scored: every option with its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tracker_logging.families.base import SamplingSettings
from tracker_logging.voices.scorers.choose import ScorerChoice

_LEAST = {"max_clips": 1, "batch_size": 1, "conditioning_clips": 0, "timeout_s": 0.0, "takes": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSettings:
    """Options of the voice rounds. Raises `ValueError` for an invalid value."""

    max_clips: int = 12
    """Prompts chosen from the samples."""
    batch_size: int = 16
    """Prompts generated at a time; halved when memory runs out."""
    sampling: SamplingSettings | None = None
    """None: as the model's family is published (`ModelAdapter.sampling`), with `sampling_changes`."""
    sampling_changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `SamplingSettings` that differ from the family's."""
    takes: int = 1
    """Clips per prompt, each with a seed of its own: voices `ID`, `ID-take2`, …"""
    seed: int = 0
    """Each prompt has its own sampling seed, derived from this one."""
    timeout_s: float = 120.0
    """Seconds. After this a rank begins no further batch, rank 0 stops waiting for another rank's clips, and the end of
    training stops waiting for scoring."""
    conditioning_clips: int = 8
    """Prompts with a target recording on which the conditioning gap is measured at every logged step; always the same
    ones."""
    cond_gain: bool = False
    """Also generate each text with another speaker's reference at voice steps: twice the generation."""
    scorers: ScorerChoice = field(default_factory=ScorerChoice)
    """The scorers that measure the clips."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"Voices: {name} is {getattr(self, name)}; give {least} or more.")
        sampling = self._changed(SamplingSettings())
        if sampling.temperature < 0 or not 0 < sampling.top_p <= 1:
            raise ValueError(
                f"Voices: temperature {sampling.temperature} and top_p {sampling.top_p} are not valid. "
                "Give a temperature of 0 (greedy) or more and a top_p above 0 and up to 1."
            )
        if sampling.top_k is not None and sampling.top_k < 1:
            raise ValueError(f"Voices: top_k is {sampling.top_k}. Give 1 or more, or none to sample from all codes.")

    def sampled_as(self, published: SamplingSettings) -> SamplingSettings:
        """How to sample a model whose family is `published` with these settings.

        Raises `ValueError` for several takes without sampling: all would be equal.
        """
        sampling = self._changed(published)
        if self.takes > 1 and sampling.temperature == 0:
            raise ValueError(
                f"Voices: takes is {self.takes} (--voice_takes), but the temperature is 0, so that all takes would be "
                "equal. Give a temperature (--voice_temperature), or one take."
            )
        return sampling

    def _changed(self, published: SamplingSettings) -> SamplingSettings:
        return self.sampling or replace(published, **self.sampling_changes)
