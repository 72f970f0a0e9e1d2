"""Groups the positions of a sample into bins before its attention is measured.

A sample is split where its role changes (text, reference, target) and around the text of each target; long stretches
are split further into bins of neighbouring positions. Each bin is one column of indicator values for the kernel and
one row of the heatmap, so no bin mixes roles. Padding is in no bin.

>>> roles = torch.tensor([1] * 4 + [3] * 6)                             # four positions of text, six of the target
>>> token_ids = torch.tensor([90, 20, 21, 91, 0, 0, 0, 0, 0, 0])
>>> plan = plan_sample(roles, token_ids, sample=0, bins=63, special_ids={90, 91})
>>> plan.values.shape                                                   # 10 bins, then the position in the target text
torch.Size([10, 11])
>>> plan.values[:, -1].tolist()[:4]
[0.0, 0.25, 0.75, 0.0]
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch

from tracker_logging.families.base import BatchView, Role, Span
from tracker_logging.families.spans import runs
from tracker_logging.probes.tensors import to_device

GROUPS = (Role.TEXT, Role.REFERENCE, Role.TARGET)
ENTROPY_ROWS = 32
MINIMUM_TEXT = 2  # tokens; a shorter text has no direction


@dataclass(frozen=True, slots=True)
class Bin:
    """Positions `[start, stop)` of one role."""

    start: int
    stop: int
    role: Role


@dataclass(frozen=True, slots=True)
class Reading:
    """One target and the text that it reads aloud.

    `rows` [F] int64 and `times` [F] float32 (0 to 1): positions of the target. `text` [N] float32: bins of its text.
    """

    rows: torch.Tensor
    times: torch.Tensor
    text: torch.Tensor


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Index tensors of one sample, on the device of the model.

    - `values` [S, N + M] float32: indicators of the N bins, then the position in the text (0 to 1) of each reading
    - `averaging` [N, S] float32: row n averages over the positions of bin n
    - `sizes` [N], `groups` [3, N] float32: positions per bin, its role
    - `readings`: the M targets whose text is known
    - `entropy_rows` [E] int64: evenly spaced positions of all targets (of the text, where there is no audio)
    - `positions` [R] int64: all positions in a bin, between `first` and `last` (exclusive)
    """

    sample: int
    first: int
    last: int
    bins: tuple[Bin, ...]
    values: torch.Tensor
    averaging: torch.Tensor
    sizes: torch.Tensor
    groups: torch.Tensor
    readings: tuple[Reading, ...]
    entropy_rows: torch.Tensor
    positions: torch.Tensor


def plan_sample(
    roles: torch.Tensor,
    token_ids: torch.Tensor,
    *,
    sample: int,
    bins: int,
    special_ids: Collection[int],
    text: Span | None = None,
) -> SamplePlan:
    """Plan one row of a batch: `roles` and `token_ids` [S]. All tensors are on the CPU.

    `text`: span of the text of the only target; None: the text of each target is searched for before it.
    """
    targets = runs(roles == Role.TARGET)
    if text is not None:
        read = [(targets[0] if targets else (0, 0), text)]
    else:
        located = [target_text(roles, token_ids, before=start, special_ids=special_ids) for start, _ in targets]
        read = [(target, span) for target, span in zip(targets, located, strict=True) if span is not None]
    sample_bins = make_bins(roles, texts=[of_target for _, of_target in read], limit=bins)
    values, averaging = _bin_values(sample_bins, len(roles), texts=[of_target for _, of_target in read])
    positions = (roles != Role.PADDING).nonzero().squeeze(-1)
    return SamplePlan(
        sample=sample,
        first=sample_bins[0].start if sample_bins else 0,
        last=sample_bins[-1].stop if sample_bins else 0,
        bins=sample_bins,
        values=values,
        averaging=averaging,
        sizes=torch.tensor([float(bin_.stop - bin_.start) for bin_ in sample_bins]),
        groups=torch.tensor([[float(bin_.role == role) for bin_ in sample_bins] for role in GROUPS]),
        readings=tuple(
            Reading(
                rows=torch.arange(*target),
                times=times(target[1] - target[0]),
                text=torch.tensor([float(start <= bin_.start < stop) for bin_ in sample_bins]),
            )
            for target, (start, stop) in read
        ),
        entropy_rows=_entropy_rows(roles, positions, targets),
        positions=positions,
    )


def _bin_values(bins: Sequence[Bin], length: int, *, texts: Sequence[Span]) -> tuple[torch.Tensor, torch.Tensor]:
    """`values` and `averaging` of a `SamplePlan`."""
    values = torch.zeros(length, len(bins) + len(texts))
    averaging = torch.zeros(len(bins), length)
    for number, bin_ in enumerate(bins):
        values[bin_.start : bin_.stop, number] = 1.0
        averaging[number, bin_.start : bin_.stop] = 1.0 / (bin_.stop - bin_.start)
    for number, (start, stop) in enumerate(texts, start=len(bins)):
        values[start:stop, number] = times(stop - start)
    return values, averaging


