"""Free-running generation of this rank's prompts.

Guarantees
- One result per prompt, in order: a prompt for which generation fails has an `error` instead of codes.
- Out of memory halves the batch and retries, down to one prompt at a time.
- The caller isolates RNG, mode and caches; nothing here draws from a global generator.

    results = generate(adapter, prompts, SamplingSettings(), batch_size=16)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from tracker_logging.families.base import ModelAdapter, SamplingSettings
from tracker_logging.voices.prompt import VoicePrompt

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generated:
    """The result of one prompt: `codes` [K, T] int64 and why generation stopped, or the `error` that prevented it.

    `first_frame_s` as in `GeneratedCodes`.
    """

    voice_id: str
    codes: npt.NDArray[np.int64] | None = None
    stop_reason: str | None = None
    error: str | None = None
    first_frame_s: float | None = None

    def to_message(self) -> dict[str, Any]:
        """Plain JSON values."""
        codes = None if self.codes is None else self.codes.tolist()
        return {
            "voice_id": self.voice_id,
            "codes": codes,
            "stop_reason": self.stop_reason,
            "error": self.error,
            "first_frame_s": self.first_frame_s,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Generated:
        """The inverse of `to_message`."""
        codes = message["codes"]
        array = None if codes is None else np.array(codes)
        if array is not None:  # latents are floats
            array = array.astype(np.float32 if array.dtype.kind == "f" and array.size else np.int64)
        return cls(**{**message, "codes": array})


def generate(
    adapter: ModelAdapter,
    prompts: Sequence[VoicePrompt],
    settings: SamplingSettings,
    *,
    batch_size: int,
    timeout_s: float = math.inf,
    progress: Progress = lambda done: None,
) -> list[Generated]:
    """Generate all prompts, at most `batch_size` at a time. `progress` is called with how many more are done.

    After `timeout_s` seconds no further batch begins; the remaining prompts have an error.
    """
    results: list[Generated] = []
    deadline = time.monotonic() + timeout_s
    while len(results) < len(prompts):
        if results and time.monotonic() > deadline:
            return results + not_generated(prompts[len(results) :], f"not begun within {timeout_s:g} s")
        batch = prompts[len(results) : len(results) + batch_size]
        try:
            outputs = adapter.generate([prompt.prompt for prompt in batch], settings)
        except Exception as error:
            if _out_of_memory(error) and len(batch) > 1:
                batch_size = len(batch) // 2
                _free_memory()
                continue
            results += not_generated(batch, f"{type(error).__name__}: {error}")
        else:
            results += [
                Generated(
                    voice_id=prompt.voice_id,
                    codes=output.codes,
                    stop_reason=output.stop_reason,
                    first_frame_s=output.first_frame_s,
                )
                for prompt, output in zip(batch, outputs, strict=True)
            ]
        progress(len(batch))
    return results


def not_generated(prompts: Sequence[VoicePrompt], reason: str) -> list[Generated]:
    """Results without codes, with the reason."""
    return [Generated(voice_id=prompt.voice_id, error=reason) for prompt in prompts]


@contextmanager
def progress_bar(title: str, *, total: int, shown: bool) -> Iterator[Progress]:
    """A function to call with how many more are done. The bar is drawn if `shown`, on a terminal only."""
    # tqdm takes None for "only on a terminal".
    with tqdm(total=total, desc=title, leave=False, disable=None if shown and total else True) as bar:
        yield lambda done: bar.update(done) and None


def _out_of_memory(error: Exception) -> bool:
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _free_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
