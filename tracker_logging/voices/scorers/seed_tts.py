"""The speaker encoder of Seed-TTS-eval's SIM: WavLM-large with ECAPA-TDNN, fine-tuned for speaker verification.

`seed-tts=wavlm_large_finetune.pth`, the file that the benchmark names, or a directory with it. Chen et al. 2022
(WavLM), Desplanques et al. 2020 (ECAPA-TDNN); layer by layer as UniSpeech's `speaker_verification` builds it.

Guarantees
- All hidden states of WavLM, weighted, are the input of ECAPA; the whole clip is embedded, with silence at both ends.
- Weights are loaded by path and contain no code; nothing is downloaded. On the CPU in float32, without random numbers.
- Clips are resampled by soxr, where the benchmark uses torchaudio.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tracker_logging.events import FloatArray
from tracker_logging.voices.scorers.onnx import at_16_khz

FILE_NAME = "wavlm_large_finetune.pth"
_UPSTREAM = "feature_extract.model."
_SCALE = 8
_MAX_DISTANCE = 800
# Names of the released WavLM -> names in transformers.
_RENAMED = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (r"^feature_extractor\.conv_layers\.(\d+)\.2\.1\.", r"feature_extractor.conv_layers.\1.layer_norm."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.bias$", "encoder.pos_conv_embed.conv.bias"),
    (r"^encoder\.pos_conv\.0\.weight_g$", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"^encoder\.pos_conv\.0\.weight_v$", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
    (r"^mask_emb$", "masked_spec_embed"),
)


class SeedTtsSpeakerEncoder:
    """256-dimensional unit vectors. `path`: the file or its directory. Raises `ValueError` for other weights."""

    name = "wavlm-large-finetune of Seed-TTS-eval"
    benchmark = "sim_seed_tts"
    """The score that `sim_o` is too, with this encoder."""
    whole_clip = True

    def __init__(self, path: Path) -> None:
        file = path / FILE_NAME if path.is_dir() else path
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)["model"]
            state = {name: tensor.float() for name, tensor in state.items()}
            self._wavlm = _wavlm(state)
            with torch.device("meta"):
                self._ecapa = _Ecapa(state)
            expected = self._ecapa.state_dict()
            self._ecapa.load_state_dict({name: state[name] for name in expected}, assign=True)
        except (KeyError, OSError, RuntimeError, AttributeError, TypeError) as error:
            raise ValueError(f"{file.name}: not the speaker encoder of Seed-TTS-eval ({error}).") from error
        self._ecapa.eval()

    @torch.no_grad()
    def embed(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[n] float32 -> [256] float32 of length 1."""
        samples = torch.from_numpy(at_16_khz(wave, sample_rate).copy())
        normalised = functional.layer_norm(samples, samples.shape)
        output = self._wavlm(normalised[None], output_hidden_states=True)
        # What each layer is given, and what the encoder gives: in transformers 5 the last state is not normalised yet.
        states = [*output.hidden_states[:-1], output.last_hidden_state]
        vector = self._ecapa(torch.stack(states))[0].numpy()
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def _wavlm(state: dict[str, torch.Tensor]) -> Any:
    """The upstream model, with its sizes read from the weights."""
    from transformers import WavLMConfig, WavLMModel

    weights = {name.removeprefix(_UPSTREAM): tensor for name, tensor in state.items() if name.startswith(_UPSTREAM)}
    position = weights["encoder.pos_conv.0.weight_v"]
    attention = "encoder.layers.0.self_attn."
    hidden = len(position)
    config = WavLMConfig(
        hidden_size=hidden,
        num_hidden_layers=len([name for name in weights if name.endswith(".fc1.weight")]),
        num_attention_heads=weights[f"{attention}grep_a"].numel(),
        intermediate_size=len(weights["encoder.layers.0.fc1.weight"]),
        conv_dim=tuple(len(weights[f"feature_extractor.conv_layers.{layer}.0.weight"]) for layer in range(7)),
        num_conv_pos_embeddings=position.shape[2],
        num_conv_pos_embedding_groups=hidden // position.shape[1],
        num_buckets=len(weights[f"{attention}relative_attention_bias.weight"]),
        max_bucket_distance=_MAX_DISTANCE,
        feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=False, apply_spec_augment=False,
    )  # fmt: skip
    with torch.device("meta"):
        model = WavLMModel(config)
    renamed = {_renamed(name): tensor for name, tensor in weights.items()}
    model.load_state_dict({name: renamed[name] for name in model.state_dict() if name in renamed}, assign=True)
    return model.eval()


