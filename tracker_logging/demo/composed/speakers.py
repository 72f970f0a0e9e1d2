"""The speakers of the demo and the directory of their clips.

>>> [speaker.name for speaker in SPEAKERS]
['slt', 'rms', 'awb', 'kal16', 'slt_low', 'awb_high']
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SAMPLE_RATE = 24_000  # Hz
VOICES = Path(__file__).parent / "voices"


@dataclass(frozen=True, slots=True)
class Speaker:
    """A Flite voice, or a pseudo-speaker made from it: F0 times `pitch`, formants times `formants`."""

    name: str
    flite_voice: str
    pitch: float = 1.0
    formants: float = 1.0

    @property
    def is_pseudo(self) -> bool:
        return (self.pitch, self.formants) != (1.0, 1.0)


SPEAKERS: tuple[Speaker, ...] = (
    Speaker("slt", "slt"),
    Speaker("rms", "rms"),
    Speaker("awb", "awb"),
    Speaker("kal16", "kal16"),
    Speaker("slt_low", "slt", pitch=0.6, formants=0.9),
    Speaker("awb_high", "awb", pitch=1.7, formants=1.2),
)
