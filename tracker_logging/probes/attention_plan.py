"""Which positions of a sample are put together before its attention is read.

A sample is cut where its role changes (text, reference, target) and around the target's own text, and long stretches
are cut further, into bins of neighbouring positions. Each bin is one column of indicator values for the kernel and one
row of the heatmap, so no bin mixes roles. Padding is in no bin.

    plan = plan_sample(view, sample=0, bins=63, special_ids=frozenset())
    plan.values                                  # [S, bins + 1]: bin indicators, then the position in the target's text
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from itertools import groupby, pairwise
from typing import Any

import torch

from tracker_logging.families.base import BatchView, Role, Span

GROUPS = (Role.TEXT, Role.REFERENCE, Role.TARGET)
ENTROPY_ROWS = 32
MINIMUM_TEXT = 2  # tokens: a shorter text has no direction


@dataclass(frozen=True, slots=True)
class Bin:
    """Positions `[start, stop)` of one role."""

    start: int
    stop: int
    role: Role


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Index tensors of one sample, on the model's device.

    - `values` [S, N + 1] float32: indicators of the N bins, then the position 0…1 in the target's text
    - `averaging` [N, S] float32: row n takes the mean over the positions of bin n
    - `sizes` [N], `groups` [3, N], `text` [N] float32: positions per bin, its role, whether it is the target's text
    - `target_rows` [F] int64 and `target_times` [F] float32 in 0…1: the target's positions, empty without its text
    - `entropy_rows` [E] int64: evenly spaced positions of the target (of the text, where there is no audio)
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
    text: torch.Tensor
    target_rows: torch.Tensor
    target_times: torch.Tensor
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
    """The plan for one row of a batch: `roles` and `token_ids` [S]; all tensors are on the CPU.

    `text`: where the target's own text stands; None: it is looked for before the target.
    """
    length = len(roles)
    target = first_run(roles, Role.TARGET)
    if text is None and target is not None:
        text = target_text(roles, token_ids, before=target[0], special_ids=special_ids)
    cut = make_bins(roles, text=text, limit=bins)
    values = torch.zeros(length, len(cut) + 1)
    averaging = torch.zeros(len(cut), length)
    for number, one in enumerate(cut):
        values[one.start : one.stop, number] = 1.0
        averaging[number, one.start : one.stop] = 1.0 / (one.stop - one.start)
    in_text = torch.zeros(len(cut))
    rows = torch.arange(0)
    if text is not None:
        values[slice(*text), -1] = times(text[1] - text[0])
        in_text = torch.tensor([float(text[0] <= one.start < text[1]) for one in cut])
        rows = rows if target is None else torch.arange(*target)
    positions = (roles != Role.PADDING).nonzero().squeeze(-1)
    only_text = bool((roles[positions] == Role.TEXT).all())
    asked = torch.arange(*target) if target is not None else positions if only_text else torch.arange(0)
    step = max(1, len(asked) // ENTROPY_ROWS)
    return SamplePlan(
        sample=sample,
        first=cut[0].start if cut else 0,
        last=cut[-1].stop if cut else 0,
        bins=cut,
        values=values,
        averaging=averaging,
        sizes=torch.tensor([float(one.stop - one.start) for one in cut]),
        groups=torch.tensor([[float(one.role == role) for one in cut] for role in GROUPS]),
        text=in_text,
        target_rows=rows,
        target_times=times(len(rows)),
        entropy_rows=asked[step // 2 :: step],
        positions=positions,
    )


def target_text(
    roles: torch.Tensor, token_ids: torch.Tensor, *, before: int, special_ids: Collection[int]
) -> tuple[int, int] | None:
    """`[start, stop)` of the text that the target speaks, or None.

    It is the longest stretch without a special token among the text tokens between the target and the audio before it
    (the sample's start, without any): the words stand between the chat template's own tokens.
    """
    start = before
    while start > 0 and int(roles[start - 1]) == Role.TEXT:
        start -= 1
    positions = range(start, before)
    stretches = [
        list(run) for plain, run in groupby(positions, key=lambda at: int(token_ids[at]) not in special_ids) if plain
    ]
    longest = max(stretches, key=len, default=[])
    return (longest[0], longest[-1] + 1) if len(longest) >= MINIMUM_TEXT else None


def make_bins(roles: torch.Tensor, *, text: tuple[int, int] | None, limit: int) -> tuple[Bin, ...]:
    """At most `limit` bins (more only where there are more stretches), each stretch by its share of the positions."""
    kinds = roles.tolist()
    if text is not None:
        kinds[slice(*text)] = [-int(Role.TEXT)] * (text[1] - text[0])
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
    """The plans of the first `samples` samples of a batch for the positions that its layers see, on `device`.

    Waits for the device once.
    """
    roles, token_ids = view.roles[:, view.in_layers].cpu(), view.token_ids[:, view.in_layers].cpu()
    texts = view.target_text if view.target_text is not None and not view.memory else (None,) * len(roles)
    plans = []
    for sample in range(min(samples, len(roles))):
        plan = plan_sample(
            roles[sample], token_ids[sample], sample=sample, bins=bins, special_ids=special_ids, text=texts[sample]
        )
        plans.append(moved(plan, device))
    return plans


def moved(plan: SamplePlan, device: torch.device) -> SamplePlan:
    """The plan with its tensors on `device`."""
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    there: dict[str, Any] = {name: own.to(device) for name, own in values.items() if isinstance(own, torch.Tensor)}
    return replace(plan, **there)


def times(count: int) -> torch.Tensor:
    """Evenly spaced in 0…1, [count]."""
    return (torch.arange(count) + 0.5) / max(1, count)


def first_run(roles: torch.Tensor, role: Role) -> Span | None:
    """`[start, stop)` of the first run of `role` in [S]."""
    at = (roles == role).nonzero().squeeze(-1).tolist()
    if not at:
        return None
    stop = at[0]
    while stop < len(roles) and int(roles[stop]) == role:
        stop += 1
    return at[0], stop
