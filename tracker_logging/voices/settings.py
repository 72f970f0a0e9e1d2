"""How voices are spoken and scored: everything a user can choose, with its default."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracker_logging.families.base import SamplingSettings
from tracker_logging.voices.scorers.choose import ScorerChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSettings:
    """`max_clips` prompts speak in batches of at most `batch_size`. Raises `ValueError` for what makes no sense."""

    max_clips: int = 12
    """Prompts chosen from the samples."""
    batch_size: int = 16
    """Prompts spoken at a time; halved when memory runs out."""
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    """Greedy unless a temperature is given."""
    seed: int = 0
    """Each prompt samples by a seed of its own that follows from this one."""
    timeout_s: float = 120.0
    """After this a rank begins no further batch, rank 0 waits no longer for another rank's clips, and training that has
    ended waits no longer for scoring."""
    conditioning_clips: int = 8
    """Prompts on which the conditioning gap is measured at every logged step: the same ones each time."""
    cond_gain: bool = False
    """Also speak each text with another speaker's prompt at voice steps: twice the generation."""
    scorers: ScorerChoice = field(default_factory=ScorerChoice)
    """What measures the clips."""

    def __post_init__(self) -> None:
        for name, least in (("max_clips", 1), ("batch_size", 1), ("conditioning_clips", 0), ("timeout_s", 0.0)):
            if getattr(self, name) < least:
                raise ValueError(f"Voices: {name} is {getattr(self, name)}; give {least} or more.")
        if self.sampling.temperature < 0 or not 0 < self.sampling.top_p <= 1:
            raise ValueError(
                f"Voices: temperature {self.sampling.temperature} and top_p {self.sampling.top_p} cannot be sampled "
                "with. Give a temperature of 0 (greedy) or more and a top_p above 0 and up to 1."
            )
