"""Free-running generation of this rank's prompts.

Guarantees
- One result per prompt, in order, whatever happens: a prompt that cannot be spoken has an `error` instead of codes.
- Out of memory halves the batch and goes on, down to one prompt at a time.
- The caller isolates RNG, mode and caches; nothing here draws from a global generator.

    spoken = speak(adapter, prompts, SamplingSettings(), batch_size=16)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.families.base import ModelAdapter, SamplingSettings
from tracker_logging.voices.prompt import VoicePrompt

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spoken:
    """What the model said to one prompt: `codes` [K, T] int64 and why it stopped, or the `error` that prevented it."""

    voice_id: str
    codes: npt.NDArray[np.int64] | None = None
    stop_reason: str | None = None
    error: str | None = None

    def to_message(self) -> dict[str, Any]:
        """Plain JSON values."""
        codes = None if self.codes is None else self.codes.tolist()
        return {"voice_id": self.voice_id, "codes": codes, "stop_reason": self.stop_reason, "error": self.error}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Spoken:
        """What `to_message` gave."""
        codes = message["codes"]
        return cls(**{**message, "codes": None if codes is None else np.array(codes, dtype=np.int64)})


def speak(
    adapter: ModelAdapter,
    prompts: Sequence[VoicePrompt],
    settings: SamplingSettings,
    *,
    batch_size: int,
    timeout_s: float = math.inf,
    progress: Progress = lambda done: None,
) -> list[Spoken]:
    """Speak all prompts, at most `batch_size` at a time. `progress` is told how many more are done.

    After `timeout_s` seconds no further batch is begun; what is left has an error.
    """
    results: list[Spoken] = []
    deadline = time.monotonic() + timeout_s
    while len(results) < len(prompts):
        if results and time.monotonic() > deadline:
            return results + failed(prompts[len(results) :], f"not begun within {timeout_s:g} s")
        batch = prompts[len(results) : len(results) + batch_size]
        try:
            codes = adapter.generate([one.prompt for one in batch], settings)
        except Exception as error:
            if _out_of_memory(error) and len(batch) > 1:
                batch_size = len(batch) // 2
                _free_memory()
                continue
            results += failed(batch, f"{type(error).__name__}: {error}")
        else:
            results += [
                Spoken(voice_id=one.voice_id, codes=said.codes, stop_reason=said.stop_reason)
                for one, said in zip(batch, codes, strict=True)
            ]
        progress(len(batch))
    return results


def failed(prompts: Sequence[VoicePrompt], reason: str) -> list[Spoken]:
    """Empty rows with their reason."""
    return [Spoken(voice_id=one.voice_id, error=reason) for one in prompts]


def _out_of_memory(error: Exception) -> bool:
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _free_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
