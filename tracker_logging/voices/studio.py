"""One run's voices on one rank: conditioning and generation here, gathering and scoring on rank 0's own thread.

Guarantees
- The training thread never waits for another rank, nor for scoring: a thread of rank 0 does.
- A rank that fails, or sends nothing in time, yields rows with the reason.
- When rounds come faster than they can be scored, a round is refused with a message, and training goes on.
- `waiting` holds the rounds that are not wholly logged yet; the studio of a resumed training can take them up.

    studio = VoiceStudio(samples, processor, VoiceSettings(), exchange=exchange, scorer=scorer, emit=emit)
    studio.condition(adapter, device=device, step=100)
    studio.speak(adapter, step=100)
    studio.close()
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from tracker_logging import tags
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.events import Event, Scalars
from tracker_logging.families.base import ModelAdapter
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.conditioning import conditioning_losses, conditioning_rows, other_speakers
from tracker_logging.voices.conditioning_summary import conditioning_scalars
from tracker_logging.voices.exchange import Exchange
from tracker_logging.voices.generation import Spoken, failed, speak
from tracker_logging.voices.progress import progress_bar
from tracker_logging.voices.prompt import VoicePrompt, build_prompt, choose_samples
from tracker_logging.voices.scoring import Scorer
from tracker_logging.voices.settings import VoiceSettings
from tracker_logging.worker import WorkerThread

logger = logging.getLogger("tracker_logging")

_ROUNDS_WAITING = 32
Message = dict[str, Any]


class VoiceStudio:
    """Made on all ranks before the first step; all methods are called by all ranks on the training thread.

    `scorer` makes what scores these prompts and is called on rank 0 only. `emit` takes events on rank 0, from a thread
    of its own. Raises `DataError` if no sample has a voice prompt or a recording cannot be read.
    """

    def __init__(
        self,
        samples: Sequence[VoiceSample],
        processor: SpeechProcessor,
        settings: VoiceSettings,
        *,
        exchange: Exchange,
        scorer: Callable[[Sequence[VoicePrompt]], Scorer],
        emit: Callable[[Event], None],
    ) -> None:
        chosen = choose_samples(samples, count=settings.max_clips)
        if not chosen:
            raise DataError("No sample for the voices has a reference recording. Give some, or turn zero_shot off.")
        self.prompts = tuple(build_prompt(one, processor, settings.sampling, seed=settings.seed) for one in chosen)
        self._settings = settings
        self._exchange = exchange
        self._emit = emit
        self._collate = processor.collator()
        self._mine = exchange.share(self.prompts)
        self._swapped = exchange.share(_swapped(self.prompts, processor, settings)) if settings.cond_gain else []
        conditioned = exchange.share(self.prompts[: settings.conditioning_clips])
        rows = conditioning_rows(self.prompts[: settings.conditioning_clips], processor)
        self._rows = [row for row in rows if row.voice_id in {one.voice_id for one in conditioned}]
        self._worker = WorkerThread(depth=_ROUNDS_WAITING)
        self._waiting: dict[str, list[Message | None]] = {}
        self._taken_up: set[str] = set()
        self._scorer = scorer(self.prompts) if exchange.rank == 0 else None

    def condition(self, adapter: ModelAdapter, *, device: torch.device, step: int) -> None:
        """Measure the conditioning gap on this rank's prompts; rank 0's thread emits it for all."""

        def measure() -> Message:
            batch_size = self._settings.batch_size
            losses = conditioning_losses(adapter, self._rows, self._collate, device=device, batch_size=batch_size)
            return {"losses": losses}

        self._round(f"conditioning/{step}", measure)

    def speak(self, adapter: ModelAdapter, *, step: int) -> None:
        """Speak this rank's prompts; rank 0's thread scores those of all ranks."""

        def measure() -> Message:
            start = time.perf_counter()
            said = {"spoken": self._speak(adapter, self._mine), "swapped": self._speak(adapter, self._swapped)}
            return said | {"seconds": time.perf_counter() - start}

        self._round(f"voices/{step}", measure)

    @property
    def waiting(self) -> dict[str, list[Message | None]]:
        """Rounds with events still to come, by "voices/STEP" or "conditioning/STEP": the ranks' messages (plain JSON).

        Rank 0 only; None for a rank whose message was not collected yet.
        """
        return self._waiting.copy()

    def take_up(self, waiting: Mapping[str, list[Message | None]]) -> None:
        """Score the `waiting` of an earlier process. A rank whose message is not there has rows with the reason."""
        for key, messages in waiting.items():
            self._taken_up.add(key)
            self._finish_later(key, messages, partial(list, messages))

    def take_errors(self) -> list[Exception]:
        """What was raised on the scoring thread since the last call."""
        return self._worker.take_errors()

    def close(self) -> bool:
        """Wait for scoring, at most the time-out. False if it was not done by then."""
        done = self._worker.close(timeout_s=self._settings.timeout_s)
        if self._scorer is not None:
            self._scorer.close()
        return done

    def _speak(self, adapter: ModelAdapter, prompts: Sequence[VoicePrompt]) -> list[Message]:
        settings = self._settings
        with progress_bar("Voices", total=len(prompts), shown=self._exchange.rank == 0) as progress:
            spoken = speak(
                adapter,
                prompts,
                settings.sampling,
                batch_size=settings.batch_size,
                timeout_s=settings.timeout_s,
                progress=progress,
            )
        return [one.to_message() for one in spoken]

    def _round(self, key: str, measure: Callable[[], Message]) -> None:
        """Measure on this rank; on rank 0 gather and finish on the scoring thread. An error is sent, then raised."""
        try:
            message = measure()
        except Exception as error:
            self._hand_over(key, {"error": f"{type(error).__name__}: {error}"})
            raise
        self._hand_over(key, message)

    def _hand_over(self, key: str, message: Message) -> None:
        if self._exchange.rank != 0:
            self._exchange.publish(key, message)
        elif key not in self._taken_up:  # a training resumed at its last step speaks there again
            collect = partial(self._exchange.collect, key, own=message, timeout_s=self._settings.timeout_s)
            self._finish_later(key, [message] + [None] * (self._exchange.world_size - 1), collect)

    def _finish_later(
        self, key: str, messages: list[Message | None], collect: Callable[[], list[Message | None]]
    ) -> None:
        group, _, step = key.partition("/")
        finish = {"conditioning": self._emit_conditioning, "voices": self._emit_voices}[group]

        def job() -> None:
            try:
                self._waiting[key] = collect()
                finish(int(step), self._waiting[key])
            finally:
                del self._waiting[key]

        self._waiting[key] = messages
        if not self._worker.submit(job):
            del self._waiting[key]
            logger.warning("Voices are scored more slowly than they come: %s is left out. Raise --voice_steps.", key)

    def _emit_conditioning(self, step: int, messages: Sequence[Message | None]) -> None:
        there = [message["losses"] for message in messages if message is not None and "losses" in message]
        gathered = {voice: own for one in there for voice, own in one.items()}
        # In the order of the prompts, on which the drawn interval depends, not of the ranks.
        losses = {one.voice_id: gathered[one.voice_id] for one in self.prompts if one.voice_id in gathered}
        self._emit(Scalars(step=step, values=conditioning_scalars(losses, self._speakers())))

    def _emit_voices(self, step: int, messages: Sequence[Message | None]) -> None:
        assert self._scorer is not None
        start = time.perf_counter()
        spoken, swapped = self._gathered(messages, "spoken"), self._gathered(messages, "swapped")
        for event in self._scorer.score(step=step, spoken=spoken, swapped=swapped):
            self._emit(event)
        seconds = [message["seconds"] for message in messages if message is not None and "seconds" in message]
        costs = {tags.VOICE_ROUND_COST(part="scoring"): time.perf_counter() - start}
        if seconds:
            costs[tags.VOICE_ROUND_COST(part="generation")] = max(seconds)
        self._emit(Scalars(step=step, values=costs))

    def _gathered(self, messages: Sequence[Message | None], what: str) -> list[Spoken]:
        spoken: list[Spoken] = []
        for rank, message in enumerate(messages):
            if message is not None and what in message:
                spoken += [Spoken.from_message(one) for one in message[what]]
            else:
                silent = f"sent nothing within {self._settings.timeout_s:g} s"
                reason = silent if message is None else f"failed: {message['error']}"
                spoken += failed(self.prompts[rank :: self._exchange.world_size], f"rank {rank} {reason}")
        return spoken

    def _speakers(self) -> dict[str, str]:
        return {one.voice_id: one.speaker for one in self.prompts}


def _swapped(prompts: Sequence[VoicePrompt], processor: SpeechProcessor, settings: VoiceSettings) -> list[VoicePrompt]:
    """The same texts with another speaker's prompt, under the voice ids of the texts."""
    swapped = []
    for one, partner in zip(prompts, other_speakers([one.speaker for one in prompts]), strict=True):
        if partner is not None:
            sample = one.sample.with_reference_of(prompts[partner].sample)
            other = build_prompt(sample, processor, settings.sampling, seed=settings.seed)
            swapped.append(replace(other, voice_id=one.voice_id))
    return swapped
