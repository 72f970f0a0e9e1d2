"""The voice rounds of a run on one rank: measure the conditioning gap, generate; rank 0 gathers, logs and scores.

Guarantees
- The training thread never waits for another rank or for scoring: threads of rank 0 do.
- A clip is logged as soon as it is generated and gathered; its scores follow as an update of the same voice and step.
- When scoring is late, fails or does not end in time, its clips stay logged; one message says how to score them later.
- A rank that fails, or sends nothing in time, yields rows with the reason.
- `unfinished` holds the rounds that are not fully logged yet; a resumed training passes them to `resume`.

    rounds = VoiceRounds(samples, processor, VoiceSettings(), exchange=exchange, scorer=open_scorer, emit=emit)
    rounds.measure_conditioning(adapter, device=device, step=100)
    rounds.generate(adapter, step=100)
    rounds.close()
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
from tracker_logging.data.audio import check_audio
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.events import Event, Scalars, Table
from tracker_logging.families.base import ModelAdapter, Processor, SamplingSettings
from tracker_logging.voices.clips import ClipDecoder, GeneratedClip, clip_event
from tracker_logging.voices.conditioning import (
    GAP_COLUMNS,
    conditioning_losses,
    conditioning_rows,
    conditioning_scalars,
    other_references,
    other_speakers,
    sample_gaps,
)
from tracker_logging.voices.evaluation import EvaluationNumbers, in_words
from tracker_logging.voices.exchange import Exchange
from tracker_logging.voices.generation import Generated, generate, not_generated, progress_bar
from tracker_logging.voices.prompt import VoicePrompt, build_prompt, choose_samples
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.scoring import Scorer
from tracker_logging.voices.settings import VoiceSettings
from tracker_logging.worker import WorkerThread

logger = logging.getLogger("tracker_logging")

_QUEUE_DEPTH = 32
_POLL_S = 0.02
_LATE_ROUNDS = 2  # rounds that wait for scores when another is generated
_DECODING_S = 30.0  # after the ranks were waited for
_SCORE_LATER = "Its clips are logged. Run `tracker-logging score RUN` on the directory of this run to score them later."
_GREEDY = SamplingSettings()
Message = dict[str, Any]


class VoiceRounds:
    """Built on all ranks before the first step; all methods are called by all ranks on the training thread.

    `scorer` builds the scorer of the run and is called on rank 0 only. `emit` is called with events on rank 0, on
    worker threads. `published`: how the model's family samples. Raises `DataError` if no sample has a reference
    recording or a recording cannot be read.
    """

    def __init__(
        self,
        samples: Sequence[VoiceSample],
        processor: Processor,
        settings: VoiceSettings,
        *,
        exchange: Exchange,
        scorer: Callable[[ScorerChoice], Scorer],
        emit: Callable[[Event], None],
        published: SamplingSettings = _GREEDY,
    ) -> None:
        chosen = choose_samples(samples, count=settings.max_clips)
        if not chosen:
            raise DataError("No voice sample has a reference recording. Give samples with one, or turn zero_shot off.")
        self._sampling = settings.sampled_as(published)
        self.prompts = tuple(
            build_prompt(sample, processor, self._sampling, seed=settings.seed, take=take)
            for sample in chosen
            for take in range(1, settings.takes + 1)
        )
        self._settings = settings
        self._exchange = exchange
        self._send_event = emit
        self.numbers = EvaluationNumbers()
        self._collate = processor.collator()
        self._share = exchange.share(self.prompts)
        swapped = _swapped(self.prompts, processor, self._sampling, seed=settings.seed) if settings.cond_gain else []
        self._swapped = exchange.share(swapped) if swapped else []
        with_target = [prompt for prompt in self.prompts[:: settings.takes] if prompt.sample.target_audio is not None]
        conditioned = with_target[: settings.conditioning_clips]
        share = {prompt.voice_id for prompt in exchange.share(conditioned)}
        rows = conditioning_rows(conditioned, processor)
        self._rows = [row for row in rows if row.voice_id in share]
        self.exchanges_references = any(row.condition == "other" for row in rows)
        """Whether the conditioning gap has another speaker's reference."""
        if exchange.rank == 0:
            _report_alone(conditioned, "conditioning/gap")
            _report_alone(self.prompts if settings.cond_gain else (), "voices/cond_gain")
        self._seconds = {
            prompt.voice_id: check_audio(clip)
            for prompt in conditioned
            if (clip := prompt.sample.target_audio) is not None
        }
        self._unfinished: dict[str, list[Message | None]] = {}
        self._resumed: set[str] = set()
        self._decoder = ClipDecoder(self.prompts, processor)
        self._scoring = _Scoring(scorer(settings.scorers), self._emit) if exchange.rank == 0 else None
        self._gatherer = WorkerThread(depth=_QUEUE_DEPTH)
        self._is_first = True

    def measure_conditioning(self, adapter: ModelAdapter, *, device: torch.device, step: int) -> None:
        """Measure the conditioning gap on this rank's prompts; rank 0's thread emits it for all ranks."""

        def work() -> Message:
            batch_size = self._settings.batch_size
            losses = conditioning_losses(adapter, self._rows, self._collate, device=device, batch_size=batch_size)
            return {"losses": losses}

        self._round(f"conditioning/{step}", work)

    def generate(self, adapter: ModelAdapter, *, step: int) -> None:
        """Generate this rank's prompts; rank 0's threads log and score those of all ranks."""

        def work() -> Message:
            start = time.perf_counter()
            generated = self._generate(adapter, self._share)
            generated_s = time.perf_counter() - start
            swapped = self._generate(adapter, self._swapped)
            seconds = time.perf_counter() - start
            return {"generated": generated, "swapped": swapped, "generated_s": generated_s, "seconds": seconds}

        self._round(f"voices/{step}", work)

    def wait(self, step: int, *, voices: bool) -> bool:
        """Wait until the gap of `step`, and with `voices` its scores, are emitted, at most `timeout_s`. False if not.

        Rank 0 only.
        """
        keys = {f"conditioning/{step}"} | ({f"voices/{step}"} if voices else set())
        deadline = time.monotonic() + self._settings.timeout_s
        while keys & self._unfinished.keys():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    @property
    def unfinished(self) -> dict[str, list[Message | None]]:
        """Rounds that are not fully emitted, by "voices/STEP" or "conditioning/STEP": the ranks' messages (plain JSON).

        Rank 0 only; None for a rank whose message was not collected yet.
        """
        return self._unfinished.copy()

    def resume(self, unfinished: Mapping[str, list[Message | None]]) -> None:
        """Finish the `unfinished` rounds of an earlier process. A rank without a message has rows with the reason."""
        for key, messages in unfinished.items():
            messages = [_renamed(message) for message in messages]
            self._resumed.add(key)
            self._finish_later(key, messages, partial(list, messages))

    def take_errors(self) -> list[Exception]:
        """Errors raised on the worker threads since the last call."""
        return self._gatherer.take_errors() + ([] if self._scoring is None else self._scoring.take_errors())

    def close(self) -> bool:
        """Wait for clips and scores, at most `timeout_s`. False if not all was finished by then, with a warning."""
        if self._scoring is None:
            return self._gatherer.close(timeout_s=self._settings.timeout_s)
        deadline = time.monotonic() + self._settings.timeout_s
        self._scoring.hurry()
        is_gathered = self._gatherer.close(timeout_s=self._settings.timeout_s + _DECODING_S)
        if not is_gathered:
            logger.warning("The clips of the last voice round were not gathered in time and are not logged.")
        return self._scoring.close(timeout_s=max(0.0, deadline - time.monotonic())) and is_gathered

    def _emit(self, event: Event) -> None:
        self.numbers.add(event)
        self._send_event(event)

    def _generate(self, adapter: ModelAdapter, prompts: Sequence[VoicePrompt]) -> list[Message]:
        settings = self._settings
        with progress_bar("Voices", total=len(prompts), shown=self._exchange.rank == 0) as progress:
            results = generate(
                adapter,
                prompts,
                self._sampling,
                batch_size=settings.batch_size,
                timeout_s=settings.timeout_s,
                progress=progress,
            )
        return [result.to_message() for result in results]

    def _round(self, key: str, work: Callable[[], Message]) -> None:
        """Do this rank's work; rank 0 gathers and finishes on its threads. An error is sent, then raised."""
        try:
            message = work()
        except Exception as error:
            self._send(key, {"error": f"{type(error).__name__}: {error}"})
            raise
        self._send(key, message)

    def _send(self, key: str, message: Message) -> None:
        if self._exchange.rank != 0:
            self._exchange.publish(key, message)
        elif key not in self._resumed:  # a training that is resumed at its last step generates there again
            collect = partial(self._exchange.collect, key, own=message, timeout_s=self._settings.timeout_s)
            self._finish_later(key, [message] + [None] * (self._exchange.world_size - 1), collect)

    def _finish_later(
        self, key: str, messages: list[Message | None], collect: Callable[[], list[Message | None]]
    ) -> None:
        group, _, step = key.partition("/")

        def job() -> None:
            is_scored_later = False
            try:
                self._unfinished[key] = collect()
                if group == "conditioning":
                    self._emit_conditioning(int(step), self._unfinished[key])
                else:
                    is_scored_later = self._emit_clips(int(step), self._unfinished[key])
            finally:
                if not is_scored_later:
                    del self._unfinished[key]

        self._unfinished[key] = messages
        if not self._gatherer.submit(job):
            del self._unfinished[key]
            logger.warning("Gathering of voices is too far behind: %s is skipped. Raise --voice_steps.", key)

    def _emit_conditioning(self, step: int, messages: Sequence[Message | None]) -> None:
        gathered: dict[str, dict[str, list[float]]] = {}
        for message in messages:
            gathered |= {} if message is None else message.get("losses", {})
        # In the order of the prompts, not of the ranks: the bootstrap interval depends on it.
        losses = {p.voice_id: gathered[p.voice_id] for p in self.prompts if p.voice_id in gathered}
        self._emit(Scalars(step=step, values=conditioning_scalars(losses, self._speakers())))
        rows = tuple(sample_gaps(losses, self.prompts, self._seconds))
        if rows:
            self._emit(Table(step=step, tag=tags.CONDITIONING_SAMPLES(), columns=GAP_COLUMNS, rows=rows))

    def _emit_clips(self, step: int, messages: Sequence[Message | None]) -> bool:
        """Log the clips of all ranks and have them scored. False if scoring is too far behind to take them."""
        assert self._scoring is not None
        results = self._gathered(messages, "generated")
        clips = self._decoder.decode(results, self._gathered(messages, "swapped"))
        choice = self._settings.scorers.to_text()
        for clip in clips:
            self._emit(clip_event(clip, step=step, scorers=choice, new_fixed_clips=self._is_first))
        self._is_first = False
        cost = {
            name: max((message[name] for message in messages if message is not None and name in message), default=0.0)
            for name in ("seconds", "generated_s")
        }
        if cost["seconds"] > 0:
            speed = _speed(results, clips, generated_s=cost["generated_s"])
            values = {tags.VOICE_ROUND_COST(part="generation"): cost["seconds"]} | speed
            self._emit(Scalars(step=step, values=values))
        return self._scoring.submit(clips, step=step, done=lambda: self._unfinished.pop(f"voices/{step}", None))

    def _gathered(self, messages: Sequence[Message | None], key: str) -> list[Generated]:
        """The results of all ranks; for a rank without a message, or with an error, results with the reason."""
        results: list[Generated] = []
        for rank, message in enumerate(messages):
            if message is not None and key in message:
                results += [Generated.from_message(result) for result in message[key]]
            else:
                late = f"sent nothing within {self._settings.timeout_s:g} s"
                reason = late if message is None else f"failed: {message['error']}"
                results += not_generated(self.prompts[rank :: self._exchange.world_size], f"rank {rank} {reason}")
        return results

    def _speakers(self) -> dict[str, str]:
        return {prompt.voice_id: prompt.speaker for prompt in self.prompts}


