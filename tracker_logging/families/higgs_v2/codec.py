"""`HiggsAudioV2TokenizerModel` behind the `AudioCodec` protocol.

Guarantees
- Runs on the model's device, without gradient; calls from several threads take turns.
- `identity` is a hash of all weights, so that cached codes are never those of another codec.

    codec = HiggsCodec.from_pretrained("checkpoints/higgs-audio-v2-tokenizer")
    codec.decode(codec.encode(wave))

The transformers class needs torchaudio.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.data.sample import DataError


class HiggsCodec:
    """See `AudioCodec`. `model` is a `HiggsAudioV2TokenizerModel` in eval mode."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        self.sample_rate = int(model.config.sample_rate)
        self.frame_rate = float(model.config.sample_rate / model.config.hop_length)
        self.num_codebooks = int(model.config.num_quantizers)
        self.codebook_size = int(model.config.codebook_size)
        self.identity = _identity(model)
        self._one_at_a_time = threading.Lock()

    @classmethod
    def from_pretrained(cls, path: str) -> HiggsCodec:
        """From a directory or hub name, on the GPU if there is one. Raises `DataError` with what is missing."""
        try:
            from transformers import HiggsAudioV2TokenizerModel
        except ImportError as error:
            raise DataError(f"The codec of Higgs Audio v2 cannot be imported ({error}). Install torchaudio.") from error
        try:
            model = HiggsAudioV2TokenizerModel.from_pretrained(path)
        except ImportError as error:
            raise DataError(f"The codec of Higgs Audio v2 needs a package that is missing: {error}") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: no audio tokenizer there ({error}). Check --audio_tokenizer_path.") from error
        return cls(model.to("cuda" if torch.cuda.is_available() else "cpu"))

    def __getstate__(self) -> dict[str, Any]:
        """With weights on the CPU: a codec that goes to another process leaves the GPU to this one."""
        weights = {name: weight.detach().cpu() for name, weight in self.model.state_dict().items()}
        return {**vars(self), "model": (type(self.model), self.model.config, weights), "_one_at_a_time": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        model_class, config, weights = state["model"]
        model = model_class(config).eval()
        model.load_state_dict(weights, assign=True)
        vars(self).update({**state, "model": model, "_one_at_a_time": threading.Lock()})

    @torch.no_grad()
    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """[n] float32 at `sample_rate` -> codes [K, T] int64."""
        values = torch.from_numpy(np.ascontiguousarray(wave))[None, None].to(self.model.device)
        with self._one_at_a_time:
            codes = self.model.encode(values).audio_codes[0]
        return codes.to(torch.int64).cpu().numpy()  # type: ignore[no-any-return]

    @torch.no_grad()
    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """codes [K, T] int64 -> [n] float32 at `sample_rate`. No frames decode to no samples."""
        if codes.shape[1] == 0:
            return np.zeros(0, dtype=np.float32)
        values = torch.from_numpy(np.ascontiguousarray(codes))[None].to(self.model.device)
        with self._one_at_a_time:
            wave = self.model.decode(values).audio_values
        return wave.reshape(-1).float().cpu().numpy()  # type: ignore[no-any-return]


def _identity(model: Any) -> str:
    digest = hashlib.sha256(f"{model.config.sample_rate} {model.config.num_quantizers}".encode())
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return f"higgs-audio-v2-tokenizer:{digest.hexdigest()[:16]}"
