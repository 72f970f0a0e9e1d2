"""A codec class of transformers (Mimi, DAC, EnCodec at 24 kHz, that of Higgs Audio v2) as an `AudioCodec`.

Guarantees
- Runs on the model's device, without gradient; calls from several threads are serialised.
- `identity` contains a hash of all weights, so that cached codes are never those of another codec.

    codec = ModelCodec.copy_of(csm.codec_model)      # CSM carries its codec inside
    codec = ModelCodec(DacModel.from_pretrained("descript/dac_44khz"))
"""

from __future__ import annotations

import copy
import hashlib
import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Wave = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]


class ModelCodec:
    """See `AudioCodec`. `model` is put into eval mode.

    DAC encodes whole frames only: the wave is padded with silence as its feature extractor and Dia's do, because the
    samples of a partial frame would be lost.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model = model.eval()
        self.sample_rate = int(_first(config, "output_sampling_rate", "sampling_rate", "sample_rate"))
        hop_length = getattr(config, "hop_length", None)  # exact; `frame_rate` of DacConfig is rounded up
        self.frame_rate = float(self.sample_rate / hop_length if hop_length else config.frame_rate)
        levels = getattr(config, "quantization_levels", None)  # finite scalar quantization: one codebook
        self.num_codebooks = 1 if levels else int(_first(config, "n_codebooks", "num_quantizers"))
        self.codebook_size = math.prod(levels) if levels else int(config.codebook_size)
        self.identity = self._identity()
        self._arguments, self._scales = {}, {}
        if config.model_type == "encodec":
            if config.audio_channels != 1 or config.normalize or config.chunk_length is not None:
                raise ValueError("EnCodec is supported for one channel without chunks: the 24 kHz model.")
            self._arguments = {"bandwidth": config.target_bandwidths[-1]}
            self._scales = {"audio_scales": [None]}
        self._whole_frames = int(config.hop_length) if config.model_type == "dac" else 1
        self._lock = threading.Lock()

    @classmethod
    def copy_of(cls, model: Any) -> ModelCodec:
        """A codec with its own copy of `model`, which is left as it is: for the codec inside a model in training."""
        return cls(copy.deepcopy(model))

    def first(self, codebooks: int) -> ModelCodec:
        """The same codec with its first codebooks alone: residual codebooks refine those before them."""
        part = object.__new__(type(self))  # `copy` would use `__getstate__`, which duplicates the weights
        vars(part).update(vars(self))
        part.num_codebooks = codebooks
        part.identity = f"{self.identity}:{codebooks}"
        return part

    def __getstate__(self) -> dict[str, Any]:
        """With weights on the CPU: a codec that is sent to another process leaves the GPU to this one."""
        weights = {name: weight.detach().cpu() for name, weight in self.model.state_dict().items()}
        return {**vars(self), "model": (type(self.model), self.model.config, weights), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        model_class, config, weights = state["model"]
        model = model_class(config).eval()
        model.load_state_dict(weights, assign=True)
        vars(self).update({**state, "model": model, "_lock": threading.Lock()})

    @torch.no_grad()
    def encode(self, wave: Wave) -> Codes:
        """[n] float32 at `sample_rate` -> codes [K, T] int64."""
        padded = np.pad(wave, (0, -len(wave) % self._whole_frames))
        values = torch.from_numpy(np.ascontiguousarray(padded))[None, None].to(self.model.device)
        with self._lock:
            codes = self.model.encode(values, **self._arguments).audio_codes
        codes = codes.reshape(-1, codes.shape[-1])[: self.num_codebooks]  # EnCodec: [chunks, B, K, T]
        return codes.to(torch.int64).cpu().numpy()  # type: ignore[no-any-return]

    @torch.no_grad()
    def decode(self, codes: Codes) -> Wave:
        """codes [K, T] int64 -> [n] float32 at `sample_rate`. No frames decode to no samples."""
        if codes.shape[1] == 0:
            return np.zeros(0, dtype=np.float32)
        values = torch.from_numpy(np.ascontiguousarray(codes))[None].to(self.model.device)
        values = values[None] if self._scales else values
        with self._lock:
            wave = self.model.decode(audio_codes=values, **self._scales).audio_values  # DAC's first argument is other
        return wave.reshape(-1).float().cpu().numpy()  # type: ignore[no-any-return]

    def _identity(self) -> str:
        return f"{self.model.config.model_type}:{weights_digest(self.model)}"


def weights_digest(model: nn.Module, *, seed: str = "") -> str:
    """16 hexadecimal digits that depend on `seed` and on the names and values of all weights and buffers."""
    digest = hashlib.sha256(seed.encode())
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _first(config: Any, *names: str) -> Any:
    """The first of these config values that is set."""
    return next(value for name in names if (value := getattr(config, name, None)) is not None)
