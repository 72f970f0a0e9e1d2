"""BiCodec of Spark-TTS (package `sparktts`, from the project's repository) behind the `AudioCodec` protocol.

Row 0 of the codes [2, T] is the semantic tokens; row 1 is the global tokens of the clip, `tokens_per_clip` of them,
repeated along the clip. A clip with fewer frames than global tokens (0.64 s) cannot be written so: it has no codes.

    codec = BiCodec.from_directory("checkpoints/Spark-TTS-0.5B")
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from tracker_logging.data.sample import DataError
from tracker_logging.families.model_codec import Codes, Wave, weights_digest


class BiCodec:
    """See `AudioCodec`. `tokenizer` is a `BiCodecTokenizer`."""

    num_codebooks = 2
    tokens_per_clip = 32
    codebook_size = 8192  # of the semantic tokens; there are 4096 global ones

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.sample_rate = int(tokenizer.config["sample_rate"])
        self.frame_rate = self.sample_rate / float(tokenizer.config["latent_hop_length"])
        self.identity = f"bicodec:{weights_digest(tokenizer.model)}"
        self._lock = threading.Lock()

    @classmethod
    def from_directory(cls, path: str) -> BiCodec:
        """From a checkpoint of Spark-TTS, with `BiCodec` and its feature model. Raises `DataError`."""
        try:
            from sparktts.models.audio_tokenizer import BiCodecTokenizer
        except ImportError as error:
            raise DataError(
                f"{path}: this codec is BiCodec, and the package sparktts cannot be imported ({error}). Put the "
                "repository of Spark-TTS on PYTHONPATH."
            ) from error
        try:
            return cls(BiCodecTokenizer(Path(path), device=torch.device("cpu")))
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path}: BiCodec cannot be opened ({error}).") from error

    @torch.no_grad()
    def encode(self, wave: Wave) -> Codes:
        """[n] float32 at `sample_rate` -> codes [2, T] int64."""
        with tempfile.TemporaryDirectory() as scratch, self._lock:  # the package reads files only
            soundfile.write(path := Path(scratch) / "clip.wav", wave, self.sample_rate, subtype="FLOAT")
            of_clip, of_frames = (tokens.reshape(-1).cpu().numpy() for tokens in self._tokenizer.tokenize(str(path)))
        if len(of_frames) < len(of_clip):
            return np.zeros((2, 0), dtype=np.int64)
        return np.stack([of_frames, np.resize(of_clip, len(of_frames))]).astype(np.int64)

    @torch.no_grad()
    def decode(self, codes: Codes) -> Wave:
        """codes [2, T] int64 -> [n] float32 at `sample_rate`; no samples for fewer frames than global tokens."""
        if codes.shape[1] < self.tokens_per_clip:
            return np.zeros(0, dtype=np.float32)
        of_clip = torch.from_numpy(codes[1:, : self.tokens_per_clip].copy())
        with self._lock:
            wave = self._tokenizer.detokenize(of_clip, torch.from_numpy(codes[:1].copy()))
        return np.asarray(wave, dtype=np.float32).reshape(-1)


def is_bicodec(path: Path) -> bool:
    """Whether a directory is a checkpoint of Spark-TTS."""
    return (path / "BiCodec").is_dir() and (path / "config.yaml").is_file()
