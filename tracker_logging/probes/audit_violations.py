"""What is wrong in each sample of a batch, in words, with what to do about it.

for violation in violations(view, adapter):
    print(violation.sample, violation.what, violation.cure)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tracker_logging.families import IGNORE, BatchView, ModelAdapter, Role, Segment
from tracker_logging.probes.audit_labels import prompt_positions
from tracker_logging.probes.audit_spans import is_cut, is_delayed, two_clips


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong in one sample, and what to do about it."""

    sample: int
    what: str
    cure: str


def violations(view: BatchView, adapter: ModelAdapter, *, special_ids: Collection[int] = ()) -> Iterator[Violation]:
    """Sample by sample, of a batch on the CPU; nothing for a sound batch, nor for a model of text alone."""
    if adapter.num_codebooks == 0:
        return
    prompt = prompt_positions(view, special_ids=special_ids)
    for sample in range(len(view.token_ids)):
        own = [segment for segment in view.segments if segment.sample == sample]
        for what, cure in _of_sample(view, sample, own, adapter, special_ids):
            yield Violation(sample, what, cure)
        if view.text_labels is not None and (view.text_labels[sample][prompt[sample]] != IGNORE).any():
            yield Violation(sample, "the prompt's text is trained", "set its labels to -100")
        for segment in own:
            for what, cure in (*_of_codes(view, segment, adapter), *_of_labels(view, segment, adapter)):
                yield Violation(sample, what.format(name=segment.role.name.lower()), cure)


def _of_sample(
    view: BatchView, sample: int, own: list[Segment], adapter: ModelAdapter, special_ids: Collection[int]
) -> Iterator[tuple[str, str]]:
    if sample in view.mismatched:
        yield (
            "not as many audio placeholder tokens as audio frames",
            "expand each clip to one placeholder per frame of its delay pattern, and cut no sample",
        )
    if not any(segment.role == Role.TARGET for segment in own):
        yield "no audio of this sample is trained", "give the target audio labels (audio_labels)"
    if not any(segment.role == Role.REFERENCE for segment in own):
        yield "no reference audio", "put the reference clip in an assistant turn before the target text"
    if is_cut(view, sample, adapter, special_ids):
        yield "the sample is cut off at its end", "raise the maximum length, or leave such samples out"


def _of_codes(view: BatchView, segment: Segment, adapter: ModelAdapter) -> Iterator[tuple[str, str]]:
    if segment.frames == 0:
        yield "the {name} audio is empty", "check the clip and its codes"
    if not is_delayed(view, segment, adapter.pattern):
        cure = "delay the codes once; each codebook starts with its own number of begin codes (Higgs Audio v2: k + 1)"
        yield "the {name} codes are not in the delay pattern", cure
    if two_clips(view, segment, adapter.pattern):
        yield "another clip begins inside the {name}", "put text between two clips, and as many placeholders as frames"


def _of_labels(view: BatchView, segment: Segment, adapter: ModelAdapter) -> Iterator[tuple[str, str]]:
    if view.audio_labels is None:
        return
    codes = view.codes[segment.sample, segment.start : segment.stop]
    labels = view.audio_labels[segment.sample, segment.start : segment.stop]
    labelled = (labels != IGNORE) & (codes >= 0)
    if segment.role == Role.REFERENCE and labelled.any() and not getattr(adapter, "trains_references", False):
        yield "the reference audio is trained", "set its audio_labels to -100"
    if (labels == adapter.bos_code).any():
        yield "begin codes of the {name} are trained", "set their labels to -100"
    if segment.role == Role.TARGET and not (labels == adapter.eos_code).any():
        yield "no end code is trained: clips will run on", "label each codebook's first end code"
    if (labels[labelled] != codes[labelled]).any():
        yield "labels of the {name} differ from its codes", "labels are given unshifted; the model shifts them itself"