class _Scoring:
    """Rank 0's scoring thread: one round after the other, reported once when it is late."""

    def __init__(self, scorer: Scorer, emit: Callable[[Event], None]) -> None:
        self._scorer = scorer
        self._emit = emit
        self._worker = WorkerThread(depth=_QUEUE_DEPTH)
        self._waiting: dict[int, None] = {}  # steps, in order
        self._is_late = self._is_closed = False

    def submit(self, clips: Sequence[GeneratedClip], *, step: int, done: Callable[[], object]) -> bool:
        """Score a round later; `done` is called when it is over. False if too many rounds wait."""

        def job() -> None:
            try:
                self._score(clips, step=step)
            finally:
                self._waiting.pop(step, None)
                done()

        earlier = list(self._waiting)
        if len(earlier) >= _LATE_ROUNDS and not self._is_late:
            self._is_late = True
            logger.warning(
                "Scoring of voices is late: step %d is not scored yet, and step %d is generated. Clips are logged at "
                "once, scores follow. To score less, raise --voice_steps or choose fewer scorers.",
                earlier[0], step,
            )  # fmt: skip
        self._waiting[step] = None
        if not self._worker.submit(job):
            del self._waiting[step]
            logger.warning("Scoring of voices is too far behind: step %d is not scored. %s", step, _SCORE_LATER)
            return False
        return True

    def take_errors(self) -> list[Exception]:
        return self._worker.take_errors()

    def hurry(self) -> None:
        """Training waits from now on."""
        if self._waiting:
            self._scorer.hurry()

    def close(self, *, timeout_s: float) -> bool:
        """Wait for the rounds at most `timeout_s`, end the scorer. False, with a warning, if some have no scores."""
        self.hurry()
        is_done = self._worker.close(timeout_s=timeout_s)
        self._is_closed = True
        waiting = list(self._waiting)
        self._scorer.close()
        if waiting:
            steps = ", ".join(map(str, waiting))
            logger.warning(
                "Scoring of voices was not finished %.0f s after training: step %s is not scored. %s",
                timeout_s, steps, _SCORE_LATER,
            )  # fmt: skip
        return is_done and not waiting

    def _score(self, clips: Sequence[GeneratedClip], *, step: int) -> None:
        start = time.perf_counter()
        try:
            for event in self._scorer.score(step=step, clips=clips):
                self._emit(event)
                if isinstance(event, Scalars):
                    logger.info("Voices of step %d: %s.", step, ", ".join(in_words(event.values)))
        except Exception as error:
            if self._is_closed:  # the rounds that are not scored were reported by `close`
                return
            raise RuntimeError(f"step {step} is not scored: {error} {_SCORE_LATER}") from error
        self._emit(Scalars(step=step, values={tags.VOICE_ROUND_COST(part="scoring"): time.perf_counter() - start}))


