"""How `boson_multimodal` 0.1.1 lays a batch out: one placeholder per audio, expanded inside the model.

Guarantees
- What `expand` answers from the inputs alone is what the model's own `expanded_input_ids`, `expanded_labels` and
  masks say after the forward: the same length, padding side and order (read in 0.1.1, `model/higgs_audio/utils.py`).
- A batch with more or fewer audios than placeholders is laid out as far as both go, and says so.

    laid = expand(batch, tokens=PlaceholderTokens(audio_in=128015, audio_out=128016, pad=128001))
    laid.out                      # [B, T] bool: where the frames of `audio_out_ids` stand
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from tracker_logging.families.base import IGNORE

_ROUND_TO = 8  # the model pads T to a multiple of it, but for generation with a cache


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceholderTokens:
    """Token ids of `<|AUDIO|>`, `<|AUDIO_OUT|>` and padding."""

    audio_in: int
    audio_out: int
    pad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """One batch as the layers see it, all [B, T]: `token_ids` int64, the others bool but for `text_labels` int64.

    `features`, `given`, `out`: Whisper features of an `<|AUDIO|>`, its codes, and the codes of an `<|AUDIO_OUT|>`.
    `ends`: the last position of an audio's codes. `mismatched`: audios and placeholders are not equally many.
    """

    token_ids: torch.Tensor
    attention_mask: torch.Tensor
    text_labels: torch.Tensor | None
    features: torch.Tensor
    given: torch.Tensor
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
    """Lay the arguments of `HiggsAudioModel.forward` out.

    `feature_lengths` [audios in] int64: positions of the Whisper features of each `<|AUDIO|>`, or None without an audio
    tower. `codes_in`: whether the model also takes `audio_in_ids` (`encode_audio_in_tokens`).
    """
    token_ids = inputs["input_ids"].detach()
    is_in, is_out = token_ids == tokens.audio_in, token_ids == tokens.audio_out
    in_codes, fits_in = _counts(is_in, audio_lengths(inputs, "audio_in_ids") if codes_in else None)
    in_features, fits_features = _counts(is_in, feature_lengths)
    out_codes, fits_out = _counts(is_out, audio_lengths(inputs, "audio_out_ids"))
    counts = in_codes + in_features + out_codes + (~is_in & ~is_out)
    # A placeholder that no audio fills still takes one position, which is masked.
    counts = counts.where((counts > 0) | ~(is_in | is_out), torch.ones_like(counts))

    with_cache = bool(inputs.get("use_cache"))
    round_to = 1 if with_cache else _ROUND_TO
    left = with_cache or len(token_ids) == 1
    source, offset = _positions(counts, length=_rounded_up(int(counts.sum(dim=1).max()), round_to), left=left)
    there, at = source >= 0, source.clamp(min=0)

    def placed(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, at)

    features = there & placed(is_in) & (offset < placed(in_features))
    given = there & placed(is_in) & ~features & (offset < placed(in_features + in_codes))
    out = there & placed(is_out) & (offset < placed(out_codes))
    text = there & ~placed(is_in | is_out)
    mask, labels = inputs.get("attention_mask"), inputs.get("label_ids")
    own = torch.ones_like(token_ids) if mask is None else mask.detach()
    laid = Expanded(
        token_ids=placed(token_ids).where(text | features | given | out, tokens.pad),
        attention_mask=(text & placed(own).bool()) | features | given | out,
        text_labels=None if labels is None else placed(labels.detach()).where(text, IGNORE),
        features=features,
        given=given,
        out=out,
        ends=(given | out) & (offset == placed(counts) - 1),
        mismatched=not (fits_in and fits_features and fits_out),
    )
    return _trimmed(laid, round_to=round_to, left=left)


def audio_lengths(inputs: Mapping[str, Any], name: str) -> torch.Tensor | None:
    """Frames of each audio in `inputs[name]` [K, N], from its starts; None for a batch without."""
    codes, starts = inputs.get(name), inputs.get(f"{name}_start")
    if codes is None or starts is None or codes.shape[-1] == 0:
        return None
    total = torch.full((1,), codes.shape[-1], dtype=starts.dtype, device=starts.device)
    return torch.diff(starts.detach(), append=total)


def _counts(placeholders: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, bool]:
    """[B, S] int64: the length of each placeholder's audio, 0 elsewhere; and whether there were equally many."""
    counts = torch.zeros(placeholders.shape, dtype=torch.int64, device=placeholders.device)
    if lengths is None:
        return counts, True
    wanted = int(placeholders.sum())
    missing = max(0, wanted - len(lengths))
    counts[placeholders] = torch.nn.functional.pad(lengths[:wanted].to(counts), (0, missing))
    return counts, wanted == len(lengths)


def _positions(counts: torch.Tensor, *, length: int, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """For each of T positions the token [B, T] that it comes from (−1: padding), and its place within that token."""
    source = torch.full((len(counts), length), -1, dtype=torch.int64, device=counts.device)
    begins = counts.cumsum(dim=1) - counts
    if left:
        begins = begins + length - counts.sum(dim=1, keepdim=True)
    for row, own in enumerate(counts):
        tokens = torch.arange(len(own), device=own.device).repeat_interleave(own)
        start = length - len(tokens) if left else 0
        source[row, start : start + len(tokens)] = tokens
    offset = torch.arange(length, device=counts.device) - begins.gather(1, source.clamp(min=0))
    return source, offset


def _trimmed(laid: Expanded, *, round_to: int, left: bool) -> Expanded:
    """Without the columns that are padding in every sample, as far as the rounding lets them go."""
    used = laid.attention_mask.any(dim=0).nonzero().squeeze(-1)
    if len(used) == 0:
        return laid
    columns = (
        slice(int(used[0]) // round_to * round_to, None) if left else slice(0, _rounded_up(int(used[-1]) + 1, round_to))
    )
    values = {field.name: getattr(laid, field.name) for field in fields(laid)}
    cut: dict[str, Any] = {name: own[:, columns] for name, own in values.items() if isinstance(own, torch.Tensor)}
    return replace(laid, **cut)


def _rounded_up(length: int, to: int) -> int:
    return (length + to - 1) // to * to
