"""Activations by layer: RMS of the FFN outputs of the text and audio path, and the first non-finite layer output.

probe = ActivationProbe(adapter.layers())
probe.begin(view)                                                     # before each forward
hooks.after(layer.audio_ffn, "activations", partial(probe.observe, layer.index, "audio"))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import torch

from tracker_logging.families.base import BatchView, LayerParts, Role

Path: TypeAlias = Literal["text", "audio"]
PATHS: tuple[Path, Path] = ("text", "audio")


class ActivationProbe:
    """Accumulates over forwards. `sums["rms"]` [L, 2, 2] float64: sum of squares and count, by layer and path."""

    def __init__(self, layers: Sequence[LayerParts]) -> None:
        self.sums = {"rms": torch.zeros(len(layers), len(PATHS), 2, dtype=torch.float64)}
        self._keep: dict[Path, torch.Tensor] = {}
        self._all: dict[Path, torch.Tensor] = {}

    def begin(self, view: BatchView) -> None:
        """Set the batch of the next forward.

        Codes take the audio path, all other positions the text path; padding and audio features are excluded from it.
        """
        roles = view.roles[:, view.in_layers]
        audio = (roles == Role.REFERENCE) | (roles == Role.TARGET)
        if view.codes.shape[-1]:
            audio &= (view.codes[:, view.in_layers] >= 0).any(dim=-1)
        self._all = {"text": ~audio, "audio": audio}
        self._keep = {"text": roles == Role.TEXT, "audio": audio}
        self.sums["rms"] = self.sums["rms"].to(view.roles.device)

    def end(self) -> None:
        """Ignore the layers until the next `begin`."""
        self._keep, self._all = {}, {}

    def observe(self, layer: int, path: Path, output: torch.Tensor) -> None:
        """Add `output`: [N, hidden] of the path's positions in order, or [B, T, hidden] of all positions.

        Raises `ValueError` for another shape.
        """
        if path not in self._keep:
            return
        keep = self._keep[path]
        if output.dim() == 2:
            keep = keep[self._all[path]]
        if keep.shape != output.shape[:-1]:
            raise ValueError(
                f"the {path} FFN of layer {layer} returned {tuple(output.shape)} for positions {tuple(keep.shape)}"
            )
        squares = output.float().square().sum(dim=-1).where(keep, 0.0).sum()
        self.sums["rms"][layer, PATHS.index(path), 0] += squares.double()
        self.sums["rms"][layer, PATHS.index(path), 1] += keep.sum() * output.shape[-1]


class FiniteProbe:
    """Accumulates over forwards. `sums["non_finite"]` [L] int64: positions (without padding) with a non-finite value
    in the output of each layer."""

    def __init__(self, layers: Sequence[LayerParts]) -> None:
        self.sums = {"non_finite": torch.zeros(len(layers), dtype=torch.int64)}
        self._keep: torch.Tensor | None = None

    def begin(self, view: BatchView) -> None:
        """Set the batch of the next forward."""
        self._keep = view.attention_mask[:, view.in_layers]
        self.sums["non_finite"] = self.sums["non_finite"].to(view.attention_mask.device)

    def end(self) -> None:
        """Ignore the layers until the next `begin`."""
        self._keep = None

    def observe(self, row: int, output: Any) -> None:
        """Add the `output` of layer `row`: [B, T, hidden], or a tuple that begins with it."""
        if self._keep is None:
            return
        hidden = output[0] if isinstance(output, tuple) else output
        bad = ~hidden.isfinite().all(dim=-1)
        self.sums["non_finite"][row] += (bad & self._keep if bad.shape == self._keep.shape else bad).sum()