def _speed(results: Sequence[Generated], clips: Sequence[GeneratedClip], *, generated_s: float) -> dict[str, float]:
    """How fast the clips were generated; empty without a clip."""
    audio_s = sum(len(clip.wave) / clip.voice.sample_rate for clip in clips if clip.wave is not None)
    frames = {result.voice_id: result.codes.shape[1] for result in results if result.codes is not None}
    if audio_s == 0 or generated_s == 0:
        return {}
    return {
        tags.REAL_TIME_FACTOR(): generated_s / audio_s,
        tags.GENERATED_FRAMES_PER_S(): sum(frames.values()) / generated_s,
    }


def _swapped(
    prompts: Sequence[VoicePrompt], processor: Processor, sampling: SamplingSettings, *, seed: int
) -> list[VoicePrompt]:
    """The same texts with another speaker's reference, under the voice ids of the texts."""
    swapped = []
    for prompt, partner in zip(prompts, other_references(prompts), strict=True):
        if partner is not None:
            sample = prompt.sample.with_reference_of(prompts[partner].sample)
            take = int(prompt.sampling.get("take", 1))
            other = build_prompt(sample, processor, sampling, seed=seed, take=take)
            swapped.append(replace(other, voice_id=prompt.voice_id))
    return swapped


def _report_alone(prompts: Sequence[VoicePrompt], what: str) -> None:
    """Log how many prompts have prompts of other speakers, but none whose references stand in the same place."""
    speakers = other_speakers([prompt.speaker for prompt in prompts])
    alone = sum(
        partner is None and speaker is not None
        for partner, speaker in zip(other_references(prompts), speakers, strict=True)
    )
    if alone:
        logger.warning(
            "%d of %d voice prompts have no other speaker's reference in the place of their own, as a turn or in the "
            "system message, and are not in %s. Give prompts of two speakers with references in one place.",
            alone, len(prompts), what,
        )  # fmt: skip


def _renamed(message: Message | None) -> Message | None:
    """A message as it is written now; checkpoints of earlier versions call the results "spoken"."""
    if message is None or "spoken" not in message:
        return message
    return {("generated" if name == "spoken" else name): value for name, value in message.items()}
