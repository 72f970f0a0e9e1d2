"""Which samples of a list of voice prompts (`--voice_prompts`) are generated from, and why the others are not.

A prompt needs a reference recording that can be read; a target recording is only for the scores that compare with it.

>>> from tracker_logging.data.sample import VoiceSample
>>> check = PromptChecks()
>>> sample = VoiceSample(sample_id="3", reference_text="", reference_audio=None, target_text="Good morning.",
...                      target_audio=None, origin="meta.lst[3]")
>>> record = Record(file="meta.lst", sample=sample, reference=None, target=None, is_prompt=True)
>>> [(finding.name, finding.seen) for finding in check(record)]
[('prompt_unused', 'no reference recording')]
"""

from __future__ import annotations

from collections.abc import Iterator

from tracker_logging.data.prompts import Prompts
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.rows import Rows


class PromptChecks:
    """The findings of each prompt, in the order of the file."""

    def __init__(self) -> None:
        self._prompts = Prompts()

    def __call__(self, record: Record) -> Iterator[DataFinding]:
        reason = self._prompts.why_unused(record.sample, name=record.place.sample)
        if reason is not None:
            yield checks.PROMPT_UNUSED.at(record.place, seen=reason, field="reference audio")


def prompts_findings(rows: Rows, *, most: int) -> Iterator[DataFinding]:
    """Whether a round generates from all of them. `most`: prompts of a round."""
    usable = int((rows.column("is_usable") == 1).sum())
    if usable > most:
        seen = f"{usable:,} prompts, {most} of them in a round: spread over languages and speakers"
        yield checks.PROMPTS_LEFT_OUT.at(rows.place, seen=seen)
