"""Which positions of a batch carry a label: target, end codes, begin codes, reference, prompt and text.

shares = label_shares(view, adapter, special_ids=special_ids)
shares.eos_pct          # 100.0: every codebook of every target is taught to stop
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from tracker_logging.families import IGNORE, BatchView, ModelAdapter, Role, Segment
from tracker_logging.probes.attention_plan import target_text


@dataclass(frozen=True, slots=True)
class LabelShares:
    """In percent; None where the batch has nothing to measure it on.

    - `coverage_pct` [K]: labelled share of the codes and first end codes of all targets, by codebook
    - `text_pct`: labelled text positions. `prompt_pct`: the same before the target's own text (all text of a sample
      without a target)
    - `eos_pct`: targets and codebooks whose first end code is labelled
    - `bos_pct`: labelled begin codes, of all audio. `reference_pct`: labelled positions of references
    - `mismatch_pct`: labels that are not the code at their own position
    """

    coverage_pct: tuple[float, ...] | None
    text_pct: float | None
    prompt_pct: float | None
    eos_pct: float | None
    bos_pct: float | None
    reference_pct: float | None
    mismatch_pct: float | None


def label_shares(view: BatchView, adapter: ModelAdapter, *, special_ids: Collection[int]) -> LabelShares:
    """Of a batch on the CPU."""
    targets = [segment for segment in view.segments if segment.role == Role.TARGET]
    references = [segment for segment in view.segments if segment.role == Role.REFERENCE]
    expected, found, ends_found = _label_counts(targets, view.audio_labels, adapter)
    text_labels, labels = view.text_labels, view.audio_labels
    only_text = adapter.num_codebooks == 0  # then there is no prompt of a voice
    text = view.roles == int(Role.TEXT)
    prompt = prompt_positions(view, special_ids=special_ids)
    labelled = None if labels is None else labels != IGNORE
    given = view.codes >= 0
    spared = getattr(adapter, "trains_references", False)  # the model's class trains them whatever the labels say
    return LabelShares(
        coverage_pct=tuple((100.0 * found / expected).tolist()) if expected > 0 else None,
        text_pct=None if text_labels is None else _share((text_labels != IGNORE)[text]),
        prompt_pct=None if text_labels is None or only_text else _share((text_labels != IGNORE)[prompt]),
        eos_pct=100.0 * ends_found / (len(targets) * adapter.num_codebooks) if targets and adapter.pattern else None,
        bos_pct=None if labelled is None else _share(labelled[given & (view.codes == adapter.bos_code)]),
        reference_pct=None if labelled is None or not references or spared else _share(_rows(references, labelled)),
        mismatch_pct=None if labels is None else _share((labels != view.codes)[(labels != IGNORE) & given]),
    )


def prompt_positions(view: BatchView, *, special_ids: Collection[int]) -> torch.Tensor:
    """[B, T] bool: the text before the target's own text; all text of a sample without a target."""
    prompt = view.roles == int(Role.TEXT)
    for segment in view.segments:
        if segment.role == Role.TARGET:
            sample, start = segment.sample, segment.start
            if view.target_text is not None:
                spoken = view.target_text[sample]
            else:
                spoken = target_text(view.roles[sample], view.token_ids[sample], before=start, special_ids=special_ids)
            prompt[sample, start if spoken is None else spoken[0] :] = False
    return prompt


def _label_counts(
    targets: Sequence[Segment], labels: torch.Tensor | None, adapter: ModelAdapter
) -> tuple[int, torch.Tensor, int]:
    """Positions to be trained per codebook, labelled ones [K], and first end codes that are labelled."""
    expected, found, ends_found = 0, torch.zeros(adapter.num_codebooks), 0
    for segment in targets:
        expected += segment.frames + 1
        if labels is None:
            continue
        own = labels[segment.sample, segment.start : segment.stop]
        for codebook, delay in enumerate(() if adapter.pattern is None else adapter.pattern.delays):
            first = segment.lead + delay
            wanted = own[first : first + segment.frames + 1, codebook]
            found[codebook] += (wanted != IGNORE).sum()
            ends_found += int(wanted[-1] == adapter.eos_code) if len(wanted) else 0
    return expected, found, ends_found


def _rows(segments: Sequence[Segment], labelled: torch.Tensor) -> torch.Tensor:
    """Of every position of the segments, whether any codebook is labelled."""
    return torch.cat([labelled[own.sample, own.start : own.stop].any(dim=-1) for own in segments])


def _share(chosen: torch.Tensor) -> float | None:
    """True ones in percent; None of nothing."""
    return 100.0 * chosen.float().mean().item() if chosen.numel() else None
