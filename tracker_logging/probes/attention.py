"""Attention of one step: mass between groups, entropy, alignment and heatmaps, measured with the model's own kernel.

Guarantees
- The kernel is called a second time with indicators as values and dropout 0. No S×S matrix is built and no mask is
  interpreted, so grouped queries, padding, packing and every kernel are measured as the model uses them.
- Attention rows that do not sum to 1 over the sample raise an error; no number is shown.
- Entropy needs whole rows. They are computed in fp32 and must agree with the masses of the kernel, else entropy is NaN.

Two heads that attend evenly to three positions, of which the first two are text and the last is the target:

>>> from tracker_logging.probes.attention_plan import plan_sample
>>> even = torch.full((3, 3), 1 / 3)
>>> kernel = lambda module, query, key, value, mask, **_: (torch.einsum("qk,bhkd->bqhd", even, value), None)
>>> states = torch.zeros(1, 2, 3, 4)
>>> call = AttentionCall(kernel, nn.Identity(), states, states, states, None, {})
>>> roles, token_ids = torch.tensor([1, 1, 3]), torch.tensor([5, 6, 0])
>>> plan = plan_sample(roles, token_ids, sample=0, bins=8, special_ids=())
>>> probe = AttentionProbe([call.module], heads=2, head_dim=4, map_layers=[0])
>>> probe.begin([plan])
>>> probe.observe(0, call)
>>> text, reference, target = range(3)                                  # the order of `GROUPS`
>>> round(float(probe.sums["mass"][0, 0, target, text]), 3)             # the one target row: 2/3 of it is on the text
0.667
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tracker_logging.metrics import attention as metric
from tracker_logging.probes.attention_plan import GROUPS, Bin, SamplePlan
from tracker_logging.probes.tap import AttentionCall, CannotTapError

TOLERANCE = 0.02  # of a row's total; bf16 kernels are within 0.005
MINIMUM_BINS = 32


class AttentionProbe:
    """Accumulates over layers and samples. `sums` has the same shapes on every rank, whatever was observed."""

    def __init__(self, modules: Sequence[nn.Module], *, heads: int, head_dim: int, map_layers: Sequence[int]) -> None:
        self.modules = list(modules)
        self.bins = max(MINIMUM_BINS, head_dim - 1)  # bins and one moment fill the kernel's value width exactly
        self.maps: dict[int, torch.Tensor] = {}  # by layer: [N, N] of the first sample, mean over heads
        self.map_bins: tuple[Bin, ...] = ()
        self.map_layers = frozenset(map_layers)
        self._plans: list[SamplePlan] = []
        layers = len(self.modules)
        shapes = {
            "mass": (layers, heads, len(GROUPS), len(GROUPS)),
            "entropy": (layers, heads),
            "distance": (layers, heads),
            "text_mass": (layers, heads),
            "pair_rows": (layers, len(GROUPS), len(GROUPS)),
            "entropy_rows": (layers,),
            "target_rows": (layers,),
        }
        self.sums = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
        self._plain_causal: dict[tuple[int, int], bool] = {}
        self._worst: list[torch.Tensor] = []
        self._entropy_worst: list[torch.Tensor] = []

    @property
    def plans(self) -> Sequence[SamplePlan]:
        """Plans of the samples that are observed."""
        return self._plans

    def begin(self, plans: Sequence[SamplePlan]) -> None:
        """Observe these samples of the next forward."""
        self._plans = [plan for plan in plans if plan.bins]
        for plan in self._plans:
            self.sums = {name: value.to(plan.values.device) for name, value in self.sums.items()}
            if plan.sample == 0:
                self.map_bins = plan.bins

    def end(self) -> None:
        """Ignore the forwards that follow."""
        self._plans = []
        self._plain_causal = {}

    def observe(self, layer: int, call: AttentionCall) -> None:
        """Add one call of the kernel."""
        for plan in self._plans:
            output = substitute(call, plan, plain_causal=self._is_plain_causal(call.attention_mask, plan))
            weights = attention_rows(call, sample=plan.sample, rows=plan.entropy_rows)
            with torch.autocast(output.device.type, enabled=False):  # the kernel ran in the model's precision
                self._add(layer, plan, output)
                if weights is not None and len(plan.entropy_rows):
                    self._add_entropy(layer, plan, output[..., : len(plan.bins)], weights)

    def _is_plain_causal(self, mask: Any, plan: SamplePlan) -> bool:
        """Computed once per mask and sample: layers share their mask."""
        if (key := (id(mask), plan.sample)) not in self._plain_causal:
            self._plain_causal[key] = is_plain_causal(mask, plan)
        return self._plain_causal[key]

    def check(self) -> None:
        """Zero the entropy if it disagrees with the kernel. Synchronises with the device.

        Raises `ValueError` if the rows of the kernel do not sum to 1.
        """
        if self._entropy_worst and not float(torch.stack(self._entropy_worst).max()) <= TOLERANCE:
            self.sums["entropy"].zero_()
            self.sums["entropy_rows"].zero_()
        if self._worst and not float(torch.stack(self._worst).max()) <= TOLERANCE:
            raise ValueError(
                "attention rows do not sum to 1 over the sample (attention sinks, a kernel that ignores "
                "`dropout`, or non-finite values): no attention is shown"
            )

    def _add(self, layer: int, plan: SamplePlan, output: torch.Tensor) -> None:
        """`output` [H, S, N + M] float32: attention to each bin, then the moment over the text of each reading."""
        to_bins, moments = output[..., : len(plan.bins)], output[..., len(plan.bins) :]
        seen = to_bins[:, plan.positions]
        self._worst.append((seen.sum(dim=-1) - 1.0).abs().max())
        pooled = plan.averaging[:, plan.positions] @ seen
        self.sums["mass"][layer] += metric.mass_sums(pooled, sizes=plan.sizes, groups=plan.groups).double()
        in_group = (plan.groups * plan.sizes).sum(dim=1)
        self.sums["pair_rows"][layer] += torch.outer(in_group, (in_group > 0).float())
        if layer in self.map_layers and plan.sample == 0:
            self.maps[layer] = pooled.mean(dim=0)
        for number, reading in enumerate(plan.readings):
            add_alignment(
                self.sums,
                layer,
                to_text=to_bins[:, reading.rows] * reading.text,
                moment=moments[:, reading.rows, number],
                times=reading.times,
            )

    def _add_entropy(self, layer: int, plan: SamplePlan, to_bins: torch.Tensor, weights: torch.Tensor) -> None:
        kernel_mass = to_bins[:, plan.entropy_rows] @ plan.groups.T
        row_mass = weights @ (plan.values[:, : len(plan.bins)] @ plan.groups.T)
        self._entropy_worst.append((kernel_mass - row_mass).abs().max())
        self.sums["entropy"][layer] += metric.entropy(weights).sum(dim=1).double()
        self.sums["entropy_rows"][layer] += len(plan.entropy_rows)


def attention_probe(modules: Sequence[nn.Module]) -> AttentionProbe:
    """The probe for these attention modules. Maps are kept for the first, the middle and the last layer.

    Raises `CannotTapError` if the modules have no config with the number of heads.
    """
    config = getattr(modules[0], "config", None) if modules else None
    heads = getattr(config, "num_attention_heads", None)
    if heads is None:
        raise CannotTapError("the attention modules have no config with the number of heads")
    head_dim = getattr(config, "head_dim", None) or getattr(config, "hidden_size", heads) // heads
    map_layers = sorted({0, len(modules) // 2, len(modules) - 1})
    return AttentionProbe(modules, heads=heads, head_dim=head_dim, map_layers=map_layers)


def add_alignment(
    sums: dict[str, torch.Tensor], layer: int, *, to_text: torch.Tensor, moment: torch.Tensor, times: torch.Tensor
) -> None:
    """Add rows of the target to `distance`, `text_mass` and `target_rows`: `to_text` [H, F, N], `moment` [H, F]."""
    text_mass = to_text.sum(dim=-1)
    distance = metric.distance_from_diagonal(mass=text_mass, moment=moment, times=times)
    sums["distance"][layer] += distance.sum(dim=1).double()
    sums["text_mass"][layer] += text_mass.sum(dim=1).double()
    sums["target_rows"][layer] += len(times)


def substitute(call: AttentionCall, plan: SamplePlan, *, plain_causal: bool) -> torch.Tensor:
    """P·W of the kernel for the values W of the plan: [H, S, N + M] float32, 0 at padding.

    `plain_causal`: between `plan.first` and `plan.last` the mask only hides later positions, so the kernel can take its
    causal path on that stretch, at half the cost. W is split to the value width of the model's own call, since other
    widths fall back to slow kernels. Raises `ValueError` if the kernel sees another number of positions.
    """
    batch, kv_heads, length, width = call.value.shape
    if plan.values.shape[0] != length:
        raise ValueError(f"attention sees {length} keys, the batch has {plan.values.shape[0]} positions")
    # A block mask cannot be sliced to one sample.
    samples = slice(None) if _is_block_mask(call.attention_mask) else slice(plan.sample, plan.sample + 1)
    at = slice(plan.first, plan.last) if plain_causal else slice(None)
    columns = plan.values.shape[1]
    values = torch.nn.functional.pad(plan.values[at], (0, -columns % width)).to(call.value.dtype)
    arguments = {name: _cut(value, batch, samples, length, at) for name, value in call.arguments.items()}
    if "dropout" in arguments:
        arguments["dropout"] = 0.0
    query, key = call.query[samples, :, at], call.key[samples, :, at]
    parts = [
        call.function(
            call.module,
            query,
            key,
            part.expand(len(key), kv_heads, *part.shape),
            None if plain_causal else _cut(call.attention_mask, batch, samples, length, at),
            **arguments,
        )[0]
        for part in values.split(width, dim=-1)
    ]
    joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)  # [samples, S, H, columns]
    product = joined[plan.sample if len(joined) > 1 else 0, :, :, :columns].transpose(0, 1).float()
    return torch.nn.functional.pad(product, (0, 0, plan.first, length - plan.last)) if plain_causal else product


def is_plain_causal(mask: Any, plan: SamplePlan) -> bool:
    """Whether a boolean mask [B, 1, S, S] only hides later positions, among those that are not padding."""
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool or mask.dim() != 4 or mask.shape[1] != 1:
        return False
    block = mask[plan.sample if mask.shape[0] > 1 else 0, 0, plan.first : plan.last, plan.first : plan.last]
    return block.shape[0] == block.shape[1] and torch.equal(block, torch.ones_like(block).tril_())


def attention_rows(call: AttentionCall, *, sample: int, rows: torch.Tensor) -> torch.Tensor | None:
    """Attention weights [H, E, S] float32 of some query rows, or None if the mask is of an unknown kind."""
    visible = _visible(call, sample, rows)
    if visible is None:
        return None
    device = call.query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else call.query.dtype
    scaling = call.arguments.get("scaling")
    with torch.autocast(device, enabled=False):
        query = call.query[sample, :, rows].to(dtype).float()
        key = call.key[sample].to(dtype).float()
        key = key.repeat_interleave(query.shape[0] // key.shape[0], dim=0)
        logits = query @ key.transpose(1, 2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        if visible.dtype == torch.bool:
            logits = logits.masked_fill(~visible, float("-inf"))
        else:
            logits = logits + visible.float()
        weights: torch.Tensor = logits.softmax(dim=-1)
        return weights


def _visible(call: AttentionCall, sample: int, rows: torch.Tensor) -> torch.Tensor | None:
    """Keys visible to the rows, [1 or H, E, S]: bool, or float to be added to the logits."""
    mask, length = call.attention_mask, call.key.shape[2]
    keys = torch.arange(length, device=rows.device)
    if _is_block_mask(mask):
        zero = torch.zeros((), dtype=torch.int64, device=rows.device)
        block_visible: torch.Tensor = mask.mask_mod(zero + sample, zero, rows[:, None], keys[None, :])
        return block_visible.expand(len(rows), length)[None]
    if mask is not None and mask.dim() == 4:
        of_sample: torch.Tensor = mask[sample if mask.shape[0] > 1 else 0]
        return of_sample[:, rows, :length]
    if mask is not None and mask.dim() != 2:
        return None
    causal = call.arguments.get("is_causal")
    causal = getattr(call.module, "is_causal", True) if causal is None else causal
    visible = keys <= rows[:, None] if causal else torch.ones_like(keys <= rows[:, None])
    if mask is not None:
        visible = visible & mask[sample, :length].bool()
    return visible[None]


def _is_block_mask(mask: Any) -> bool:
    return mask is not None and not isinstance(mask, torch.Tensor)


def _cut(value: Any, batch: int, samples: slice, length: int, positions: slice) -> Any:
    """A slice of samples and positions of a tensor [B, S, ...]; any other value unchanged."""
    if not isinstance(value, torch.Tensor) or value.dim() < 2:
        return value
    sliced = value[samples] if value.shape[0] == batch else value
    return sliced[:, positions] if sliced.dim() == 2 and sliced.shape[1] == length else sliced