def _renamed(name: str) -> str:
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name


class _Ecapa(nn.Module):
    """Names of the parts are those of the published state, and sizes are read from it."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        channels, features, _ = state["layer1.conv.weight"].shape
        wide, pooled = len(state["conv.weight"]), len(state["pooling.linear1.weight"])
        squeezed = len(state["layer2.SE_Connect.linear1.weight"])
        self.feature_weight = nn.Parameter(torch.empty(len(state["feature_weight"])))
        self.instance_norm = nn.InstanceNorm1d(features)
        self.layer1 = _Convolved(features, channels, width=5, padding=2)
        self.layer2, self.layer3, self.layer4 = (
            _Block(channels, squeezed, dilation=dilation) for dilation in (2, 3, 4)
        )
        self.conv = nn.Conv1d(3 * channels, wide, 1)
        self.pooling = _Pooling(wide, pooled)
        self.bn = nn.BatchNorm1d(2 * wide)
        self.linear = nn.Linear(2 * wide, len(state["linear.weight"]))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[layers, 1, frames, features] -> [1, D]."""
        weights = torch.softmax(self.feature_weight, dim=0)[:, None, None, None]
        frames = self.instance_norm((weights * states).sum(dim=0).transpose(1, 2) + 1e-6)
        first = self.layer2(self.layer1(frames))
        second = self.layer3(first)
        third = self.layer4(second)
        wide = functional.relu(self.conv(torch.cat([first, second, third], dim=1)))
        embedding: torch.Tensor = self.linear(self.bn(self.pooling(wide)))
        return embedding


class _Convolved(nn.Module):
    """Convolution, ReLU, batch norm."""

    def __init__(self, before: int, after: int, *, width: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, width, padding=padding)
        self.bn = nn.BatchNorm1d(after)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.bn(functional.relu(self.conv(frames)))
        return normed


class _Res2(nn.Module):
    """Eight groups of channels; each but the last is convolved together with the result of the group before."""

    def __init__(self, channels: int, *, dilation: int) -> None:
        super().__init__()
        self.width = channels // _SCALE
        convolutions = (nn.Conv1d(self.width, self.width, 3, padding=dilation, dilation=dilation) for _ in range(7))
        self.convs = nn.ModuleList(convolutions)
        self.bns = nn.ModuleList(nn.BatchNorm1d(self.width) for _ in range(_SCALE - 1))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        groups = frames.split(self.width, dim=1)
        results: list[torch.Tensor] = []
        for group, convolution, norm in zip(groups[:-1], self.convs, self.bns, strict=True):
            given = group + results[-1] if results else group
            results.append(norm(functional.relu(convolution(given))))
        return torch.cat([*results, groups[-1]], dim=1)


class _Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, squeezed)
        self.linear2 = nn.Linear(squeezed, channels)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(self.linear1(frames.mean(dim=2)))
        gated: torch.Tensor = frames * torch.sigmoid(self.linear2(hidden))[:, :, None]
        return gated


class _Block(nn.Module):
    def __init__(self, channels: int, squeezed: int, *, dilation: int) -> None:
        super().__init__()
        self.Conv1dReluBn1 = _Convolved(channels, channels)
        self.Res2Conv1dReluBn = _Res2(channels, dilation=dilation)
        self.Conv1dReluBn2 = _Convolved(channels, channels)
        self.SE_Connect = _Gate(channels, squeezed)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        inner = self.Conv1dReluBn2(self.Res2Conv1dReluBn(self.Conv1dReluBn1(frames)))
        result: torch.Tensor = frames + self.SE_Connect(inner)
        return result


class _Pooling(nn.Module):
    """Mean and standard deviation over frames, with attention per channel."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Conv1d(features, hidden, 1)
        self.linear2 = nn.Conv1d(hidden, features, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        attention = torch.softmax(self.linear2(torch.tanh(self.linear1(frames))), dim=2)
        mean = (attention * frames).sum(dim=2)
        variance = (attention * frames.square()).sum(dim=2) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-9).sqrt()], dim=1)
