"""Structural audit of one batch: label coverage, delay pattern, placeholders, truncation, and the violations found.

A target of T frames has T + 1 positions to train in each codebook: its codes and its first end code. All other
positions (begin codes, the fill after the end, the reference, the text of the prompt) must carry no label.

- The audit reads the batch alone, never the model. A malformed batch is counted, not refused; a value that cannot be
  measured in it is None.
- Positions for which the batch gives no frame hold -1 in `view.codes` and are ignored.

    audit = audit_batch(adapter.view(inputs), adapter)
    for violation in audit.violations:              # () for a sound batch
        print(violation.sample, violation.what, violation.fix)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch

from tracker_logging.families import IGNORE, BatchView, ModelAdapter, Role, Segment
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.probes.attention_plan import text_of
from tracker_logging.probes.repeats import Repeats, repeats_in
from tracker_logging.probes.tensors import to_device


@dataclass(frozen=True, slots=True)
class Violation:
    """A structural fault of one sample of the batch and how to fix it."""

    sample: int
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class LabelShares:
    """Shares in percent; None where the batch has nothing to measure.

    - `coverage_pct` [K]: labelled share of the codes and first end codes of all targets, by codebook (NaN: has none)
    - `text_pct`: labelled text positions. `prompt_pct`: the same before the text of the target (all text of a sample
      without a target)
    - `eos_pct`: targets and codebooks whose first end code is labelled
    - `bos_pct`: labelled begin codes of all audio. `reference_pct`: labelled positions of references; a clip is one if
      it has no labels, or few beside those of a target
    - `pair_pct`: samples of exactly two clips that train both; the first may be a voice prompt with labels by mistake.
      None without such samples, and beside a sample whose several targets are meant (three clips or more)
    - `mismatch_pct`: labels that differ from the code at their position. `elsewhere_pct`: labels that are the code of a
      frame one or two before or after, at the distance where that are most
    - `samples_pct`: samples with a labelled audio position (text position, where the batch has no audio labels)
    """

    coverage_pct: tuple[float, ...] | None
    text_pct: float | None
    prompt_pct: float | None
    eos_pct: float | None
    bos_pct: float | None
    reference_pct: float | None
    pair_pct: float | None
    mismatch_pct: float | None
    elsewhere_pct: float | None
    samples_pct: float | None


@dataclass(frozen=True, slots=True)
class BatchAudit:
    """Result of `audit_batch`. `lengths` [B] in positions without padding.

    `delay_violations` and `crossing_spans` count audio spans; `placeholder_mismatch`, `truncated` and
    `reference_is_target` (None without a reference) count samples.
    """

    lengths: tuple[int, ...]
    padding_pct: float
    labels: LabelShares
    delay_violations: int
    crossing_spans: int
    placeholder_mismatch: int
    truncated: int
    reference_is_target: int | None
    repeats: Repeats
    violations: tuple[Violation, ...]


def audit_batch(view: BatchView, adapter: ModelAdapter, *, special_ids: Collection[int] = ()) -> BatchAudit:
    """Audit one batch. Tensors may be on any device; they are copied to the CPU once.

    `special_ids` are the tokenizer's special tokens, which bound the text of the target.
    """
    view = to_device(view, torch.device("cpu"))
    return BatchAudit(
        lengths=tuple(view.attention_mask.sum(dim=1).tolist()),
        padding_pct=100.0 * (1.0 - view.attention_mask.float().mean().item()),
        labels=_label_shares(view, adapter, special_ids=special_ids),
        delay_violations=sum(not keeps_pattern(view, segment, adapter.pattern) for segment in view.segments),
        crossing_spans=sum(_holds_two_clips(view, segment, adapter.pattern) for segment in view.segments),
        placeholder_mismatch=len(view.mismatched),
        truncated=sum(_is_truncated(view, sample, adapter, special_ids) for sample in range(len(view.token_ids))),
        reference_is_target=_copied_references(view),
        repeats=repeats_in(view, special_ids=special_ids),
        violations=tuple(_violations(view, adapter, special_ids=special_ids)),
    )


# --- labels ---------------------------------------------------------------------------------------------------------


def _label_shares(view: BatchView, adapter: ModelAdapter, *, special_ids: Collection[int]) -> LabelShares:
    targets = view.targets
    references = [segment for segment in view.segments if segment.role == Role.REFERENCE]
    expected, labelled_codes, labelled_ends = _label_counts(targets, view, adapter)
    text_labels, labels = view.text_labels, view.audio_labels
    text_only = adapter.num_codebooks == 0  # such a model has no voice prompt
    text = view.roles == int(Role.TEXT)
    prompt = _prompt_positions(view, special_ids=special_ids)
    labelled = None if labels is None else labels != IGNORE
    given = view.codes >= 0
    expected_ends = 0 if labels is None or adapter.pattern is None else len(targets) * adapter.pattern.ends_per_clip
    trains_references = getattr(adapter, "trains_references", False)  # the class trains them, whatever the labels are
    skip_references = labelled is None or not references or trains_references
    mismatch, elsewhere = (None, None) if labels is None else _label_places(labels, view.codes)
    return LabelShares(
        coverage_pct=tuple((100.0 * labelled_codes / expected).tolist()) if expected.any() else None,
        text_pct=None if text_labels is None else _share((text_labels != IGNORE)[text]),
        prompt_pct=None if text_labels is None or text_only else _share((text_labels != IGNORE)[prompt]),
        eos_pct=100.0 * labelled_ends / expected_ends if expected_ends else None,
        bos_pct=None if labelled is None else _share(labelled[given & (view.codes == adapter.bos_code)]),
        reference_pct=None if labelled is None or skip_references else _share(_any_codebook(references, labelled)),
        pair_pct=None if trains_references else _trained_pairs(view),
        mismatch_pct=mismatch,
        elsewhere_pct=elsewhere,
        samples_pct=None if labels is None and text_labels is None else _labelled_samples(labels, text_labels),
    )


def _label_places(labels: torch.Tensor, codes: torch.Tensor) -> tuple[float | None, float | None]:
    """Labels and codes [B, T, K] -> the share in percent of labels that are not the code at their position, and the
    highest share, over distances, of those that are the code there."""
    labelled = (labels != IGNORE) & (codes >= 0)
    shares = [_share((labels == codes.roll(distance, dims=1))[labelled]) for distance in (-2, -1, 1, 2)]
    return _share((labels != codes)[labelled]), max((share for share in shares if share is not None), default=None)


def _prompt_positions(view: BatchView, *, special_ids: Collection[int]) -> torch.Tensor:
    """[B, T] bool: the text before the text of a sample's first target, and the text of later references; all text of a
    sample without a target."""
    prompt = view.roles == int(Role.TEXT)
    is_text = prompt.clone()
    for sample in range(len(prompt)):
        segments = _segments_of(view, sample)
        first = next((at for at, segment in enumerate(segments) if segment.role == Role.TARGET), None)
        if first is None:
            continue
        prompt[sample, _text_start(view, segments[first], special_ids=special_ids) :] = False
        for segment in segments[first:]:
            if segment.role == Role.REFERENCE:
                text = slice(_text_start(view, segment, special_ids=special_ids), segment.start)
                prompt[sample, text] = is_text[sample, text]
    return prompt


def _text_start(view: BatchView, segment: Segment, *, special_ids: Collection[int]) -> int:
    """Where the text of a clip begins; the beginning of the clip, where its text is unknown."""
    text = text_of(view, segment.sample, before=segment.start, special_ids=special_ids)
    return segment.start if text is None else text[0]


def _trained_pairs(view: BatchView) -> float | None:
    """See `LabelShares.pair_pct`."""
    roles = [[segment.role for segment in _segments_of(view, sample)] for sample in range(len(view.token_ids))]
    if any(len(of_sample) > 2 and of_sample.count(Role.TARGET) > 1 for of_sample in roles):
        return None
    pairs = [
        of_sample.count(Role.TARGET) == 2 for of_sample in roles if len(of_sample) == 2 and Role.TARGET in of_sample
    ]
    return 100.0 * sum(pairs) / len(pairs) if pairs else None


def _label_counts(
    targets: Sequence[Segment], view: BatchView, adapter: ModelAdapter
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Positions to train [K]; labelled ones [K]; first end codes that are labelled. All 0 without labels."""
    expected, labelled_codes, labelled_ends = torch.zeros(adapter.num_codebooks), torch.zeros(adapter.num_codebooks), 0
    labels, pattern = view.audio_labels, adapter.pattern
    for segment in () if labels is None or pattern is None else targets:
        assert labels is not None and pattern is not None
        codes, of_segment = (of[segment.sample, segment.start : segment.stop] for of in (view.codes, labels))
        to_train = pattern.to_train(codes, lead=segment.lead, frames=segment.frames)
        ends = pattern.ends(codes, lead=segment.lead, frames=segment.frames)
        expected += to_train.sum(dim=0)
        labelled_codes += (to_train & (of_segment != IGNORE)).sum(dim=0)
        labelled_ends += int((ends & (of_segment == adapter.eos_code)).sum())
    return expected, labelled_codes, labelled_ends


