"""What an adapter of a model of continuous latents answers beside `ModelAdapter`: its flow head and end-of-speech head.

`flow` also stands for diffusion: a head that predicts a latent from a noisy one.

Such a model has no codebooks. The unit of prediction is a frame: a latent of D numbers, predicted from noise by a head
that the backbone conditions. A latent is in the model's normalised space unless it is said to be the codec's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from tracker_logging.families.base import BatchView, Inputs

NO_CODES = (
    "the model predicts continuous latents, which have no codes and no codebooks; latents/ has its flow loss, end of "
    "speech and latent statistics"
)
WITHOUT_CODES: Mapping[str, str] = dict.fromkeys(
    (
        "inputs/audio", "outputs/nll/", "outputs/nll_shift0/", "outputs/accuracy/", "outputs/accuracy_map",
        "outputs/top5/", "outputs/entropy/", "outputs/perplexity/", "outputs/usage/", "outputs/predictions",
        "eval_outputs/", "chatml/label_coverage_pct/codebook_{codebook}", "chatml/loss_ratio", "chatml/same_target_pct",
        "chatml/same_text_pct", "chatml/reference_is_target",
    ),
    NO_CODES,
)  # fmt: skip
"""`cannot_give` of an adapter of latents."""


@dataclass(frozen=True, slots=True)
class FlowTerms:
    """One call of the flow head in training: N rows, which are S noise draws of each of the F frames, draw by draw.

    `levels` [N]: share of noise, 0 to 1. `losses` [N]: squared error of the prediction, mean over dimensions.
    `conditions` [F, H]: what the backbone gives for each frame. `targets` [F, D]: the latents, sample by sample.

    For a model whose batch chooses the conditions and whose schedule is exchangeable, else None: `own_frame_seen` [F]
    bool, whether the condition has seen the frame that it predicts; `wrong_noise` [N] bool, whether the noise that was
    added is not that of the level in the target of the loss.
    """

    levels: torch.Tensor
    losses: torch.Tensor
    conditions: torch.Tensor
    targets: torch.Tensor
    own_frame_seen: torch.Tensor | None = None
    wrong_noise: torch.Tensor | None = None


@runtime_checkable
class LatentAdapter(Protocol):
    """Held by an adapter whose model predicts continuous latents; `BatchView.frame_labels` tells what is trained."""

    latent_dim: int
    cannot_give: Mapping[str, str]  # `WITHOUT_CODES`

    def flow_head(self) -> nn.Module:
        """The module that predicts latents from noise. Its first call in a training forward is of the flow loss."""

    def eos_head(self) -> nn.Module:
        """The module whose output has the logit of the end of speech."""

    def eos_logits(self, output: torch.Tensor) -> torch.Tensor:
        """The logit of the end of speech at each flat position [B · T], from the output of `eos_head`."""

    def flow_terms(self, inputs: Inputs, args: tuple[Any, ...], kwargs: Inputs, output: torch.Tensor) -> FlowTerms:
        """The terms of the flow loss from the batch and one call of the flow head, when that call returns."""

    def ends(self, view: BatchView) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat positions [M] whose end-of-speech logit is trained, and whether each is the end, [M] bool."""

    def eos_threshold(self) -> float:
        """The logit above which generation ends."""

    def sample(self, inputs: Inputs, conditions: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The latents [F, D] that the model's own sampler makes from `noise` [F, D], given the backbone's outputs."""

    def to_codec(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents in the space of the codec."""


def paired_noise(draws: int, frames: int, dimensions: int, *, device: torch.device) -> torch.Tensor:
    """[draws, frames, dimensions] normal noise that depends on the number of the frame alone.

    Two conditions of one target then have the same noise, also in batches of other lengths.
    """
    generators = [torch.Generator().manual_seed(frame) for frame in range(frames)]
    rows = [torch.randn(draws, dimensions, generator=generator) for generator in generators]
    return torch.stack(rows, dim=1).to(device)
