"""What an adapter of a model of continuous latents answers beside `ModelAdapter`: its flow head and end-of-speech head.

Such a model has no codebooks. The unit of prediction is a frame: a latent of D numbers, predicted from noise by a head
that the backbone conditions. A latent is in the model's normalised space unless it is said to be the codec's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from tracker_logging.families.base import BatchView


@dataclass(frozen=True, slots=True)
class FlowTerms:
    """One call of the flow head in training: N rows, which are S noise draws of each of the F frames, draw by draw.

    `levels` [N]: share of noise, 0 to 1. `losses` [N]: squared error of the prediction, mean over dimensions.
    `conditions` [F, H]: what the backbone gives for each frame.
    """

    levels: torch.Tensor
    losses: torch.Tensor
    conditions: torch.Tensor


@runtime_checkable
class LatentAdapter(Protocol):
    """Held by an adapter whose model predicts continuous latents; `BatchView.frame_labels` tells what is trained."""

    latent_dim: int

    def flow_head(self) -> nn.Module:
        """The module that predicts latents from noise. Its first call in a training forward is of the flow loss."""

    def eos_head(self) -> nn.Module:
        """The module whose output [B, T, 1] is the logit of the end of speech."""

    def flow_terms(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: torch.Tensor, targets: torch.Tensor
    ) -> FlowTerms:
        """The terms of the flow loss from one call of the flow head and the targets [F, D]."""

    def targets(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """[F, D] target latents of the batch, sample by sample. Call it after the model has seen the batch."""

    def ends(self, view: BatchView) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat positions [M] whose end-of-speech logit is trained, and whether each is the end, [M] bool."""

    def eos_threshold(self) -> float:
        """The logit above which generation ends."""

    def sample(self, conditions: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The latents [F, D] that the model's own sampler makes from `noise` [F, D], given the backbone's outputs."""

    def to_codec(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents in the space of the codec."""
