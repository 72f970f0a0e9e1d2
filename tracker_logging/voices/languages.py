"""Means by language, where the data names more than one: cloning often fails across languages first.

The group of a voice is its language, or `reference>target` where the sample's `extra` names a `reference_language`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from tracker_logging import tags
from tracker_logging.voices.voice import ScoredVoice

_SHOWN = ("sim_o", "sim_margin", "spk_top1", "wer", "cer", "dur_ratio")


def language_means(voices: Sequence[ScoredVoice], scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Scalars by tag over the valid clips of each group; empty with fewer than two groups."""
    groups: dict[str, list[int]] = {}
    for index, voice in enumerate(voices):
        pair = language_pair(voice)
        if pair is not None:
            groups.setdefault(pair, []).append(index)
    means: dict[str, float] = {}
    for pair, rows in groups.items() if len(groups) > 1 else ():
        for name in _SHOWN:
            values = [scores[i][name] for i in rows if voices[i].fault is None and name in scores[i]]
            if values:
                means[tags.LANGUAGE_SCORE(language=pair, score=name)] = fmean(values)
    return means


def language_pair(voice: ScoredVoice) -> str | None:
    """`en`, `de>en`, or None where the data names no language."""
    sample = voice.prompt.sample
    if sample.language is None:
        return None
    spoken = sample.extra.get("reference_language")
    return sample.language if spoken in (None, sample.language) else f"{spoken}>{sample.language}"
