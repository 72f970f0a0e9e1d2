"""Voices as tables: one row per voice, one per speaker, and what measured them.

Guarantees
- A column stands for a score that some voice has; a cell is empty where this voice has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from tracker_logging import tags
from tracker_logging.events import Cell, Table
from tracker_logging.voices.voice import ScoredVoice

Scores = Mapping[str, float]
_TEXTS = ("step", "voice", "speaker", "language", "target text", "heard", "stop", "fault")


def voice_table(step: int, voices: Sequence[ScoredVoice], scores: Sequence[Scores]) -> Table:
    """One row per voice."""
    columns = score_names(scores)
    rows = [
        (*_texts(step, voice), *(_rounded(own.get(name)) for name in columns))
        for voice, own in zip(voices, scores, strict=True)
    ]
    return Table(step=step, tag=tags.VOICE_TABLE(), columns=(*_TEXTS, *columns), rows=tuple(rows))


def speaker_table(step: int, voices: Sequence[ScoredVoice], scores: Sequence[Scores]) -> Table:
    """One row per speaker: how many clips, how many of them valid, and the means over the valid ones."""
    columns = score_names(scores)
    rows: list[tuple[Cell, ...]] = []
    for speaker in dict.fromkeys(voice.prompt.speaker for voice in voices):
        mine = [index for index, voice in enumerate(voices) if voice.prompt.speaker == speaker]
        valid = [index for index in mine if voices[index].fault is None]
        measured = ([scores[index][name] for index in valid if name in scores[index]] for name in columns)
        means = (round(fmean(values), 4) if values else None for values in measured)
        rows.append((step, speaker, len(mine), len(valid), *means))
    return Table(
        step=step,
        tag=tags.SPEAKER_TABLE(),
        columns=("step", "speaker", "clips", "valid", *columns),
        rows=tuple(rows),
    )


def instrument_table(step: int, names: Mapping[str, str]) -> Table:
    """What each kind of score is measured by."""
    return Table(step=step, tag=tags.INSTRUMENT_TABLE(), columns=("kind", "measured by"), rows=tuple(names.items()))


def score_names(scores: Sequence[Scores]) -> list[str]:
    """Names that some voice has: in the order of the table of scores, then those of a user's own scorer."""
    known = [score.name for score in tags.SCORES]
    others = sorted({name for one in scores for name in one} - set(known))
    return [name for name in [*known, *others] if any(name in one for one in scores)]


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
