"""Does cloning work? Fixed prompts are generated while the model trains, and compared with the real voice.

- Every logged step: the conditioning gap. Does the true voice prompt lower the target's loss?
- Every voice step: free-running generation of all prompts, shared out over ranks. Scoring runs in another process; its
  events carry the step at which the clips were generated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracker_logging.data.sample import VoiceSample
from tracker_logging.events import Event
from tracker_logging.families.base import SamplingSettings, cannot_give
from tracker_logging.probes.gathering import gathered
from tracker_logging.session.ledger import promised
from tracker_logging.session.observer import Observer, StepContext, Training
from tracker_logging.tags import INSTRUMENT_TABLE, Tag
from tracker_logging.voices.exchange import exchange_for
from tracker_logging.voices.rounds import VoiceRounds
from tracker_logging.voices.scorers.choose import OFF, has_transcriber
from tracker_logging.voices.scoring_process import open_scorer
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")

_BEST = "best_voice"
_OF_ENCODER = ("voice_sim", "voice_spk", "voice_margin", "voice_cond")
_OF_GAP = ("conditioning_gap", "conditioning_win_rate")
_OF_SPEAKERS = (*_OF_GAP, "voice_sim_margin", "voice_spk_top1", "voice_spk_eer", "voice_margin_retained")


class ZeroShotObserver(Observer):
    """The prompts are chosen from `samples`. Without samples or a processor no voice is generated."""

    name = "zero_shot"

    def __init__(self, *, samples: Sequence[VoiceSample], settings: VoiceSettings | None = None) -> None:
        self._samples = samples
        self._settings = settings or VoiceSettings()
        self._rounds: VoiceRounds | None = None
        self.wanted: frozenset[str] = frozenset()
        """Metrics that the loop needs at each evaluation."""

    def begin(self, training: Training) -> None:
        """Choose the prompts and encode their recordings. Raises `DataError` for a recording that cannot be read."""
        super().begin(training)
        reason, processor = self._why_no_voices(training), training.parts.voices
        if reason is not None or processor is None:
            if training.rank == 0:
                logger.warning("No voices are generated: %s. Everything else is logged.", reason)
            return
        self._rounds = VoiceRounds(
            self._samples,
            processor,
            self._settings,
            published=getattr(training.adapter, "sampling", SamplingSettings()),
            exchange=exchange_for(rank=training.rank, world_size=training.world_size),
            scorer=open_scorer,
            emit=training.emit,
        )

    def after_step(self, context: StepContext) -> Iterable[Event]:
        if self._rounds is None:
            return ()
        self._report_errors(self._rounds)
        device = next(context.model.parameters()).device
        with gathered(context.model):
            try:
                if context.conditioning_due:
                    self._rounds.measure_conditioning(self.training.adapter, device=device, step=context.step)
            finally:  # rank 0 would wait for clips that never arrive
                if context.voices_due:
                    self._rounds.generate(self.training.adapter, step=context.step)
        return ()

    def promises(self, context: StepContext) -> Iterable[Tag]:
        if self._rounds is None:
            return ()
        facts = {"two speakers"} if self._rounds.exchanges_references else set[str]()
        due = {"conditioning/": context.conditioning_due, "voices/": context.voices_due}
        prefixes = [prefix for prefix, is_due in due.items() if is_due]
        families = [tag for prefix in prefixes for tag in promised(owners={self.name}, facts=facts, prefix=prefix)]
        return [tag for tag in families if tag is not INSTRUMENT_TABLE]  # written once, with the first scored round

    def unfinished_steps(self) -> list[int]:
        """Of the rounds that are gathered or scored now, or wait for it."""
        return [] if self._rounds is None else [int(key.partition("/")[2]) for key in self._rounds.unfinished]

    def evaluation_numbers(self, context: StepContext) -> Mapping[str, float]:
        """See `voices.evaluation`. Rank 0 waits for the gap and, if they are due, for the scores."""
        if self._rounds is None or self.training.rank != 0:
            return {}
        self._rounds.wait(context.step, voices=context.voices_due)
        return self._rounds.numbers.at(context.step, wanted=self.wanted, with_voices=context.voices_due)

    def why_no_metric(self, name: str) -> str | None:
        """Why the metric `name` of `voices.evaluation` cannot be measured in this training; None if it may be."""
        if self._rounds is None:
            return "no voices are generated (the reason is logged above)"
        scorers = self._settings.scorers
        speakers = {prompt.speaker for prompt in self._rounds.prompts}
        if name.startswith(_OF_ENCODER) and scorers.encoder == OFF:
            return "the speaker encoder is off (--voice_encoder)"
        if name in _OF_SPEAKERS and len(speakers) < 2:
            return "the prompts are of one speaker (--voice_prompts)"
        if name in _OF_GAP and not self._rounds.exchanges_references:
            return "no two speakers' references are both turns or in the system message (--voice_prompts)"
        if name in ("voice_wer", "voice_cer", "voice_ref_leak") and not has_transcriber(scorers):
            return "there is no transcriber (--voice_transcriber whisper=DIRECTORY)"
        return None

    def state(self) -> Mapping[str, Any]:
        """Rounds that are generated and not yet scored, by "GROUP/STEP", and the best voice so far."""
        if self._rounds is None:
            return {}
        best = self._rounds.numbers.best
        return self._rounds.unfinished | ({_BEST: best.state()} if best.count else {})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Score the rounds that were not yet scored when the checkpoint was saved."""
        if self._rounds is not None:
            if _BEST in state:
                self._rounds.numbers.best.restore(state[_BEST])
            self._rounds.resume({key: value for key, value in state.items() if key != _BEST})

    def finish(self) -> None:
        if self._rounds is None:
            return
        self._rounds.close()
        self._report_errors(self._rounds)

    def _why_no_voices(self, training: Training) -> str | None:
        if not self._samples:
            return "no voice samples were given (voice_samples)"
        if (reason := cannot_give(training.adapter).get("voices/")) is not None:
            return f"{reason}; see docs/adapters.md"
        return next(ability.missing for ability in training.parts.abilities if ability.name == "voices")

    def _report_errors(self, rounds: VoiceRounds) -> None:
        for error in rounds.take_errors():
            self.training.guard.failed(self.name, error)
