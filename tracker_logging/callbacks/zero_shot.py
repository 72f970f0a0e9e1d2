"""Does cloning work? Fixed prompts speak while the model trains, and are heard beside the real voice.

- Every logged step and voice step: the conditioning gap. Does the true voice prompt lower the target's loss?
- Every voice step: free-running generation of all prompts, shared out over ranks; scoring happens in another
  process, and its events carry the step at which the clips were generated.

    callback = ZeroShotVerificationLoggerCallback(session, samples=evaluation_samples)
    trainer = Trainer(..., callbacks=[callback])
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracker_logging.callbacks.base import StepContext, StrategicCallback
from tracker_logging.callbacks.session import LoggingSession
from tracker_logging.data.sample import VoiceSample
from tracker_logging.events import Event
from tracker_logging.probes.gathering import gathered
from tracker_logging.voices.exchange import exchange_for
from tracker_logging.voices.rounds import VoiceRounds
from tracker_logging.voices.scoring_process import open_scorer
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")


class ZeroShotVerificationLoggerCallback(StrategicCallback):
    """`samples` are those from which the prompts are chosen; without samples or a processor no voice speaks."""

    name = "zero_shot"

    def __init__(
        self, session: LoggingSession, *, samples: Sequence[VoiceSample], settings: VoiceSettings | None = None
    ) -> None:
        super().__init__(session)
        self._samples = samples
        self._settings = settings or VoiceSettings()
        self._rounds: VoiceRounds | None = None

    def prepare(self) -> None:
        """Choose the prompts and encode their recordings. Raises `DataError` for a recording that cannot be read."""
        session = self.session
        if not self._samples or session.processor is None:
            logger.warning("No samples or no processor were given for voices: none is spoken. All else is logged.")
            return
        if session.adapter.num_codebooks == 0 or not hasattr(session.processor, "prompt_features"):
            what = "has no codebooks" if session.adapter.num_codebooks == 0 else "is given a processor without prompts"
            logger.warning(
                "The model (%s) %s: no voice is spoken. All else is logged. See docs/adapters.md.",
                session.adapter.family, what,
            )  # fmt: skip
            return
        self._rounds = VoiceRounds(
            self._samples,
            session.processor,
            self._settings,
            exchange=exchange_for(rank=session.rank, world_size=session.world_size),
            scorer=open_scorer,
            emit=session.emit,
        )

    def after_step(self, context: StepContext) -> Iterable[Event]:
        if self._rounds is None:
            return ()
        self._report(self._rounds)
        device = next(context.model.parameters()).device
        with gathered(context.model):
            try:
                self._rounds.measure_conditioning(self.session.adapter, device=device, step=context.step)
            finally:  # rank 0 would wait for clips that never come
                if context.voices_due:
                    self._rounds.generate(self.session.adapter, step=context.step)
        return ()

    def waiting(self) -> Mapping[str, Any]:
        return {} if self._rounds is None else self._rounds.unfinished

    def take_up(self, waiting: Mapping[str, Any]) -> None:
        if self._rounds is not None:
            self._rounds.resume(waiting)

    def finish(self) -> None:
        if self._rounds is None:
            return
        self._rounds.close()
        self._report(self._rounds)

    def _report(self, rounds: VoiceRounds) -> None:
        for error in rounds.take_errors():
            self.session.fence.failed(self.name, error)
