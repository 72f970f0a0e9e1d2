"""RMS of what the text and the audio FFN path of each layer add to the residual stream.

probe = ActivationProbe(adapter.layers())
probe.begin(view)
hooks.after(layer.audio_ffn, "activations", partial(probe.observe, layer.index, "audio"))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch

from tracker_logging.families.base import BatchView, LayerParts, Role

Path: TypeAlias = Literal["text", "audio"]
PATHS: tuple[Path, Path] = ("text", "audio")


class ActivationProbe:
    """Adds up over forwards. `sums["rms"]` [L, 2, 2] float64: by layer and path, sum of squares and count."""

    def __init__(self, layers: Sequence[LayerParts]) -> None:
        self.sums = {"rms": torch.zeros(len(layers), len(PATHS), 2, dtype=torch.float64)}
        self._keep: dict[Path, torch.Tensor] = {}
        self._all: dict[Path, torch.Tensor] = {}

    def begin(self, view: BatchView) -> None:
        """The batch of the forward that comes next.

        Codes go through the audio path; all else through the text path, of which padding and features are left out.
        """
        roles = view.roles[:, view.in_layers]
        audio = (roles == Role.REFERENCE) | (roles == Role.TARGET)
        audio &= (view.codes[:, view.in_layers] >= 0).any(dim=-1)
        self._all = {"text": ~audio, "audio": audio}
        self._keep = {"text": roles == Role.TEXT, "audio": audio}
        self.sums["rms"] = self.sums["rms"].to(view.roles.device)

    def end(self) -> None:
        """Ignore what the layers do until the next `begin`."""
        self._keep, self._all = {}, {}

    def observe(self, layer: int, path: Path, output: torch.Tensor) -> None:
        """`output` [N, hidden] of the path's positions in order, or [B, T, hidden] of all positions."""
        if path not in self._keep:
            return
        keep = self._keep[path]
        if output.dim() == 2:
            keep = keep[self._all[path]]
        if keep.shape != output.shape[:-1]:
            raise ValueError(
                f"the {path} FFN of layer {layer} gave {tuple(output.shape)} for positions {tuple(keep.shape)}"
            )
        squares = output.float().square().sum(dim=-1).where(keep, 0.0).sum()
        self.sums["rms"][layer, PATHS.index(path), 0] += squares.double()
        self.sums["rms"][layer, PATHS.index(path), 1] += keep.sum() * output.shape[-1]
