"""How voices are spoken and scored: everything a user can choose, with its default."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracker_logging.models.base import SamplingSettings


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
    """How long rank 0 waits for the clips of other ranks, and for scoring at the end of training."""

    def __post_init__(self) -> None:
        for name, least in (("max_clips", 1), ("batch_size", 1), ("timeout_s", 0.0)):
            if getattr(self, name) < least:
                raise ValueError(f"Voices: {name} is {getattr(self, name)}; give {least} or more.")
        if self.sampling.temperature < 0 or not 0 < self.sampling.top_p <= 1:
            raise ValueError(
                f"Voices: temperature {self.sampling.temperature} and top_p {self.sampling.top_p} cannot be sampled "
                "with. Give a temperature of 0 (greedy) or more and a top_p above 0 and up to 1."
            )