def _labelled_samples(labels: torch.Tensor | None, text_labels: torch.Tensor | None) -> float | None:
    chosen = labels if labels is not None else text_labels
    return None if chosen is None else _share((chosen != IGNORE).flatten(1).any(dim=1))


def _any_codebook(segments: Sequence[Segment], labelled: torch.Tensor) -> torch.Tensor:
    """[positions of the segments] bool: whether any codebook is labelled."""
    return torch.cat([labelled[segment.sample, segment.start : segment.stop].any(dim=-1) for segment in segments])


def _share(chosen: torch.Tensor) -> float | None:
    """Share of True in percent; None for an empty tensor."""
    return 100.0 * chosen.float().mean().item() if chosen.numel() else None


# --- codes of one span, end of one sample -----------------------------------------------------------------------------


def keeps_pattern(view: BatchView, segment: Segment, pattern: CodePattern | None) -> bool:
    """Whether the codes of a span are in the family's pattern."""
    return pattern is None or pattern.is_kept(_codes(view, segment).cpu(), lead=segment.lead)


def _has_end(view: BatchView, segment: Segment, pattern: CodePattern) -> bool:
    """Whether the codes of a span end as the pattern requires; True for a span without codes."""
    codes = _codes(view, segment)
    return len(codes) == 0 or pattern.has_end(codes)


