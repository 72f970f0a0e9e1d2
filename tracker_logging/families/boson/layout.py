"""The batch layout of `boson_multimodal` 0.1.1: one placeholder per audio, which the model expands.

Guarantees
- `expand` computes from the inputs alone what the model's `expanded_input_ids`, `expanded_labels` and masks are after
  the forward: the same length, padding side and order (read in 0.1.1, `model/higgs_audio/utils.py`).
- A batch whose numbers of audios and placeholders differ is expanded up to the shorter of the two and is `mismatched`.

>>> tokens = PlaceholderTokens(audio_in=15, audio_out=16, pad=0)
>>> codes, starts = torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0])
>>> batch = {"input_ids": torch.tensor([[5, 16, 6], [5, 6, 0]]), "audio_out_ids": codes, "audio_out_ids_start": starts}
>>> expand(batch, tokens=tokens).out.int().tolist()
[[0, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from tracker_logging.families.base import IGNORE

_ROUND_TO = 8  # the model pads T to a multiple of it, except for generation with a cache


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceholderTokens:
    """Token ids of `<|AUDIO|>`, `<|AUDIO_OUT|>` and padding."""

    audio_in: int
    audio_out: int
    pad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """One batch as the layers see it, all [B, T]: `token_ids` and `text_labels` int64, the others bool.

    `features`, `reference`, `out`: Whisper features of an `<|AUDIO|>`, its codes, and the codes of an `<|AUDIO_OUT|>`.
    `ends`: the last position of an audio's codes. `mismatched`: the numbers of audios and placeholders differ.
    """

    token_ids: torch.Tensor
    attention_mask: torch.Tensor
    text_labels: torch.Tensor | None
    features: torch.Tensor
    reference: torch.Tensor
    out: torch.Tensor
    ends: torch.Tensor
    mismatched: bool


def expand(
    inputs: Mapping[str, Any],
    *,
    tokens: PlaceholderTokens,
    feature_lengths: torch.Tensor | None = None,
    codes_in: bool = True,
) -> Expanded:
    """Expand the arguments of `HiggsAudioModel.forward`.

    `feature_lengths` [input audios] int64: positions of the Whisper features of each `<|AUDIO|>`, or None without an
    audio tower. `codes_in`: whether the model also takes `audio_in_ids` (`encode_audio_in_tokens`).
    """
    token_ids = inputs["input_ids"].detach()
    is_in, is_out = token_ids == tokens.audio_in, token_ids == tokens.audio_out
    in_codes, fits_in = _counts(is_in, audio_lengths(inputs, "audio_in_ids") if codes_in else None)
    in_features, fits_features = _counts(is_in, feature_lengths)
    out_codes, fits_out = _counts(is_out, audio_lengths(inputs, "audio_out_ids"))
    counts = in_codes + in_features + out_codes + (~is_in & ~is_out)
    # A placeholder without audio still takes one position, which is masked.
    counts = counts.where((counts > 0) | ~(is_in | is_out), torch.ones_like(counts))

    with_cache = bool(inputs.get("use_cache"))
    round_to = 1 if with_cache else _ROUND_TO
    left = with_cache or len(token_ids) == 1
    source, offset = _positions(counts, length=_rounded_up(int(counts.sum(dim=1).max()), round_to), left=left)
    is_token, token = source >= 0, source.clamp(min=0)

    def placed(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, token)

    features = is_token & placed(is_in) & (offset < placed(in_features))
    reference = is_token & placed(is_in) & ~features & (offset < placed(in_features + in_codes))
    out = is_token & placed(is_out) & (offset < placed(out_codes))
    text = is_token & ~placed(is_in | is_out)
    mask, labels = inputs.get("attention_mask"), inputs.get("label_ids")
    text_mask = torch.ones_like(token_ids) if mask is None else mask.detach()
    expanded = Expanded(
        token_ids=placed(token_ids).where(text | features | reference | out, tokens.pad),
        attention_mask=(text & placed(text_mask).bool()) | features | reference | out,
        text_labels=None if labels is None else placed(labels.detach()).where(text, IGNORE),
        features=features,
        reference=reference,
        out=out,
        ends=(reference | out) & (offset == placed(counts) - 1),
        mismatched=not (fits_in and fits_features and fits_out),
    )
    return _trimmed(expanded, round_to=round_to, left=left)


def audio_lengths(inputs: Mapping[str, Any], name: str) -> torch.Tensor | None:
    """Frames of each audio in `inputs[name]` [K, N], from its starts; None for a batch without."""
    codes, starts = inputs.get(name), inputs.get(f"{name}_start")
    if codes is None or starts is None or codes.shape[-1] == 0:
        return None
    total = torch.full((1,), codes.shape[-1], dtype=starts.dtype, device=starts.device)
    return torch.diff(starts.detach(), append=total)


def _counts(placeholders: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, bool]:
    """[B, S] int64: the length of each placeholder's audio, 0 elsewhere; and whether their numbers are equal."""
    counts = torch.zeros(placeholders.shape, dtype=torch.int64, device=placeholders.device)
    if lengths is None:
        return counts, True
    number = int(placeholders.sum())
    missing = max(0, number - len(lengths))
    counts[placeholders] = torch.nn.functional.pad(lengths[:number].to(counts), (0, missing))
    return counts, number == len(lengths)


def _positions(counts: torch.Tensor, *, length: int, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """For each of T positions the index of its token [B, T] (−1: padding) and its offset within that token."""
    source = torch.full((len(counts), length), -1, dtype=torch.int64, device=counts.device)
    begins = counts.cumsum(dim=1) - counts
    if left:
        begins = begins + length - counts.sum(dim=1, keepdim=True)
    for row, lengths in enumerate(counts):
        tokens = torch.arange(len(lengths), device=counts.device).repeat_interleave(lengths)
        start = length - len(tokens) if left else 0
        source[row, start : start + len(tokens)] = tokens
    offset = torch.arange(length, device=counts.device) - begins.gather(1, source.clamp(min=0))
    return source, offset


def _trimmed(expanded: Expanded, *, round_to: int, left: bool) -> Expanded:
    """Without the columns that are padding in every sample, as far as the rounding allows."""
    used = expanded.attention_mask.any(dim=0).nonzero().squeeze(-1)
    if len(used) == 0:
        return expanded
    columns = (
        slice(int(used[0]) // round_to * round_to, None) if left else slice(0, _rounded_up(int(used[-1]) + 1, round_to))
    )
    values = {field.name: getattr(expanded, field.name) for field in fields(expanded)}
    cut: dict[str, Any] = {name: value[:, columns] for name, value in values.items() if isinstance(value, torch.Tensor)}
    return replace(expanded, **cut)


def _rounded_up(length: int, to: int) -> int:
    return (length + to - 1) // to * to
