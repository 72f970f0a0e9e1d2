"""One round of generated prompts as events: a comparison per voice, tables, and the numbers over the set.

Guarantees
- Runs on one thread at a time: in a training, of another process (see `scoring_process.py`).
- Needs waveforms only, neither the codec nor the model. The recordings of each voice are measured once per run.
- Events carry the step at which the clips were generated, however long scoring took.
- A voice that cannot be scored has a row with the reason; the others are not affected.

    scorer = VoiceScorer(Instruments(encoder=GE2ESpeakerEncoder()))
    for event in scorer.score(step=500, clips=clips):
        tracker.emit(event)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Protocol

from tracker_logging import tags
from tracker_logging.events import Cell, Event, Scalars, Table, VoiceComparison
from tracker_logging.voices.clips import GeneratedClip, clip_event
from tracker_logging.voices.measurement import Instruments, Recordings, measure_recordings
from tracker_logging.voices.scores import ScoredVoice, missing_voice, score_names, score_voice
from tracker_logging.voices.summary import summarise

_TEXTS = ("speaker", "group", "language", "reference text", "target text", "transcript", "stop reason", "fault")
_FIRST = ("sim_o", "spk_top1", "sim_margin", "wer", "cer", "dnsmos_ovrl")


class Scorer(Protocol):
    """What scores the rounds of a run."""

    def score(self, *, step: int, clips: Sequence[GeneratedClip]) -> Iterator[Event]:
        """The events of one round, in which each voice has an event of stage "scored"."""

    def hurry(self) -> None:
        """Training has ended and waits: score at the priority of training. Any thread; returns at once."""

    def close(self) -> None:
        """Release what is held. Calling it again does nothing."""


class VoiceScorer:
    """Scores all rounds of a run. `call` runs the work on one voice, by default on the caller's thread."""

    def __init__(self, instruments: Instruments, *, call: Callable[[Callable[[], None]], None] | None = None) -> None:
        self._instruments = instruments
        self._call = call or (lambda work: work())
        self._recordings: dict[str, Recordings] = {}
        self._is_first = True

    def score(self, *, step: int, clips: Sequence[GeneratedClip]) -> Iterator[Event]:
        """See `Scorer`. The events of the voices come last: a voice with scores has the numbers of its round too."""
        voices: list[ScoredVoice] = []
        for clip in clips:
            self._call(partial(self._score, clip, voices))
        summary = summarise(voices)
        yield Scalars(step=step, values=summary.scalars)
        if self._is_first:
            yield instrument_table(step, self._instruments.names())
            self._is_first = False
        yield voice_table(step, voices, summary.scores)
        yield speaker_table(step, voices, summary.scores)
        for clip, voice, scores in zip(clips, voices, summary.scores, strict=True):
            yield scored_event(clip, voice, scores, step=step)

    def hurry(self) -> None:
        """The priority is that of the caller's thread."""

    def close(self) -> None:
        """Nothing is held open."""

    def _score(self, clip: GeneratedClip, voices: list[ScoredVoice]) -> None:
        """Append the scored voice; a clip that cannot be measured has the reason."""
        prompt_id = clip.voice.prompt_id
        if prompt_id not in self._recordings:
            self._recordings[prompt_id] = measure_recordings(clip.voice, self._instruments)
        recordings = self._recordings[prompt_id]
        try:
            scored = score_voice(clip, recordings, self._instruments)
        except Exception as error:
            scored = missing_voice(clip.voice, recordings, f"{type(error).__name__}: {error}")
        voices.append(scored)


def scored_event(clip: GeneratedClip, voice: ScoredVoice, scores: Mapping[str, float], *, step: int) -> VoiceComparison:
    """The event of stage "scored" that completes the one of `clip_event`."""
    recordings = voice.recordings
    measured = {
        "reference": recordings.reference,
        "target": recordings.target,
        "codec": recordings.reference_codec if recordings.target_codec is None else recordings.target_codec,
        "generated": voice.clip,
    }
    known = {name: m for name, m in measured.items() if m is not None}
    return replace(
        clip_event(clip, step=step, new_fixed_clips=False),
        stage="scored",
        transcript=None if voice.clip is None else voice.clip.transcript,
        scores=scores,
        pitch_hz={name: m.pitch_hz for name, m in known.items() if m.pitch_hz is not None},
        embeddings={name: m.embedding for name, m in known.items() if m.embedding is not None},
        error=voice.fault,
    )


def voice_table(step: int, voices: Sequence[ScoredVoice], scores: Sequence[Mapping[str, float]]) -> Table:
    """One row per voice, the scores that matter first; a cell is empty where the voice does not have the score.

    With several takes of a prompt, `take` is the number of each.
    """
    names = score_names(scores)
    first = [name for name in _FIRST if name in names]
    others = [name for name in names if name not in first]

    def cells(of_voice: Mapping[str, float], wanted: Sequence[str]) -> list[Cell]:
        return [_rounded(of_voice.get(name)) for name in wanted]

    take = ("take",) if any("take" in voice.voice.sampling for voice in voices) else ()  # the first take has none
    rows: list[tuple[Cell, ...]] = []
    for voice, of_voice in zip(voices, scores, strict=True):
        number = [int(voice.voice.sampling.get(name, 1)) for name in take]
        texts = _text_cells(voice)
        rows.append((step, voice.voice.voice_id, *number, *cells(of_voice, first), *texts, *cells(of_voice, others)))
    columns = ("step", "voice", *take, *first, *_TEXTS, *others)
    return Table(step=step, tag=tags.VOICE_TABLE(), columns=columns, rows=tuple(rows))


def speaker_table(step: int, voices: Sequence[ScoredVoice], scores: Sequence[Mapping[str, float]]) -> Table:
    """One row per speaker: its clips, how many of them are valid, and the means over the valid ones."""
    columns = score_names(scores)
    rows: list[tuple[Cell, ...]] = []
    for speaker in dict.fromkeys(voice.voice.speaker for voice in voices):
        indices = [index for index, voice in enumerate(voices) if voice.voice.speaker == speaker]
        valid = [index for index in indices if voices[index].fault is None]
        measured = ([scores[index][name] for index in valid if name in scores[index]] for name in columns)
        means = (round(fmean(values), 4) if values else None for values in measured)
        rows.append((step, speaker, len(indices), len(valid), *means))
    columns = ["step", "speaker", "clips", "valid", *columns]
    return Table(step=step, tag=tags.SPEAKER_TABLE(), columns=tuple(columns), rows=tuple(rows))


def instrument_table(step: int, names: Mapping[str, str]) -> Table:
    """What each kind of score is measured by."""
    return Table(step=step, tag=tags.INSTRUMENT_TABLE(), columns=("kind", "measured by"), rows=tuple(names.items()))


def _text_cells(voice: ScoredVoice) -> tuple[Cell, ...]:
    about = voice.voice
    transcript = None if voice.clip is None else voice.clip.transcript
    return (
        about.speaker_name,
        about.group,
        about.language,
        about.reference_text,
        about.target_text,
        transcript,
        voice.stop_reason,
        voice.fault,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