def _holds_two_clips(view: BatchView, segment: Segment, pattern: CodePattern | None) -> bool:
    """Whether another clip begins inside the span: a frame of begin codes only, after a frame that is not."""
    if pattern is None or pattern.bos is None:
        return False
    begins = (_codes(view, segment) == pattern.bos).all(dim=-1)
    leading = int(torch.cumprod(begins.int(), dim=0).sum())
    return bool(begins[leading:].any())


def _is_truncated(view: BatchView, sample: int, adapter: ModelAdapter, special_ids: Collection[int]) -> bool:
    """Whether a sample was cut: its last audio has no end code, or (without a target) it ends inside a text.

    The second needs the tokenizer's special tokens.
    """
    positions = view.attention_mask[sample].nonzero().squeeze(-1)
    if adapter.pattern is None or len(positions) == 0:
        return False
    last = int(positions[-1])
    ends_in_audio = int(view.roles[sample, last]) in (Role.REFERENCE, Role.TARGET)
    if sample in view.mismatched:
        return ends_in_audio
    segments = _segments_of(view, sample)
    if segments and not _has_end(view, segments[-1], adapter.pattern):
        return True
    is_whole = ends_in_audio or any(segment.role == Role.TARGET for segment in segments) or not special_ids
    return not is_whole and int(view.token_ids[sample, last]) not in special_ids


