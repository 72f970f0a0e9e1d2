"""A codec with the interface of boson's `HiggsAudioTokenizer` behind the `AudioCodec` protocol.

The interface (read in boson_multimodal 0.1.1): `encode(wave, sr)` -> codes [K, T], `decode(codes [1, K, T])` -> wave,
`sampling_rate`, `tps` (frames per second), `num_codebooks` and `codebook_size`.

    codec = BosonCodec(load_higgs_audio_tokenizer("bosonai/higgs-audio-v2-tokenizer"))
    codec = open_original_codec(Path("higgs-audio-v2-tokenizer"))       # the same from a directory
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tracker_logging.data.sample import DataError, shown
from tracker_logging.families.model_codec import weights_digest

_ORIGINAL_ONLY = "semantic_techer"  # a setting, so spelled, that only the original codec's config.json has
_INTERFACE = ("encode", "decode", "sampling_rate", "tps", "num_codebooks", "codebook_size")


class BosonCodec:
    """See `AudioCodec`. Calls from several threads are serialised."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.sample_rate = int(tokenizer.sampling_rate)
        self.frame_rate = float(tokenizer.tps)
        self.num_codebooks = int(tokenizer.num_codebooks)
        self.codebook_size = int(tokenizer.codebook_size)
        weights = f":{weights_digest(tokenizer)}" if isinstance(tokenizer, nn.Module) else ""
        self.identity = f"{type(tokenizer).__name__}:{self.num_codebooks}x{self.codebook_size}{weights}"
        self._lock = threading.Lock()

    @classmethod
    def fits(cls, candidate: Any) -> bool:
        """Whether an object has the interface."""
        return all(hasattr(candidate, name) for name in _INTERFACE)

    def __getstate__(self) -> dict[str, Any]:
        """Without the lock, which cannot be sent to another process."""
        return {**vars(self), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_lock": threading.Lock()})

    @torch.no_grad()
    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """[n] float32 at `sample_rate` -> codes [K, T] int64."""
        with self._lock:
            codes = self._tokenizer.encode(wave, self.sample_rate)
        return torch.as_tensor(codes).to(torch.int64).cpu().numpy()  # type: ignore[no-any-return]

    @torch.no_grad()
    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """codes [K, T] int64 -> [n] float32 at `sample_rate`. No frames decode to no samples."""
        if codes.shape[1] == 0:
            return np.zeros(0, dtype=np.float32)
        with self._lock:
            wave = self._tokenizer.decode(torch.from_numpy(np.ascontiguousarray(codes))[None])
        return torch.as_tensor(wave).reshape(-1).float().cpu().numpy()  # type: ignore[no-any-return]


def is_original_codec(directory: Path) -> bool:
    """Whether a directory has the codec of Higgs Audio v2 in boson's layout (config.json and model.pth)."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and _ORIGINAL_ONLY in config


def open_original_codec(directory: Path) -> BosonCodec:
    """The codec in boson's layout, opened with boson's code. Raises `DataError` if that cannot be imported."""
    try:
        from boson_multimodal.audio_processing.higgs_audio_tokenizer import load_higgs_audio_tokenizer
    except ImportError as error:
        raise DataError(
            f"--audio_tokenizer_path {shown(directory)}: the codec is in boson's layout, which needs boson_multimodal "
            f"and the packages of its codec ({error}). Use the transformers-native codec, for example "
            f"eustlb/higgs-audio-v2-tokenizer."
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return BosonCodec(load_higgs_audio_tokenizer(str(directory), device=device))
