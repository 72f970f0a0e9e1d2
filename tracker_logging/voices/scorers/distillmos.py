"""DistillMOS (Stahl & Gamper 2025; MIT): a small network that imitates opinion scores of an XLS-R model.

The network is built here and its weights are read by path, from the distillmos package or any file with the same
state: importing that package needs torchaudio. Loaded without drawing initial weights.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tracker_logging.events import FloatArray
from tracker_logging.voices.scorers.onnx import at_16_khz, package_folder

_SEGMENT = 122_880  # samples: 7.68 s
_HOP = 16_000
_FRAMES = 384
_CHANNELS = (64, 64, 128, 256, 256, 256)
_BANDS = 4
_WIDTH, _HEADS, _LAYERS = 200, 8, 7


class DistillMos:
    """`distillmos`, 1 to 5. `weights`: a file with the state under the key `model`."""

    name = "distillmos"

    def __init__(self, weights: Path | None = None) -> None:
        place = weights or package_folder("distillmos") / "weights" / "distill_mos_v7.pt"
        state = torch.load(place, map_location="cpu", weights_only=True)["model"]
        with torch.device("meta"):
            self._network = _Network()
        self._network.load_state_dict(state, assign=True)
        self._network.eval()

    @torch.no_grad()
    def rate(self, wave: FloatArray, sample_rate: int) -> dict[str, float]:
        samples = torch.from_numpy(at_16_khz(wave, sample_rate).copy())
        samples = nn.functional.pad(samples, (0, max(0, _SEGMENT - len(samples))))
        over = len(samples) - _SEGMENT
        places = torch.linspace(0, over, -(-over // _HOP) + 1).long().tolist()
        segments = torch.stack([samples[start : start + _SEGMENT] for start in places])
        segments = segments / (segments.abs().amax(dim=1, keepdim=True) + 1e-8)
        return {"distillmos": float(1.0 + 4.0 * self._network(segments).mean())}


class _Network(nn.Module):
    """Names of the parts are those of the published state."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = _Convolutions()
        self.transformer_pool_attn = _Pooled(_CHANNELS[-1] * _BANDS)

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        """[S, 122880] -> [S] quality, 0 to 1."""
        quality: torch.Tensor = self.transformer_pool_attn(self.cnn(segments).transpose(1, 2))
        return quality


class _Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, channels in enumerate(_CHANNELS):
            stride = (2 if index else 1, 2 if index == len(_CHANNELS) - 1 else 1)
            before = _CHANNELS[index - 1] if index else 2
            layers += [nn.Conv2d(before, channels, (3, 3), stride=stride, padding=(0, 1)), nn.LeakyReLU(0.1)]
        self.cnn = nn.Sequential(*layers)

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        """[S, n] -> [S, features, 384]: compressed complex spectrum (power 0.3), 20 ms every 10 ms, convolved."""
        padded = nn.functional.pad(segments, (80, 80), mode="reflect")
        window = torch.hann_window(320)
        spectrum = torch.view_as_real(torch.stft(padded, 320, 160, 320, window, center=False, return_complex=True))
        size = spectrum.square().sum(dim=-1, keepdim=True).sqrt().clip(1e-12)
        compressed = size**0.3 * spectrum / size
        return torch.flatten(self.cnn(compressed.permute(0, 3, 1, 2)), 1, -2)


class _Pooled(nn.Module):
    """Transformer over the frames, then attention pooling."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm_input = nn.BatchNorm1d(features)
        self.transformer = _Transformer(features)
        self.norm_trans = nn.BatchNorm1d(_WIDTH)
        self.pool = _AttentionPool()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        frames = self.transformer(_over_features(self.norm_input, frames))
        pooled: torch.Tensor = self.pool(_over_features(self.norm_trans, frames))
        return torch.sigmoid(pooled.squeeze(-1))


class _Transformer(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.position_encoding = _Positions()
        self.linear_proj = nn.Linear(features, _WIDTH)
        layer = nn.TransformerEncoderLayer(_WIDTH, _HEADS, 2 * _WIDTH, dropout=0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, _LAYERS)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        frames = self.linear_proj(_over_features(self.norm, frames))
        encoded: torch.Tensor = self.transformer_encoder(frames + self.position_encoding.pe)
        return encoded


class _Positions(nn.Module):
    pe: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pe", torch.empty(1, _FRAMES, _WIDTH))


class _AttentionPool(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(_WIDTH, 2 * _WIDTH)
        self.linear2 = nn.Linear(2 * _WIDTH, 1)
        self.linear3 = nn.Linear(_WIDTH, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        attention = torch.softmax(self.linear2(torch.relu(self.linear1(frames))), dim=1)
        pooled: torch.Tensor = self.linear3((attention * frames).sum(dim=1))
        return pooled


def _over_features(norm: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """Apply a norm over channels to [S, frames, channels]."""
    normed: torch.Tensor = norm(frames.transpose(1, 2)).transpose(1, 2)
    return normed
