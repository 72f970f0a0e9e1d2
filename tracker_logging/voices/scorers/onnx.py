"""ONNX models, run on one thread so that training keeps the others, unless more are asked for.

Guarantees
- No busy waiting, no random numbers, CPU only.
- A model inside an installed package is found without importing the package: some imports set the process's thread
  count or need packages that are not installed.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tracker_logging.events import FloatArray

RATE = 16_000


def session(model: Path | bytes, *, threads: int = 1) -> Any:
    """An `onnxruntime.InferenceSession` of a file or a serialised model. Raises ImportError without onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )


def package_folder(name: str) -> Path:
    """The directory of an installed package. Raises ImportError if it is not installed."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{name} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def at_16_khz(wave: FloatArray, sample_rate: int) -> FloatArray:
    """[n] float32 resampled to 16 kHz."""
    return resampled(wave, sample_rate, RATE)


def resampled(wave: FloatArray, sample_rate: int, to: int) -> FloatArray:
    """[n] float32 resampled to `to` Hz."""
    import soxr

    return wave if sample_rate == to else np.asarray(soxr.resample(wave, sample_rate, to), dtype=np.float32)
