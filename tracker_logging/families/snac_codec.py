"""SNAC (package `snac`) behind the `AudioCodec` protocol: codebooks of several rates, as one frame of all their codes.

A frame is one code of the slowest codebook and what it spans in the faster ones, in the order of time: with strides
(4, 2, 1) `c0 c1 c2 c2 c1 c2 c2`, the seven tokens that Orpheus predicts.

>>> [(level, at) for level, at in frame_order((4, 2, 1))]
[(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (2, 2), (2, 3)]

    codec = SnacCodec.from_directory("checkpoints/snac_24khz")
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tracker_logging.data.sample import DataError
from tracker_logging.families.model_codec import Codes, Wave, weights_digest


class SnacCodec:
    """See `AudioCodec`. `model` is a `snac.SNAC`, of which a copy is used. The noise that its decoder adds comes from
    a generator of the codec: a clip is repeatable, and the random state of the training is not touched."""

    def __init__(self, model: Any) -> None:
        self.model = _copy(type(model), _arguments(model), model.state_dict()).to(next(model.parameters()).device)
        strides = tuple(model.vq_strides)
        self._order = list(frame_order(strides))
        self._per_frame = [strides[0] // stride for stride in strides]
        self.sample_rate = int(model.sampling_rate)
        self.frame_rate = self.sample_rate / float(model.hop_length * strides[0])
        self.num_codebooks = len(self._order)
        self.codebook_size = int(model.codebook_size)
        self.identity = f"snac:{weights_digest(model, seed=str(strides))}"
        self._lock = threading.Lock()

    @classmethod
    def from_directory(cls, path: str) -> SnacCodec:
        """From a directory with `config.json` and `pytorch_model.bin`. Raises `DataError` with what is missing."""
        try:
            from snac import SNAC
        except ImportError as error:
            raise DataError(f"{path}: this codec is SNAC, and its package is missing. Install snac.") from error
        try:
            return cls(SNAC.from_pretrained(path))
        except (OSError, RuntimeError, TypeError) as error:
            raise DataError(f"{path}: no SNAC codec there ({error}).") from error

    def __getstate__(self) -> dict[str, Any]:
        weights = {name: weight.detach().cpu() for name, weight in self.model.state_dict().items()}
        return {**vars(self), "model": (type(self.model), _arguments(self.model), weights), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "model": _copy(*state["model"]), "_lock": threading.Lock()})

    @torch.no_grad()
    def encode(self, wave: Wave) -> Codes:
        """[n] float32 at `sample_rate` -> codes [K, T] int64; silence is appended to whole frames."""
        values = torch.from_numpy(np.ascontiguousarray(wave))[None, None].to(self._device)
        with self._lock:
            levels = [
                codes[0].cpu().unflatten(-1, (-1, n))
                for codes, n in zip(self._encode(values), self._per_frame, strict=True)
            ]
        return torch.stack([levels[level][:, at] for level, at in self._order]).to(torch.int64).numpy()  # type: ignore[no-any-return]

    @torch.no_grad()
    def decode(self, codes: Codes) -> Wave:
        """codes [K, T] int64 -> [n] float32 at `sample_rate`. No frames decode to no samples."""
        if codes.shape[1] == 0:
            return np.zeros(0, dtype=np.float32)
        by_slot = torch.from_numpy(np.ascontiguousarray(codes)).to(self._device)
        levels = [
            torch.stack([by_slot[slot] for slot, (of, _) in enumerate(self._order) if of == level], dim=1).reshape(
                1, -1
            )
            for level in range(len(self._per_frame))
        ]
        with self._lock:
            return self.model.decode(levels).reshape(-1).float().cpu().numpy()  # type: ignore[no-any-return]

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    def _encode(self, values: torch.Tensor) -> Sequence[torch.Tensor]:
        codes: Sequence[torch.Tensor] = self.model.encode(values)
        return codes


def frame_order(strides: Sequence[int], level: int = 0, at: int = 0) -> Iterator[tuple[int, int]]:
    """(level, index within the frame) of the codes of a frame: each before those that it spans in the next level."""
    yield level, at
    if level + 1 < len(strides):
        spanned = strides[level] // strides[level + 1]
        for below in range(spanned * at, spanned * (at + 1)):
            yield from frame_order(strides, level + 1, below)


def is_snac(path: Path) -> bool:
    """Whether a directory holds a SNAC checkpoint."""
    try:
        return "vq_strides" in json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _arguments(model: Any) -> dict[str, Any]:
    """What the class was called with; it keeps all of it but two switches."""
    names = (
        "sampling_rate", "encoder_dim", "encoder_rates", "latent_dim", "decoder_dim", "decoder_rates",
        "attn_window_size", "codebook_size", "codebook_dim", "vq_strides",
    )  # fmt: skip
    depthwise = any(isinstance(part, nn.Conv1d) and part.groups > 1 for part in model.encoder.modules())
    return {name: getattr(model, name) for name in names} | {"noise": bool(_noisy(model)), "depthwise": depthwise}


def _copy(kind: Any, arguments: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Any:
    """A new model: modules with weight norm can neither be pickled nor share a class with a copy that is changed."""
    with torch.random.fork_rng(devices=[]):
        model = kind(**arguments).eval()
    model.load_state_dict(weights)
    for block in _noisy(model):
        block.forward = partial(_add_noise, block)  # type: ignore[method-assign]
    return model


def _noisy(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.modules() if type(part).__name__ == "NoiseBlock"]


def _add_noise(block: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """What `snac.layers.NoiseBlock` computes, with noise of a generator of its own."""
    batch, _, length = hidden.shape
    noise = torch.randn((batch, 1, length), generator=torch.Generator().manual_seed(0))
    added: torch.Tensor = hidden + noise.to(hidden.device, hidden.dtype) * block.linear(hidden)  # type: ignore[operator]
    return added
