"""A round of spoken prompts to events: one comparison per voice, one table, the numbers over the set.

Guarantees
- Runs on one thread at a time: in a training, of another process (see `scoring_process.py`).
- Holds the real side of each voice once it was measured.
- Events carry the step at which the clips were generated, however long scoring took.
- A voice that cannot be scored has a row with its reason; the others are not affected.

    scorer = VoiceScorer(prompts, processor, Instruments(encoder=GE2ESpeakerEncoder()))
    for event in scorer.score(step=500, spoken=spoken):
        tracker.emit(event)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from tracker_logging.events import Clip, Event, Scalars, VoiceComparison
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.compare import voice_similarity
from tracker_logging.voices.generation import Spoken
from tracker_logging.voices.listening import Heard, Instruments, listen
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.real import RealSide, real_side
from tracker_logging.voices.summary import summarise
from tracker_logging.voices.tables import instrument_table, speaker_table, voice_table
from tracker_logging.voices.voice import ScoredVoice, score_voice, silent_voice


class Scorer(Protocol):
    """What scores the rounds of a run."""

    def score(self, *, step: int, spoken: Sequence[Spoken], swapped: Sequence[Spoken] = ()) -> Iterator[Event]:
        """The events of one round. A prompt that nobody spoke gets a row that says so.

        `swapped`: the same texts spoken with another speaker's prompt, for `cond_gain`.
        """

    def close(self) -> None:
        """Let go of what is held. Calling it again does nothing."""


class VoiceScorer:
    """Scores all rounds of a run. `prompts` in the order in which rows are shown."""

    def __init__(self, prompts: Sequence[VoicePrompt], processor: SpeechProcessor, instruments: Instruments) -> None:
        self._prompts = tuple(prompts)
        self._processor = processor
        self._instruments = instruments
        self._real: dict[str, RealSide] = {}
        self._sent: set[str] = set()

    def score(self, *, step: int, spoken: Sequence[Spoken], swapped: Sequence[Spoken] = ()) -> Iterator[Event]:
        """See `Scorer`."""
        first = not self._sent
        by_voice, others = _by_voice(spoken), _by_voice(swapped)
        voices = [self._score(prompt, by_voice.get(prompt.voice_id)) for prompt in self._prompts]
        voices = [self._with_gain(voice, others.get(voice.prompt.voice_id)) for voice in voices]
        summary = summarise(voices)
        for voice, scores in zip(voices, summary.scores, strict=True):
            yield self._comparison(step, voice, scores)
        if first:
            yield instrument_table(step, self._instruments.names())
        yield voice_table(step, voices, summary.scores)
        yield speaker_table(step, voices, summary.scores)
        yield Scalars(step=step, values=summary.scalars)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _score(self, prompt: VoicePrompt, spoken: Spoken | None) -> ScoredVoice:
        if prompt.voice_id not in self._real:
            self._real[prompt.voice_id] = real_side(prompt, self._processor, self._instruments)
        real = self._real[prompt.voice_id]
        if spoken is None:
            return silent_voice(prompt, real, "not spoken")
        try:
            return score_voice(prompt, spoken, real, self._processor.codec, self._instruments)
        except Exception as error:
            return silent_voice(prompt, real, f"{type(error).__name__}: {error}")

    def _with_gain(self, voice: ScoredVoice, other: Spoken | None) -> ScoredVoice:
        """How much nearer the clip is to its prompt than one spoken with another speaker's prompt."""
        if other is None or other.codes is None or other.codes.shape[1] == 0 or "sim_o" not in voice.scores:
            return voice
        codec, voice_only = self._processor.codec, Instruments(encoder=self._instruments.encoder)
        heard = listen(codec.decode(other.codes), codec.sample_rate, voice_only)
        gain = voice.scores["sim_o"] - voice_similarity(heard, voice.real.reference)
        return voice if math.isnan(gain) else replace(voice, scores={**voice.scores, "cond_gain": gain})

    def _comparison(self, step: int, voice: ScoredVoice, scores: Mapping[str, float]) -> VoiceComparison:
        sample, real = voice.prompt.sample, voice.real
        codec = real.reference_codec if real.target_codec is None else real.target_codec
        heard = {"reference": real.reference, "target": real.target, "codec": codec, "generated": voice.heard}
        there = {name: one for name, one in heard.items() if one is not None and len(one.wave)}
        new = voice.prompt.voice_id not in self._sent
        self._sent.add(voice.prompt.voice_id)
        return VoiceComparison(
            step=step,
            voice_id=voice.prompt.voice_id,
            clips={name: _clip(name, one, step) for name, one in there.items()},
            reference_text=sample.reference_text,
            target_text=sample.target_text,
            speaker=sample.speaker,
            language=sample.language,
            transcript=None if voice.heard is None else voice.heard.transcript,
            stop_reason=voice.stop_reason,
            scores=scores,
            pitch_hz={name: one.pitch_hz for name, one in there.items() if one.pitch_hz is not None},
            embeddings={name: one.embedding for name, one in there.items() if one.embedding is not None},
            sampling=voice.prompt.sampling,
            new_fixed_clips=new,
            error=voice.fault,
        )


def _by_voice(spoken: Sequence[Spoken]) -> dict[str, Spoken]:
    """One result per voice; where two ranks spoke it, one that has codes."""
    return {one.voice_id: one for one in sorted(spoken, key=lambda one: one.codes is not None)}


def _clip(name: str, heard: Heard, step: int) -> Clip:
    caption = f"generated at step {step}" if name == "generated" else name
    return Clip(samples=heard.wave, sample_rate=heard.sample_rate, caption=caption)