def _entropy_rows(roles: torch.Tensor, positions: torch.Tensor, targets: Sequence[Span]) -> torch.Tensor:
    """[E] int64: at most about `ENTROPY_ROWS` evenly spaced rows of the targets, or of a sample that is all text."""
    if targets:
        rows = torch.cat([torch.arange(*target) for target in targets])
    else:
        rows = positions if bool((roles[positions] == Role.TEXT).all()) else torch.arange(0)
    step = max(1, len(rows) // ENTROPY_ROWS)
    return rows[step // 2 :: step]


def target_text(
    roles: torch.Tensor, token_ids: torch.Tensor, *, before: int, special_ids: Collection[int]
) -> tuple[int, int] | None:
    """`[start, stop)` of the text that the target reads aloud, or None.

    This is the longest stretch without a special token among the text tokens between the target and the previous audio
    (or the start of the sample): the words are between the tokens of the chat template.
    """
    stretches = [
        list(run)
        for is_plain, run in groupby(
            range(*text_before(roles, before)), key=lambda at: int(token_ids[at]) not in special_ids
        )
        if is_plain
    ]
    longest = max(stretches, key=len, default=[])
    return (longest[0], longest[-1] + 1) if len(longest) >= MINIMUM_TEXT else None


def text_before(roles: torch.Tensor, position: int) -> Span:
    """The run of text that ends before `position`; empty after another role.

    >>> text_before(torch.tensor([3, 1, 1, 3]), 3), text_before(torch.tensor([3, 1, 1, 3]), 1)
    ((1, 3), (1, 1))
    """
    others = (roles[:position] != Role.TEXT).nonzero()
    return (int(others[-1]) + 1 if len(others) else 0), position


def text_of(view: BatchView, sample: int, *, before: int, special_ids: Collection[int]) -> Span | None:
    """The text of the clip that begins at `before`: as the batch gives it, else as `target_text` locates it."""
    if view.target_text is not None:
        return view.target_text[sample]
    return target_text(view.roles[sample], view.token_ids[sample], before=before, special_ids=special_ids)


def make_bins(roles: torch.Tensor, *, texts: Sequence[Span], limit: int) -> tuple[Bin, ...]:
    """At most `limit` bins (more only if there are more stretches); each stretch gets bins by its share of positions.

    >>> [(bin_.start, bin_.stop) for bin_ in make_bins(torch.tensor([1, 1, 3, 3, 3, 3]), texts=(), limit=3)]
    [(0, 2), (2, 6)]
    """
    kinds = roles.tolist()
    for start, stop in texts:
        kinds[start:stop] = [-int(Role.TEXT)] * (stop - start)
    stretches: list[tuple[int, int, Role]] = []
    for kind, run in groupby(range(len(kinds)), key=lambda at: int(kinds[at])):
        at = list(run)
        if kind != Role.PADDING:
            stretches.append((at[0], at[-1] + 1, Role(abs(kind))))
    total = sum(stop - start for start, stop, _ in stretches)
    spare = max(0, limit - len(stretches))
    bins: list[Bin] = []
    for start, stop, role in stretches:
        size = stop - start
        parts = min(size, 1 + (size * spare) // max(1, total)) if total > limit else size
        edges = [start + size * part // parts for part in range(parts + 1)]
        bins.extend(Bin(left, right, role) for left, right in pairwise(edges))
    return tuple(bins)


def plans_of(
    view: BatchView, *, samples: int, bins: int, special_ids: Collection[int], device: torch.device
) -> list[SamplePlan]:
    """Plans of the first `samples` samples of a batch for the positions that its layers see, on `device`.

    Synchronises with the device once.
    """
    roles, token_ids = view.roles[:, view.in_layers].cpu(), view.token_ids[:, view.in_layers].cpu()
    texts = view.target_text if view.target_text is not None and not view.memory else (None,) * len(roles)
    plans = []
    for sample in range(min(samples, len(roles))):
        plan = plan_sample(
            roles[sample], token_ids[sample], sample=sample, bins=bins, special_ids=special_ids, text=texts[sample]
        )
        plans.append(to_device(plan, device))
    return plans


def times(count: int) -> torch.Tensor:
    """[count] float32, evenly spaced between 0 and 1.

    >>> times(4).tolist()
    [0.125, 0.375, 0.625, 0.875]
    """
    return (torch.arange(count) + 0.5) / max(1, count)
