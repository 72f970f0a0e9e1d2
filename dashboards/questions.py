"""The questions that a comparison answers, each by one score: it gets a verdict and a place in the leaderboard.

>>> primary_scores({"sim_o", "wer", "cer", "mcd_db"}, languages=["en", "en"])
{'right voice': 'sim_o', 'right words': 'wer'}
>>> primary_scores({"wer", "cer"}, languages=["zh", "zh", "en"])
{'right words': 'cer'}
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from tracker_logging.runs import Voice

QUESTIONS: Mapping[str, Sequence[str]] = {
    "right voice": ("sim_margin", "sim_o"),
    "right words": ("wer", "cer"),
    "sound": ("dnsmos_ovrl", "distillmos", "dnsmos_p808"),
    "used reference": ("cond_gain",),
}
"""Question → its scores; the first one that was measured answers it."""

BY_CHARACTERS = ("zh", "ja", "th", "yue", "lo", "my", "km")
"""Languages written without spaces between words: their words are judged by `cer`."""


def primary_scores(measured: Collection[str], *, languages: Sequence[str | None]) -> dict[str, str]:
    """Question → its score, for the questions that a measured score answers. `languages`: of the voices."""
    codes = [(language or "").split("-")[0].lower() for language in languages]
    by_characters = sum(code in BY_CHARACTERS for code in codes) * 2 > len(codes)
    chosen = {}
    for question, scores in QUESTIONS.items():
        order = reversed(scores) if by_characters and "cer" in scores else scores
        name = next((score for score in order if score in measured), None)
        if name is not None:
            chosen[question] = name
    return chosen


def measured_scores(voices: Iterable[Voice]) -> set[str]:
    """The scores that any step of any voice has."""
    return {score for voice in voices for step in voice.steps.values() for score in step.scores}
