"""One run's voices on one rank: conditioning and generation here, gathering and scoring on rank 0's own thread.

Guarantees
- The training thread never waits for another rank, nor for scoring: both happen on the scoring thread of rank 0.
- A rank that fails, or sends nothing in time, yields rows with the reason.
- When rounds come faster than they can be scored, a round is refused with a message, and training goes on.

    studio = VoiceStudio(samples, processor, VoiceSettings(), exchange=exchange, emit=session.emit)
    studio.condition(adapter, device=device, step=100)
    studio.speak(adapter, step=100)
    studio.close()
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from tracker_logging import tags
from tracker_logging.data.collator import VoiceCloningCollator
from tracker_logging.data.processor import SpeechProcessor
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.events import Event, Scalars
from tracker_logging.models.base import ModelAdapter
from tracker_logging.voices.conditioning import conditioning_losses, conditioning_rows
from tracker_logging.voices.conditioning_summary import conditioning_scalars
from tracker_logging.voices.exchange import Exchange
from tracker_logging.voices.generation import Spoken, failed, speak
from tracker_logging.voices.listening import Instruments
from tracker_logging.voices.prompt import build_prompt, choose_samples
from tracker_logging.voices.scoring import VoiceScorer
from tracker_logging.voices.settings import VoiceSettings
from tracker_logging.voices.worker import ScoringThread

logger = logging.getLogger("tracker_logging")

_ROUNDS_WAITING = 8


class VoiceStudio:
    """Made on all ranks before the first step; all methods are called by all ranks on the training thread.

    `emit` takes events on rank 0, from the scoring thread. Raises `DataError` if no sample has a voice prompt or a
    recording cannot be read.
    """

    def __init__(
        self,
        samples: Sequence[VoiceSample],
        processor: SpeechProcessor,
        settings: VoiceSettings,
        *,
        exchange: Exchange,
        instruments: Callable[[], Instruments],
        emit: Callable[[Event], None],
    ) -> None:
        chosen = choose_samples(samples, count=settings.max_clips)
        if not chosen:
            raise DataError("No sample for the voices has a reference recording. Give some, or turn zero_shot off.")
        self.prompts = tuple(build_prompt(one, processor, settings.sampling, seed=settings.seed) for one in chosen)
        self._settings = settings
        self._exchange = exchange
        self._emit = emit
        self._collate = VoiceCloningCollator.of(processor)
        self._mine = exchange.share(self.prompts)
        voices = {one.voice_id for one in self._mine}
        self._rows = [row for row in conditioning_rows(self.prompts, processor) if row.voice_id in voices]
        self._worker = ScoringThread(depth=_ROUNDS_WAITING)
        self._scorer = VoiceScorer(self.prompts, processor, instruments()) if exchange.rank == 0 else None

    def condition(self, adapter: ModelAdapter, *, device: torch.device, step: int) -> None:
        """Measure the conditioning gap on this rank's prompts; rank 0's thread emits it for all."""
        losses = conditioning_losses(
            adapter, self._rows, self._collate, device=device, batch_size=self._settings.batch_size
        )
        self._hand_over(f"conditioning/{step}", losses, lambda messages: self._emit_conditioning(step, messages))

    def speak(self, adapter: ModelAdapter, *, step: int) -> None:
        """Speak this rank's prompts; rank 0's thread scores those of all ranks."""
        start = time.perf_counter()
        spoken = speak(adapter, self._mine, self._settings.sampling, batch_size=self._settings.batch_size)
        message = {"spoken": [one.to_message() for one in spoken], "seconds": time.perf_counter() - start}
        self._hand_over(f"voices/{step}", message, lambda messages: self._emit_voices(step, messages))

    def take_errors(self) -> list[Exception]:
        """What was raised on the scoring thread since the last call."""
        return self._worker.take_errors()

    def close(self) -> bool:
        """Wait for scoring, at most the time-out. False if it was not done by then."""
        return self._worker.close(timeout_s=self._settings.timeout_s)

    def _hand_over(self, key: str, message: Any, finish: Callable[[list[Any | None]], None]) -> None:
        if self._exchange.rank != 0:
            self._exchange.publish(key, message)
            return

        def job() -> None:
            finish(self._exchange.collect(key, own=message, timeout_s=self._settings.timeout_s))

        if not self._worker.submit(job):
            logger.warning("Voices are scored more slowly than they come: %s is left out. Raise --voice_steps.", key)

    def _emit_conditioning(self, step: int, messages: Sequence[Any | None]) -> None:
        losses = {voice: own for message in messages if message is not None for voice, own in message.items()}
        self._emit(Scalars(step=step, values=conditioning_scalars(losses)))

    def _emit_voices(self, step: int, messages: Sequence[Any | None]) -> None:
        assert self._scorer is not None
        start = time.perf_counter()
        for event in self._scorer.score(step=step, spoken=self._gathered(messages)):
            self._emit(event)
        costs = {
            tags.VOICE_ROUND_COST(part="generation"): max(one["seconds"] for one in messages if one is not None),
            tags.VOICE_ROUND_COST(part="scoring"): time.perf_counter() - start,
        }
        self._emit(Scalars(step=step, values=costs))

    def _gathered(self, messages: Sequence[Any | None]) -> list[Spoken]:
        spoken: list[Spoken] = []
        for rank, message in enumerate(messages):
            if message is None:
                late = self.prompts[rank :: self._exchange.world_size]
                spoken += failed(late, f"rank {rank} sent nothing within {self._settings.timeout_s:g} s")
            else:
                spoken += [Spoken.from_message(one) for one in message["spoken"]]
        return spoken
