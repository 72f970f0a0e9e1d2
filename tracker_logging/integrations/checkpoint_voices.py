"""The voices of saved checkpoints as a run: the same prompts for each, under the step of the checkpoint.

    voices = CheckpointVoices(samples=samples, processor=processor, settings=settings, sampling=sampling, load=load)
    errors = voices.run(checkpoints, directory=Path("runs/voices"), report_to="tensorboard")

Guarantees
- The clips and scores are those that a training logs for the same weights, prompts, settings and seeds.
- Every rank generates its share of the prompts; rank 0 writes. A rank that fails yields rows with the reason.
- A checkpoint of which all clips are scored in the run is not generated again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from tracker_logging.data.sample import VoiceSample
from tracker_logging.events import Event
from tracker_logging.families import adapter_for
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.checkpoints import Checkpoint
from tracker_logging.families.processors import processor_parts
from tracker_logging.session.last_word import LastWord
from tracker_logging.trackers.base import RunInfo, Tracker
from tracker_logging.trackers.null import NullTracker
from tracker_logging.trackers.open import open_tracker
from tracker_logging.trackers.voice_folder import FOLDER, read_sidecar
from tracker_logging.voices.exchange import exchange_for
from tracker_logging.voices.rounds import VoiceRounds
from tracker_logging.voices.scoring_process import open_scorer
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")

FLUSH_TIMEOUT_S = 60.0
_GROUPS = ("voices", "conditioning")


@dataclass(frozen=True, kw_only=True)
class CheckpointVoices:
    """What is generated, and how. `load` opens a checkpoint in evaluation mode, on the device that it is to use."""

    samples: Sequence[VoiceSample]
    processor: Any  # a `Processor`
    settings: VoiceSettings
    sampling: SamplingSettings  # as the family is published to
    load: Callable[[Checkpoint], Any]

    def run(
        self,
        checkpoints: Sequence[Checkpoint],
        *,
        directory: Path,
        report_to: str,
        project: str | None = None,
        run_config: Mapping[str, object] | None = None,
    ) -> int:
        """Generate and score all `checkpoints`; the number of errors, which are logged. Every rank calls it.

        Raises `DataError` for samples without a prompt and for a checkpoint that cannot be opened, `ValueError` for a
        backend or a directory that cannot be used.
        """
        rank, world_size = process_rank()
        with _process_group(world_size):
            log = _Log()
            rounds = VoiceRounds(
                self.samples,
                self.processor,
                self.settings,
                published=self.sampling,
                exchange=exchange_for(rank=rank, world_size=world_size),
                scorer=open_scorer,
                emit=log.emit,
            )
            done = scored_steps(directory, [prompt.voice_id for prompt in rounds.prompts])
            waiting = [checkpoint for checkpoint in checkpoints if checkpoint.step not in done]
            if rank == 0:
                again = frozenset(f"{group}/{checkpoint.step}" for checkpoint in waiting for group in _GROUPS)
                run = RunInfo(name=directory.name, project=project, config=dict(run_config or {}), again=again)
                log.tracker = open_tracker(report_to, directory=directory, run=run)
            try:
                for number, checkpoint in enumerate(waiting, start=1):
                    logger.info(
                        "Checkpoint %d of %d: %s, step %d.", number, len(waiting), checkpoint.name, checkpoint.step
                    )
                    self._round(rounds, checkpoint)
                    if number > 1 and rank == 0:
                        rounds.wait(waiting[number - 2].step, voices=True)
            finally:
                rounds.close()
                for error in rounds.take_errors():
                    log.failed(error)
                log.close()
            return log.errors

    def _round(self, rounds: VoiceRounds, checkpoint: Checkpoint) -> None:
        model = self.load(checkpoint)
        adapter = adapter_for(model, parts=processor_parts(self.processor))
        device = next(model.parameters()).device
        with torch.no_grad():
            try:
                rounds.measure_conditioning(adapter, device=device, step=checkpoint.step)
            finally:  # rank 0 would wait for clips that never arrive
                rounds.generate(adapter, step=checkpoint.step)


class _Log:
    """What rank 0 writes to, and the errors so far. On other ranks nothing is written."""

    def __init__(self) -> None:
        self.tracker: Tracker = NullTracker()
        self.last_word = LastWord()
        self._failed = 0
        self._last_step = 0

    @property
    def errors(self) -> int:
        return self._failed + int(getattr(self.tracker, "errors", 0))

    def emit(self, event: Event) -> None:
        self._last_step = max(self._last_step, event.step)
        self.last_word.hear(event)
        self.tracker.emit(event)

    def failed(self, error: Exception) -> None:
        self._failed += 1
        logger.error("%s: %s", type(error).__name__, error)

    def close(self) -> None:
        for event in self.last_word.events(step=self._last_step, missing=()):
            self.tracker.emit(event)
        self.tracker.flush(timeout_s=FLUSH_TIMEOUT_S)
        self.tracker.close()


def process_rank() -> tuple[int, int]:
    """Rank and number of processes, as `torchrun` gives them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def scored_steps(directory: Path, voice_ids: Sequence[str]) -> set[int]:
    """The steps of which every voice has its scores in the `voices` folder of a run."""
    steps: list[set[int]] = []
    for voice_id in voice_ids:
        rows = [read_sidecar(path) for path in (directory / FOLDER / voice_id).glob("step-*.json")]
        steps.append({int(row["step"]) for row in rows if row.get("scored")})
    return set.intersection(*steps) if steps else set()


@contextmanager
def _process_group(world_size: int) -> Iterator[None]:
    """The key-value store of several processes. All leave together, since the store is in rank 0's process."""
    if world_size == 1:
        yield
        return
    distributed.init_process_group("gloo")
    try:
        yield
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
