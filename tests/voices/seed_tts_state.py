"""A tiny state with the names of the encoder that Seed-TTS-eval uses, filled with noise of fixed seeds."""

import math
from zlib import crc32

import numpy as np
import torch

HIDDEN, LAYERS, HEADS, INNER, CONV, BUCKETS = 16, 3, 2, 32, 8, 32
CHANNELS, WIDE, POOLED, SQUEEZED, EMBEDDING = 16, 24, 8, 8, 12
KERNELS = (10, 3, 3, 3, 3, 2, 2)


def _filled(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Noise that follows from the name; what scales or divides is near 1."""
    values = np.random.default_rng(crc32(name.encode())).standard_normal(shape)
    if name.endswith(("running_var", "norm.weight", "bn.weight", "grep_a", "weight_g", ".2.1.weight")):
        return torch.from_numpy(np.exp(0.2 * values)).float()
    fan_in = max(1, math.prod(shape[1:]))
    return torch.from_numpy(values * (1.5 / math.sqrt(fan_in) if len(shape) > 1 else 0.3)).float()


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (size,) for part in ("weight", "bias")}


def _batch_norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return _norm(name, size) | {f"{name}.running_mean": (size,), f"{name}.running_var": (size,)}


def _linear(name: str, to: int, given: int, *width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (to, given, *width), f"{name}.bias": (to,)}


def _wavlm() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"mask_emb": (HIDDEN,)}
    for at, kernel in enumerate(KERNELS):
        shapes[f"feature_extractor.conv_layers.{at}.0.weight"] = (CONV, CONV if at else 1, kernel)
        shapes |= _norm(f"feature_extractor.conv_layers.{at}.2.1", CONV)
    shapes |= _norm("layer_norm", CONV) | _linear("post_extract_proj", HIDDEN, CONV)
    shapes |= {"encoder.pos_conv.0.weight_g": (1, 1, 8), "encoder.pos_conv.0.weight_v": (HIDDEN, HIDDEN // 2, 8)}
    shapes |= {"encoder.pos_conv.0.bias": (HIDDEN,)} | _norm("encoder.layer_norm", HIDDEN)
    for layer in range(LAYERS):
        here = f"encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{here}.self_attn.{part}", HIDDEN, HIDDEN)
        shapes |= _linear(f"{here}.self_attn.grep_linear", 8, HIDDEN // HEADS)
        shapes |= {f"{here}.self_attn.grep_a": (1, HEADS, 1, 1)}
        shapes |= _linear(f"{here}.fc1", INNER, HIDDEN) | _linear(f"{here}.fc2", HIDDEN, INNER)
        shapes |= _norm(f"{here}.self_attn_layer_norm", HIDDEN) | _norm(f"{here}.final_layer_norm", HIDDEN)
    return shapes | {"encoder.layers.0.self_attn.relative_attention_bias.weight": (BUCKETS, HEADS)}


def _ecapa() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"feature_weight": (LAYERS + 1,)}
    shapes |= _linear("layer1.conv", CHANNELS, HIDDEN, 5) | _batch_norm("layer1.bn", CHANNELS)
    for layer in (2, 3, 4):
        for part in ("Conv1dReluBn1", "Conv1dReluBn2"):
            shapes |= _linear(f"layer{layer}.{part}.conv", CHANNELS, CHANNELS, 1)
            shapes |= _batch_norm(f"layer{layer}.{part}.bn", CHANNELS)
        for group in range(7):
            shapes |= _linear(f"layer{layer}.Res2Conv1dReluBn.convs.{group}", CHANNELS // 8, CHANNELS // 8, 3)
            shapes |= _batch_norm(f"layer{layer}.Res2Conv1dReluBn.bns.{group}", CHANNELS // 8)
        shapes |= _linear(f"layer{layer}.SE_Connect.linear1", SQUEEZED, CHANNELS)
        shapes |= _linear(f"layer{layer}.SE_Connect.linear2", CHANNELS, SQUEEZED)
    shapes |= _linear("conv", WIDE, 3 * CHANNELS, 1) | _linear("pooling.linear1", POOLED, WIDE, 1)
    shapes |= _linear("pooling.linear2", WIDE, POOLED, 1) | _batch_norm("bn", 2 * WIDE)
    return shapes | _linear("linear", EMBEDDING, 2 * WIDE)


def tiny_state() -> dict[str, torch.Tensor]:
    shapes = {f"feature_extract.model.{name}": shape for name, shape in _wavlm().items()} | _ecapa()
    state = {name: _filled(name, shape) for name, shape in shapes.items()}
    counts = [name for name in state if name.endswith("running_mean")]
    state |= {name.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for name in counts}
    return state | {"loss_calculator.projection.weight": torch.zeros(3, EMBEDDING)}  # of its training
