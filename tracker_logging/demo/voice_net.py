"""The networks of `VoiceCodec`: what is heard in each row of `spectra.py`, and the style of the whole clip.

heard = sounds(spectra)                    # [B, T, SPECTRUM_SIZE], levelled
style = voice(spectra, heard.hidden)       # [B, STYLE_SIZE]
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
_VOICE_WIDTH, _VOICE_DILATIONS = 288, (1, 2, 4, 1)


class Heard(NamedTuple):
    """Of each row: `classes` logits [B, T, SOUND_CLASSES], `voicing` logits, `pitch` log-F0 and `energy` [B, T], and
    what the network knows of it, `hidden` [B, C, T]."""

    classes: torch.Tensor
    voicing: torch.Tensor
    pitch: torch.Tensor
    energy: torch.Tensor
    hidden: torch.Tensor


class SoundNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = _trunk(SPECTRUM_SIZE, _SOUND_WIDTH, _SOUND_DILATIONS, kernel=5)
        self.output = nn.Conv1d(_SOUND_WIDTH, SOUND_CLASSES + 3, 1)

    def forward(self, spectra: torch.Tensor) -> Heard:
        hidden = self.trunk(spectra.mT / _SCALE)
        output = self.output(functional.gelu(hidden)).mT
        classes, voicing, pitch, energy = output.split([SOUND_CLASSES, 1, 1, 1], dim=2)
        return Heard(classes, voicing[..., 0], pitch[..., 0] + _PITCH, energy[..., 0] * _ENERGY, hidden)


class VoiceNet(nn.Module):
    style_mean: torch.Tensor  # [STYLE_SIZE], of the training speakers
    style_scale: torch.Tensor  # [STYLE_SIZE]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("style_mean", torch.zeros(STYLE_SIZE))
        self.register_buffer("style_scale", torch.ones(STYLE_SIZE))
        self.trunk = _trunk(SPECTRUM_SIZE + _SOUND_WIDTH, _VOICE_WIDTH, _VOICE_DILATIONS, kernel=3)
        self.attention = nn.Conv1d(_VOICE_WIDTH, _VOICE_WIDTH, 1)
        self.output = nn.Sequential(nn.Linear(2 * _VOICE_WIDTH, 512), nn.GELU(), nn.Linear(512, STYLE_SIZE))

    def standardised(self, spectra: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """[B, STYLE_SIZE] with the deviation 1 over the training speakers."""
        rows = functional.gelu(self.trunk(torch.cat([spectra.mT / _SCALE, hidden], dim=1)))
        weights = self.attention(rows).softmax(dim=2)
        mean = (weights * rows).sum(dim=2)
        variance = (weights * rows.square()).sum(dim=2) - mean.square()
        output: torch.Tensor = self.output(torch.cat([mean, variance.clamp(min=1e-5).sqrt()], dim=1))
        return output

    def forward(self, spectra: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        return self.standardised(spectra, hidden) * self.style_scale + self.style_mean


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.wide = nn.Conv1d(width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.mix(functional.gelu(self.wide(self.norm(rows))))
        return rows + changed


def _trunk(inputs: int, width: int, dilations: tuple[int, ...], *, kernel: int) -> nn.Sequential:
    """[B, inputs, T] -> [B, width, T]."""
    blocks = [_Residual(width, dilation, kernel) for dilation in dilations]
    return nn.Sequential(nn.Conv1d(inputs, width, 3, padding=1), *blocks, nn.GroupNorm(1, width))
