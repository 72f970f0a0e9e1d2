"""A round of spoken prompts to events: one comparison per voice, one table, the numbers over the set.

Guarantees
- Runs on one thread at a time, not the training thread; holds the real side of each voice once it was measured.
- Events carry the step at which the clips were generated, however long scoring took.
- A voice that cannot be scored has a row with its reason; the others are not affected.

    scorer = VoiceScorer(prompts, processor, Instruments(encoder=GE2ESpeakerEncoder()))
    for event in scorer.score(step=500, spoken=spoken):
        tracker.emit(event)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tracker_logging import tags
from tracker_logging.data.processor import SpeechProcessor
from tracker_logging.events import Cell, Clip, Event, Scalars, Table, VoiceComparison
from tracker_logging.voices.generation import Spoken
from tracker_logging.voices.listening import Heard, Instruments
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.real import RealSide, real_side
from tracker_logging.voices.summary import summarise
from tracker_logging.voices.voice import ScoredVoice, score_voice

_TEXT_COLUMNS = ("step", "voice", "speaker", "language", "target text", "heard", "stop", "fault")


class VoiceScorer:
    """Scores all rounds of a run. `prompts` in the order in which rows are shown."""

    def __init__(self, prompts: Sequence[VoicePrompt], processor: SpeechProcessor, instruments: Instruments) -> None:
        self._prompts = tuple(prompts)
        self._processor = processor
        self._instruments = instruments
        self._real: dict[str, RealSide] = {}
        self._sent: set[str] = set()

    def score(self, *, step: int, spoken: Sequence[Spoken]) -> Iterator[Event]:
        """The events of one round. A prompt that nobody spoke gets a row that says so."""
        by_voice = {one.voice_id: one for one in spoken}
        voices = [self._score(prompt, by_voice.get(prompt.voice_id)) for prompt in self._prompts]
        summary = summarise(voices)
        for voice, scores in zip(voices, summary.scores, strict=True):
            yield self._comparison(step, voice, scores)
        yield voice_table(step, voices, summary.scores)
        yield Scalars(step=step, values=summary.scalars)

    def _score(self, prompt: VoicePrompt, spoken: Spoken | None) -> ScoredVoice:
        if prompt.voice_id not in self._real:
            self._real[prompt.voice_id] = real_side(prompt, self._processor, self._instruments)
        real = self._real[prompt.voice_id]
        if spoken is None:
            return ScoredVoice(prompt=prompt, real=real, heard=None, error="not spoken")
        try:
            return score_voice(prompt, spoken, real, self._processor.codec, self._instruments)
        except Exception as error:
            return ScoredVoice(prompt=prompt, real=real, heard=None, error=f"{type(error).__name__}: {error}")

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
            new_fixed_clips=new,
            error=voice.fault,
        )


def voice_table(step: int, voices: Sequence[ScoredVoice], scores: Sequence[Mapping[str, float]]) -> Table:
    """One row per voice; a column for each score that some voice has."""
    columns = [score.name for score in tags.SCORES if any(score.name in one for one in scores)]
    rows = [
        (*_texts(step, voice), *(_rounded(own.get(name)) for name in columns))
        for voice, own in zip(voices, scores, strict=True)
    ]
    return Table(step=step, tag=tags.VOICE_TABLE(), columns=(*_TEXT_COLUMNS, *columns), rows=tuple(rows))


def _texts(step: int, voice: ScoredVoice) -> tuple[Cell, ...]:
    sample = voice.prompt.sample
    transcript = None if voice.heard is None else voice.heard.transcript
    return (
        step,
        voice.prompt.voice_id,
        sample.speaker,
        sample.language,
        sample.target_text,
        transcript,
        voice.stop_reason,
        voice.fault,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _clip(name: str, heard: Heard, step: int) -> Clip:
    caption = f"generated at step {step}" if name == "generated" else name
    return Clip(samples=heard.wave, sample_rate=heard.sample_rate, caption=caption)
