"""Does a batch have the structure that voice cloning needs? Counts and violations, from the batch alone.

A target of T frames has T + 1 positions to be trained in each codebook: its codes and its first end code. Everything
else (begin codes, the fill after the end, the reference) must carry no label.

    audit = audit_batch(adapter.view(inputs), adapter)
    audit.violations        # () for a sound batch
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tracker_logging.models import IGNORE, BatchView, ModelAdapter, Role, Segment


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong in one sample, and what to do about it."""

    sample: int
    what: str
    cure: str


@dataclass(frozen=True, slots=True)
class BatchAudit:
    """Shares are in percent; None where the batch has nothing to measure them on.

    `coverage_pct` [K]: labelled share of the codes and first end codes of all targets, by codebook.
    """

    lengths: tuple[int, ...]
    padding_pct: float
    coverage_pct: tuple[float, ...] | None
    text_coverage_pct: float | None
    eos_labelled_pct: float | None
    reference_labelled_pct: float | None
    violations: tuple[Violation, ...]


def audit_batch(view: BatchView, adapter: ModelAdapter) -> BatchAudit:
    """Audit one batch. Tensors may be on any device; one copy to the CPU is made."""
    codes = view.codes.cpu()
    labels = None if view.audio_labels is None else view.audio_labels.cpu()
    targets = [segment for segment in view.segments if segment.role == Role.TARGET]
    references = [segment for segment in view.segments if segment.role == Role.REFERENCE]
    expected, found, ends_found = _label_counts(targets, codes, labels, adapter)
    text = (view.roles == int(Role.TEXT)).cpu()
    return BatchAudit(
        lengths=tuple(view.attention_mask.sum(dim=1).tolist()),
        padding_pct=100.0 * (1.0 - view.attention_mask.float().mean().item()),
        coverage_pct=tuple((100.0 * found / expected).tolist()) if expected > 0 else None,
        text_coverage_pct=None
        if view.text_labels is None or not text.any()
        else 100.0 * (view.text_labels.cpu()[text] != IGNORE).float().mean().item(),
        eos_labelled_pct=100.0 * ends_found / (len(targets) * adapter.num_codebooks) if targets else None,
        reference_labelled_pct=None if labels is None or not references else _labelled_pct(references, labels),
        violations=tuple(_violations(view, codes, labels, adapter)),
    )


def _label_counts(
    targets: list[Segment], codes: torch.Tensor, labels: torch.Tensor | None, adapter: ModelAdapter
) -> tuple[int, torch.Tensor, int]:
    """Positions to be trained per codebook, labelled ones [K], and first end codes that are labelled."""
    expected, found, ends_found = 0, torch.zeros(adapter.num_codebooks), 0
    for segment in targets:
        expected += segment.frames + 1
        if labels is None:
            continue
        own = labels[segment.sample, segment.start : segment.stop]
        for codebook in range(adapter.num_codebooks):
            first = codebook + 1
            wanted = own[first : first + segment.frames + 1, codebook]
            found[codebook] += (wanted != IGNORE).sum()
            ends_found += int(wanted[-1] == adapter.eos_code) if len(wanted) else 0
    return expected, found, ends_found


def _labelled_pct(segments: list[Segment], labels: torch.Tensor) -> float:
    rows = torch.cat([labels[segment.sample, segment.start : segment.stop] for segment in segments])
    return 100.0 * (rows != IGNORE).any(dim=-1).float().mean().item()


def _violations(
    view: BatchView, codes: torch.Tensor, labels: torch.Tensor | None, adapter: ModelAdapter
) -> list[Violation]:
    found: list[Violation] = []
    for sample in range(len(view.token_ids)):
        own = [segment for segment in view.segments if segment.sample == sample]
        if not any(segment.role == Role.TARGET for segment in own):
            found.append(
                Violation(sample, "no audio of this sample is trained", "give the target audio labels (audio_labels)")
            )
        if not any(segment.role == Role.REFERENCE for segment in own):
            found.append(
                Violation(
                    sample, "no reference audio", "put the reference clip in an assistant turn before the target text"
                )
            )
        for segment in own:
            found.extend(_segment_violations(segment, codes, labels, adapter))
    return found


def _segment_violations(
    segment: Segment, codes: torch.Tensor, labels: torch.Tensor | None, adapter: ModelAdapter
) -> list[Violation]:
    found = []
    name = segment.role.name.lower()
    own_codes = codes[segment.sample, segment.start : segment.stop]
    if segment.frames == 0:
        found.append(Violation(segment.sample, f"the {name} audio is empty", "check the clip and its codes"))
    if not _is_delayed(own_codes, adapter):
        found.append(
            Violation(
                segment.sample,
                f"the {name} codes are not in the delay pattern",
                "codebook k must start with k + 1 begin codes",
            )
        )
    if labels is None:
        return found
    own_labels = labels[segment.sample, segment.start : segment.stop]
    labelled = own_labels != IGNORE
    if segment.role == Role.REFERENCE and labelled.any():
        found.append(Violation(segment.sample, "the reference audio is trained", "set its audio_labels to -100"))
    if (own_labels == adapter.bos_code).any():
        found.append(Violation(segment.sample, f"begin codes of the {name} are trained", "set their labels to -100"))
    if segment.role == Role.TARGET and not (own_labels == adapter.eos_code).any():
        found.append(
            Violation(
                segment.sample, "no end code is trained: clips will run on", "label each codebook's first end code"
            )
        )
    if (own_labels[labelled] != own_codes[labelled]).any():
        found.append(
            Violation(
                segment.sample,
                f"labels of the {name} differ from its codes",
                "labels are given unshifted; the model shifts them itself",
            )
        )
    return found


def _is_delayed(codes: torch.Tensor, adapter: ModelAdapter) -> bool:
    """Whether each codebook k of [F, K] starts with k + 1 begin codes and then leaves them."""
    begins = codes == adapter.bos_code
    lead = torch.cumprod(begins.int(), dim=0).sum(dim=0)
    return bool((lead == torch.arange(1, adapter.num_codebooks + 1)).all() and (begins.sum(dim=0) == lead).all())
