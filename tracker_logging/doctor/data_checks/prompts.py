"""Which samples of a list of voice prompts (`--voice_prompts`) are generated from, and why the others are not.

A prompt needs a reference recording that can be read; a target recording is only for the scores that compare with it.

>>> check = PromptChecks()
>>> sample = VoiceSample(sample_id="3", reference_text="", reference_audio=None, target_text="Good morning.",
...                      target_audio=None, origin="meta.lst[3]")
>>> record = Record(file="meta.lst", sample=sample, reference=None, target=None, is_prompt=True)
>>> [(finding.name, finding.seen) for finding in check(record)]
[('prompt_unused', 'no reference recording')]
"""

from __future__ import annotations

from collections.abc import Iterator

from tracker_logging.data.sample import VoiceSample
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.rows import Rows


class PromptChecks:
    """The findings of each prompt, in the order of the file."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], str] = {}

    def __call__(self, record: Record) -> Iterator[DataFinding]:
        """As `voices.prompt.choose_samples` chooses."""
        reason = self._why_unused(record.sample, record.place.sample)
        if reason is not None:
            yield checks.PROMPT_UNUSED.at(record.place, seen=reason, field="reference audio")

    def _why_unused(self, sample: VoiceSample, name: str) -> str | None:
        if sample.voices > 1:
            return f"a dialogue of {sample.voices} voices; a clip is compared with one voice"
        if sample.reference_audio is None:
            return "no reference recording"
        first = self._first.setdefault((str(sample.reference_audio), sample.target_text), name)
        return None if first == name else f"the same recording and text as {first}"


def prompts_findings(rows: Rows, *, most: int) -> Iterator[DataFinding]:
    """Whether a round generates from all of them. `most`: prompts of a round."""
    usable = int((rows.column("is_usable") == 1).sum())
    if usable > most:
        seen = f"{usable:,} prompts, {most} of them in a round: spread over languages and speakers"
        yield checks.PROMPTS_LEFT_OUT.at(rows.place, seen=seen)
