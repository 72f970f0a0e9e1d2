"""Which samples are voice prompts: a reference recording of one voice, and a text that it does not have yet.

>>> sample = VoiceSample(sample_id="3", reference_text="", reference_audio=None, target_text="Good morning.",
...                      target_audio=None)
>>> Prompts().why_unused(sample, name="meta.lst[3]")
'no reference recording'
"""

from __future__ import annotations

from pathlib import Path

from tracker_logging.data.sample import VoiceSample


class Prompts:
    """Asked for each sample in turn, as of two with the same recording and text the first is the prompt."""

    def __init__(self) -> None:
        self._first: dict[tuple[Path, str], str] = {}

    def why_unused(self, sample: VoiceSample, *, name: str = "") -> str | None:
        """Why no voice is generated from a sample; None for a prompt. `name`: what messages call the sample."""
        if sample.voices > 1:
            return f"a dialogue of {sample.voices} voices; a clip is compared with one voice"
        if sample.reference_audio is None:
            return "no reference recording"
        key = sample.reference_audio, sample.target_text
        if key in self._first:
            return f"the same recording and text as {self._first[key]}"
        self._first[key] = name
        return None
