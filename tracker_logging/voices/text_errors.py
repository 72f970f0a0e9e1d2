"""Word and character errors over the whole set, and of the real recordings beside them.

Corpus rates: errors of all clips over words of all clips, as in Seed-TTS-eval. The interval is over clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracker_logging import tags
from tracker_logging.metrics.interval import Indices, Interval, statistic_interval
from tracker_logging.metrics.words import ErrorCount, character_errors, total, word_errors
from tracker_logging.voices.listening import Heard
from tracker_logging.voices.voice import ScoredVoice

Counter = Callable[..., ErrorCount]


def text_errors(voices: Sequence[ScoredVoice]) -> dict[tags.Tag, Interval]:
    """WER and CER of the valid generated clips and of the real targets; empty without a transcriber."""
    kinds: tuple[tuple[tags.Tag, Counter, bool], ...] = (
        (tags.WER, word_errors, False),
        (tags.CER, character_errors, False),
        (tags.WER_REAL, word_errors, True),
        (tags.CER_REAL, character_errors, True),
    )
    found = {tag: _rate([_count(voice, counter, real=real) for voice in voices]) for tag, counter, real in kinds}
    return {tag: interval for tag, interval in found.items() if interval is not None}


def _count(voice: ScoredVoice, counter: Counter, *, real: bool) -> ErrorCount | None:
    clip: Heard | None = voice.real.target if real else voice.heard
    if clip is None or clip.transcript is None:
        return None
    return counter(text=voice.prompt.sample.target_text, transcript=clip.transcript)


def _rate(counts: Sequence[ErrorCount | None]) -> Interval | None:
    there = [one for one in counts if one is not None]

    def rate(rows: Indices) -> float:
        return total(there[row] for row in rows).rate

    return statistic_interval(rate, len(there)) if there else None
