"""The networks of `VoiceCodec`: content, voice, and WORLD frames made of both.

- `content` encodes frames less the voice's mean. It is quantised outside, so the network has no codebooks.
- `voice` encodes a clip's frames and their mean into one vector.
- `decode` makes frames of content vectors of any clip and a voice of any other.

Frames are [B, T, STACK, SUB_FEATURES] as of `analyse`; `mask` [B, T] has 1 for a frame and 0 for padding. In evaluation
mode results depend neither on padding nor on the other clips of a batch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from tracker_logging.demo.world_features import CEPSTRA, FRAME_FEATURES, STACK, SUB_FEATURES

CONTENT_SIZE = 48
VOICE_SIZE = 24
OF_VOICE = (0, *range(2, 2 + CEPSTRA))  # log-F0 and cepstrum among the features of a WORLD frame
VOICING = 1
_WIDTH = 192
_CONDITION = 128


class VoiceNet(nn.Module):
    """See the module."""

    mean: torch.Tensor  # [SUB_FEATURES], of the training frames
    scale: torch.Tensor  # [SUB_FEATURES]
    voice_mean: torch.Tensor  # [len(OF_VOICE)], of the training speakers
    voice_scale: torch.Tensor  # [len(OF_VOICE)]
    gain: torch.Tensor  # [SUB_FEATURES], of a decoded frame's difference to the voice's mean

    def __init__(self) -> None:
        super().__init__()
        self.content_in = nn.Conv1d(FRAME_FEATURES, _WIDTH, 1)
        self.content_blocks = nn.ModuleList(_Block() for _ in range(2))
        self.content_out = nn.Conv1d(_WIDTH, CONTENT_SIZE, 1)
        self.voice_in = nn.Conv1d(FRAME_FEATURES, _WIDTH, 1)
        self.voice_blocks = nn.ModuleList(_Block() for _ in range(2))
        self.voice_out = nn.Linear(2 * _WIDTH + len(OF_VOICE), VOICE_SIZE)
        self.voice_norm = nn.BatchNorm1d(VOICE_SIZE, affine=False, momentum=0.02)
        self.voice_means = nn.Linear(VOICE_SIZE, len(OF_VOICE))
        self.condition = nn.Sequential(
            nn.Linear(VOICE_SIZE, _CONDITION), nn.GELU(), nn.Linear(_CONDITION, _CONDITION), nn.GELU()
        )
        self.decoder_in = nn.Conv1d(CONTENT_SIZE, _WIDTH, 1)
        self.decoder_blocks = nn.ModuleList(_Block(_CONDITION) for _ in range(4))
        self.decoder_out = nn.Conv1d(_WIDTH, FRAME_FEATURES, 1)
        self.decoder_means = nn.Linear(_CONDITION, SUB_FEATURES)
        self.register_buffer("mean", torch.zeros(SUB_FEATURES))
        self.register_buffer("scale", torch.ones(SUB_FEATURES))
        self.register_buffer("voice_mean", torch.zeros(len(OF_VOICE)))
        self.register_buffer("voice_scale", torch.ones(len(OF_VOICE)))
        self.register_buffer("gain", torch.ones(SUB_FEATURES))

    def content(self, frames: torch.Tensor, means: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """-> [B, T, CONTENT_SIZE]. `means` [B, len(OF_VOICE)]: of each clip's voiced frames."""
        hidden = self.content_in(_channels((frames - self._spread(means)) / self.scale)) * mask[:, None]
        for block in self.content_blocks:
            hidden = block(hidden) * mask[:, None]
        vectors: torch.Tensor = self.content_out(hidden).transpose(1, 2)
        return vectors

    def voice(self, frames: torch.Tensor, means: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """-> [B, VOICE_SIZE], about unit variance over speakers. Voiced frames count."""
        hidden = self.voice_in(_channels((frames - self.mean) / self.scale)) * mask[:, None]
        for block in self.voice_blocks:
            hidden = block(hidden) * mask[:, None]
        weights = frames[..., VOICING].mean(dim=2).clamp(0, 1) * mask + 1e-3 * mask
        weights = (weights / weights.sum(dim=1, keepdim=True))[:, None]
        mean = (hidden * weights).sum(dim=2)
        deviation = ((hidden - mean[..., None]).square() * weights).sum(dim=2).clamp(min=1e-6).sqrt()
        relative = (means - self.voice_mean) / self.voice_scale
        vectors: torch.Tensor = self.voice_norm(self.voice_out(torch.cat([mean, deviation, relative], dim=1)))
        return vectors

    def means_of(self, voices: torch.Tensor) -> torch.Tensor:
        """[..., VOICE_SIZE] -> [..., len(OF_VOICE)]: mean log-F0 and cepstrum of a voice."""
        means: torch.Tensor = self.voice_means(voices) * self.voice_scale + self.voice_mean
        return means

    def decode(self, content: torch.Tensor, voices: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """content [B, T, CONTENT_SIZE], voices [B, T, VOICE_SIZE] -> frames."""
        condition = self.condition(voices)
        hidden = self.decoder_in(content.transpose(1, 2)) * mask[:, None]
        for block in self.decoder_blocks:
            hidden = block(hidden, condition) * mask[:, None]
        frames = self.decoder_out(hidden).transpose(1, 2).unflatten(2, (STACK, SUB_FEATURES))
        frames = (frames + self.decoder_means(condition)[:, :, None]) * self.scale * self.gain
        restored: torch.Tensor = frames + self._spread(self.means_of(voices))
        return restored

    def _spread(self, means: torch.Tensor) -> torch.Tensor:
        """[B, (T,) len(OF_VOICE)] -> [B, T or 1, 1, SUB_FEATURES]; the other features have the mean of all frames."""
        spread = self.mean.expand(*means.shape[:-1], SUB_FEATURES).clone()
        spread[..., list(OF_VOICE)] = means
        return spread.reshape(len(means), -1, 1, SUB_FEATURES)


class _Block(nn.Module):
    """Residual: normalised over the channels of each frame, convolved over three frames, shaped by the condition."""

    def __init__(self, condition: int = 0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(_WIDTH)
        self.convolution = nn.Conv1d(_WIDTH, _WIDTH, 3, padding=1)
        self.out = nn.Conv1d(_WIDTH, _WIDTH, 1)
        self.shape = nn.Linear(condition, 2 * _WIDTH) if condition else None

    def forward(self, frames: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.convolution(self.norm(frames.transpose(1, 2)).transpose(1, 2))
        if self.shape is not None:
            factor, offset = self.shape(condition).transpose(1, 2).chunk(2, dim=1)
            hidden = hidden * (1 + factor) + offset
        result: torch.Tensor = frames + self.out(functional.gelu(hidden))
        return result


def _channels(frames: torch.Tensor) -> torch.Tensor:
    """[B, T, STACK, SUB_FEATURES] -> [B, FRAME_FEATURES, T]."""
    return frames.flatten(2).transpose(1, 2)
