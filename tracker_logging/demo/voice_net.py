"""The networks of `VoiceCodec`: one recognises the sound in each row of `spectra.py`, the other predicts the rows that
sounds have in a style.

output = sound_net(spectra)                     # [B, T, SPECTRUM_SIZE], levelled
mean, log_variance = spectrum_net(sounds, style)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from tracker_logging.demo.kokoro import STYLE_SIZE
from tracker_logging.demo.spectra import SPECTRUM_SIZE

SOUND_CLASSES = 256
_SCALE = 3.0  # about the deviation of spectra
_PITCH, _ENERGY = 5.0, 4.0  # the mean of log-F0; the deviation of energies
_SOUND_WIDTH, _SOUND_DILATIONS = 192, (1, 2, 4, 8, 1, 2, 4)
_SPECTRUM_WIDTH, _SPECTRUM_DILATIONS = 192, (1, 2, 4, 1, 2)
_CLASS_SIZE, _KERNEL = 128, 5
_LOG_VARIANCES = (-5.0, 4.0)


class SoundOutput(NamedTuple):
    """Of each row: `classes` logits [B, T, SOUND_CLASSES], `voicing` logits, `pitch` log-F0 and `energy` [B, T]."""

    classes: torch.Tensor
    voicing: torch.Tensor
    pitch: torch.Tensor
    energy: torch.Tensor


class SoundNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv1d(SPECTRUM_SIZE, _SOUND_WIDTH, 3, padding=1),
            *(_Residual(_SOUND_WIDTH, dilation) for dilation in _SOUND_DILATIONS),
            nn.GroupNorm(1, _SOUND_WIDTH),
        )
        self.output = nn.Conv1d(_SOUND_WIDTH, SOUND_CLASSES + 3, 1)

    def forward(self, spectra: torch.Tensor) -> SoundOutput:
        hidden = self.trunk(spectra.mT / _SCALE)
        output = self.output(functional.gelu(hidden)).mT
        classes, voicing, pitch, energy = output.split([SOUND_CLASSES, 1, 1, 1], dim=2)
        return SoundOutput(classes, voicing[..., 0], pitch[..., 0] + _PITCH, energy[..., 0] * _ENERGY)


class SpectrumNet(nn.Module):
    """A fast model of spectra that Kokoro's decoder makes. It takes a style as coordinates, which over the training
    speakers have mean 0 and covariance 1: `style_mean + style_basis @ coordinates` is the style."""

    style_mean: torch.Tensor  # [STYLE_SIZE]
    style_basis: torch.Tensor  # [STYLE_SIZE, STYLE_SIZE]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("style_mean", torch.zeros(STYLE_SIZE))
        self.register_buffer("style_basis", torch.eye(STYLE_SIZE))
        self.classes = nn.Embedding(SOUND_CLASSES, _CLASS_SIZE)
        self.input = nn.Conv1d(_CLASS_SIZE + 3, _SPECTRUM_WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(_StyledResidual(_SPECTRUM_WIDTH, dilation) for dilation in _SPECTRUM_DILATIONS)
        self.norm = _StyledNorm(_SPECTRUM_WIDTH)
        self.output = nn.Conv1d(_SPECTRUM_WIDTH, 2 * SPECTRUM_SIZE, 1)

    def forward(self, sounds: SoundOutput, coordinates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`coordinates` [B, STYLE_SIZE] -> mean and logarithm of the variance of levelled spectra, each
        [B, T, SPECTRUM_SIZE]. Of the classes and the voicing of `sounds` the most likely count."""
        is_voiced = (sounds.voicing > 0).float()
        prosody = [is_voiced, 2 * is_voiced * (sounds.pitch - _PITCH), sounds.energy / _ENERGY]
        classes = self.classes(sounds.classes.argmax(dim=2)).mT
        rows = self.input(torch.cat([classes, torch.stack(prosody, dim=1)], dim=1))
        for block in self.blocks:
            rows = block(rows, coordinates)
        mean, log_variance = self.output(functional.gelu(self.norm(rows, coordinates))).mT.chunk(2, dim=2)
        return mean * _SCALE, log_variance.clamp(*_LOG_VARIANCES)

    def coordinates(self, styles: torch.Tensor) -> torch.Tensor:
        """[B, STYLE_SIZE] -> [B, STYLE_SIZE]."""
        coordinates: torch.Tensor = torch.linalg.solve(self.style_basis, (styles - self.style_mean).mT).mT
        return coordinates

    def style(self, coordinates: torch.Tensor) -> torch.Tensor:
        """The inverse of `coordinates`."""
        return self.style_mean + coordinates @ self.style_basis.T

    def losses(self, spectra: torch.Tensor, sounds: SoundOutput, coordinates: torch.Tensor) -> torch.Tensor:
        """[B, T, SPECTRUM_SIZE], levelled -> of each value the negative logarithm of its density, less a constant."""
        mean, log_variance = self(sounds, coordinates)
        losses: torch.Tensor = 0.5 * ((spectra - mean).square() * (-log_variance).exp() + log_variance)
        return losses


class _StyledNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width, affine=False)
        self.style = nn.Linear(STYLE_SIZE, 2 * width)

    def forward(self, rows: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
        factor, bias = self.style(coordinates)[..., None].chunk(2, dim=1)
        styled: torch.Tensor = self.norm(rows) * (1 + factor) + bias
        return styled


class _StyledResidual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = _StyledNorm(width)
        self.wide = nn.Conv1d(width, width, _KERNEL, padding=dilation * (_KERNEL // 2), dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, rows: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.mix(functional.gelu(self.wide(self.norm(rows, coordinates))))
        return rows + changed


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.wide = nn.Conv1d(width, width, _KERNEL, padding=dilation * (_KERNEL // 2), dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.mix(functional.gelu(self.wide(self.norm(rows))))
        return rows + changed
