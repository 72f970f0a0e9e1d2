"""One round of generated prompts as events: a comparison per voice, tables, and the numbers over the set.

Guarantees
- Runs on one thread at a time: in a training, of another process (see `scoring_process.py`).
- The recordings of each voice are measured once per run.
- Events carry the step at which the clips were generated, however long scoring took.
- A voice that cannot be scored has a row with the reason; the others are not affected.

    scorer = VoiceScorer(prompts, processor, Instruments(encoder=GE2ESpeakerEncoder()))
    for event in scorer.score(step=500, generated=results):
        tracker.emit(event)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Protocol

from tracker_logging import tags
from tracker_logging.events import Cell, Clip, Event, Scalars, Table, VoiceComparison
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.measurement import Instruments, Measurement, Recordings, measure, measure_recordings
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scores import ScoredVoice, missing_voice, score_names, score_voice, speaker_similarity
from tracker_logging.voices.summary import summarise

_TEXTS = ("step", "voice", "speaker", "language", "target text", "transcript", "stop reason", "fault")


class Scorer(Protocol):
    """What scores the rounds of a run."""

    def score(self, *, step: int, generated: Sequence[Generated], swapped: Sequence[Generated] = ()) -> Iterator[Event]:
        """The events of one round. A prompt without a result gets a row that says so.

        `swapped`: the same texts generated with another speaker's reference, for `cond_gain`.
        """

    def close(self) -> None:
        """Release what is held. Calling it again does nothing."""


class VoiceScorer:
    """Scores all rounds of a run. `prompts` in the order in which rows are shown."""

    def __init__(self, prompts: Sequence[VoicePrompt], processor: SpeechProcessor, instruments: Instruments) -> None:
        self._prompts = tuple(prompts)
        self._processor = processor
        self._instruments = instruments
        self._recordings: dict[str, Recordings] = {}
        self._sent: set[str] = set()

    def score(self, *, step: int, generated: Sequence[Generated], swapped: Sequence[Generated] = ()) -> Iterator[Event]:
        """See `Scorer`."""
        is_first = not self._sent
        results, swapped_results = _by_voice(generated), _by_voice(swapped)
        voices = [self._score(prompt, results.get(prompt.voice_id)) for prompt in self._prompts]
        voices = [self._with_gain(voice, swapped_results.get(voice.prompt.voice_id)) for voice in voices]
        summary = summarise(voices)
        for voice, scores in zip(voices, summary.scores, strict=True):
            yield self._comparison(step, voice, scores)
        if is_first:
            yield instrument_table(step, self._instruments.names())
        yield voice_table(step, voices, summary.scores)
        yield speaker_table(step, voices, summary.scores)
        yield Scalars(step=step, values=summary.scalars)

    def close(self) -> None:
        """Nothing is held open."""

    def _score(self, prompt: VoicePrompt, generated: Generated | None) -> ScoredVoice:
        if prompt.voice_id not in self._recordings:
            self._recordings[prompt.voice_id] = measure_recordings(prompt, self._processor, self._instruments)
        recordings = self._recordings[prompt.voice_id]
        if generated is None:
            return missing_voice(prompt, recordings, "not generated")
        try:
            return score_voice(prompt, generated, recordings, self._processor.codec, self._instruments)
        except Exception as error:
            return missing_voice(prompt, recordings, f"{type(error).__name__}: {error}")

    def _with_gain(self, voice: ScoredVoice, swapped: Generated | None) -> ScoredVoice:
        """Adds `cond_gain`: how much closer the clip is to its reference than one generated with another reference."""
        if swapped is None or swapped.codes is None or swapped.codes.shape[1] == 0 or "sim_o" not in voice.scores:
            return voice
        codec, voice_only = self._processor.codec, Instruments(encoder=self._instruments.encoder)
        other = measure(codec.decode(swapped.codes), codec.sample_rate, voice_only)
        gain = voice.scores["sim_o"] - speaker_similarity(other, voice.recordings.reference)
        return voice if math.isnan(gain) else replace(voice, scores={**voice.scores, "cond_gain": gain})

    def _comparison(self, step: int, voice: ScoredVoice, scores: Mapping[str, float]) -> VoiceComparison:
        sample, recordings = voice.prompt.sample, voice.recordings
        codec = recordings.reference_codec if recordings.target_codec is None else recordings.target_codec
        candidates = {
            "reference": recordings.reference,
            "target": recordings.target,
            "codec": codec,
            "generated": voice.clip,
        }
        clips = {name: clip for name, clip in candidates.items() if clip is not None and len(clip.wave)}
        is_new = voice.prompt.voice_id not in self._sent
        self._sent.add(voice.prompt.voice_id)
        return VoiceComparison(
            step=step,
            voice_id=voice.prompt.voice_id,
            clips={name: _clip(name, clip, step) for name, clip in clips.items()},
            reference_text=sample.reference_text,
            target_text=sample.target_text,
            speaker=sample.speaker,
            language=sample.language,
            transcript=None if voice.clip is None else voice.clip.transcript,
            stop_reason=voice.stop_reason,
            scores=scores,
            pitch_hz={name: clip.pitch_hz for name, clip in clips.items() if clip.pitch_hz is not None},
            embeddings={name: clip.embedding for name, clip in clips.items() if clip.embedding is not None},
            sampling=voice.prompt.sampling,
            new_fixed_clips=is_new,
            error=voice.fault,
        )


def voice_table(step: int, voices: Sequence[ScoredVoice], scores: Sequence[Mapping[str, float]]) -> Table:
    """One row per voice; a cell is empty where the voice does not have the column's score."""
    columns = score_names(scores)
    rows = [
        (*_text_cells(step, voice), *(_rounded(of_voice.get(name)) for name in columns))
        for voice, of_voice in zip(voices, scores, strict=True)
    ]
    return Table(step=step, tag=tags.VOICE_TABLE(), columns=(*_TEXTS, *columns), rows=tuple(rows))