def _codes(view: BatchView, segment: Segment) -> torch.Tensor:
    """Codes [F, K] of a span in the family's pattern, without the positions for which the batch gives no frame."""
    codes = view.codes[segment.sample, segment.start : segment.stop]
    return codes[(codes >= 0).any(dim=-1)]


def _copied_references(view: BatchView) -> int | None:
    """Samples in which a reference has the codes of a target; None without a reference or codes."""
    references = [segment for segment in view.segments if segment.role == Role.REFERENCE]
    copied = {
        reference.sample
        for reference in references
        for target in _segments_of(view, reference.sample)
        if target.role == Role.TARGET and reference.frames and target.frames
        if torch.equal(_codes(view, reference), _codes(view, target))
    }
    return len(copied) if references and view.codes.shape[-1] else None


def _segments_of(view: BatchView, sample: int) -> list[Segment]:
    return [segment for segment in view.segments if segment.sample == sample]


# --- violations -------------------------------------------------------------------------------------------------------


def _violations(view: BatchView, adapter: ModelAdapter, *, special_ids: Collection[int]) -> Iterator[Violation]:
    """Sample by sample; none for a text-only model."""
    if adapter.num_codebooks == 0:
        return
    prompt = _prompt_positions(view, special_ids=special_ids)
    for sample in range(len(view.token_ids)):
        for what, fix in _sample_violations(view, sample, adapter, special_ids):
            yield Violation(sample, what, fix)
        if view.text_labels is not None and (view.text_labels[sample][prompt[sample]] != IGNORE).any():
            yield Violation(sample, "the text of the prompt is trained", "set its labels to -100")
        for segment in _segments_of(view, sample):
            for what, fix in (*_code_violations(view, segment, adapter), *_label_violations(view, segment, adapter)):
                yield Violation(sample, what.format(role=segment.role.name.lower()), fix)


def _sample_violations(
    view: BatchView, sample: int, adapter: ModelAdapter, special_ids: Collection[int]
) -> Iterator[tuple[str, str]]:
    segments = _segments_of(view, sample)
    if sample in view.mismatched:
        yield (
            "the number of audio placeholder tokens differs from the number of audio frames",
            "expand each clip to one placeholder per frame of its delay pattern, and truncate no sample",
        )
    if not any(segment.role == Role.TARGET for segment in segments):
        yield "no audio of this sample is trained", "give the target audio labels (audio_labels)"
    if _is_truncated(view, sample, adapter, special_ids):
        yield "the sample is truncated", "raise the maximum length, or drop such samples"


def _code_violations(view: BatchView, segment: Segment, adapter: ModelAdapter) -> Iterator[tuple[str, str]]:
    if adapter.pattern is None:
        return
    if adapter.pattern.is_empty(_codes(view, segment), frames=segment.frames):
        yield "the {role} audio is empty", "check the clip and its codes"
    if not keeps_pattern(view, segment, adapter.pattern):
        yield f"the {{role}} codes are not in {adapter.pattern.name}", adapter.pattern.advice
    if _holds_two_clips(view, segment, adapter.pattern):
        yield "another clip begins inside the {role}", "put text between two clips, and as many placeholders as frames"


def _label_violations(view: BatchView, segment: Segment, adapter: ModelAdapter) -> Iterator[tuple[str, str]]:
    if view.audio_labels is None:
        return
    codes = view.codes[segment.sample, segment.start : segment.stop]
    labels = view.audio_labels[segment.sample, segment.start : segment.stop]
    labelled = (labels != IGNORE) & (codes >= 0)
    if segment.role == Role.REFERENCE and labelled.any() and not getattr(adapter, "trains_references", False):
        yield "the reference audio is trained", "set its audio_labels to -100"
    if (labels == adapter.bos_code).any():
        yield "begin codes of the {role} are trained", "set their labels to -100"
    if segment.role == Role.TARGET and not (labels == adapter.eos_code).any():
        yield "no end code is trained, so generation will not stop", "label the first end code of each codebook"
    if (labels[labelled] != codes[labelled]).any():
        yield "labels of the {role} differ from its codes", "give unshifted labels; the model shifts them itself"