def speaker_table(step: int, voices: Sequence[ScoredVoice], scores: Sequence[Mapping[str, float]]) -> Table:
    """One row per speaker: its clips, how many of them are valid, and the means over the valid ones."""
    columns = score_names(scores)
    rows: list[tuple[Cell, ...]] = []
    for speaker in dict.fromkeys(voice.prompt.speaker for voice in voices):
        indices = [index for index, voice in enumerate(voices) if voice.prompt.speaker == speaker]
        valid = [index for index in indices if voices[index].fault is None]
        measured = ([scores[index][name] for index in valid if name in scores[index]] for name in columns)
        means = (round(fmean(values), 4) if values else None for values in measured)
        rows.append((step, speaker, len(indices), len(valid), *means))
    columns = ["step", "speaker", "clips", "valid", *columns]
    return Table(step=step, tag=tags.SPEAKER_TABLE(), columns=tuple(columns), rows=tuple(rows))


def instrument_table(step: int, names: Mapping[str, str]) -> Table:
    """What each kind of score is measured by."""
    return Table(step=step, tag=tags.INSTRUMENT_TABLE(), columns=("kind", "measured by"), rows=tuple(names.items()))


def _text_cells(step: int, voice: ScoredVoice) -> tuple[Cell, ...]:
    sample = voice.prompt.sample
    transcript = None if voice.clip is None else voice.clip.transcript
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


def _by_voice(results: Sequence[Generated]) -> dict[str, Generated]:
    """One result per voice; where two ranks generated it, one that has codes."""
    return {result.voice_id: result for result in sorted(results, key=lambda result: result.codes is not None)}


def _clip(name: str, clip: Measurement, step: int) -> Clip:
    caption = f"generated at step {step}" if name == "generated" else name
    return Clip(samples=clip.wave, sample_rate=clip.sample_rate, caption=caption)
