"""The numbers of one data file: samples, speakers, languages, rates, durations, and of decoded clips level and silence.

- Only samples that can be trained on are counted.

>>> quantiles(np.array([3.0, 1.0, 2.0]))
Quantiles(smallest=1.0, low=1.0, median=2.0, high=3.0, largest=3.0)
>>> histogram(np.array([0.0, 0.5, 2.0]), bins=2)
Histogram(edges=(0.0, 1.0, 2.0), counts=(2, 1))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tracker_logging.doctor.data_checks.reading import DataFile
from tracker_logging.doctor.data_checks.rows import NONE, Numbers, Rows, counted

BINS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Of a list of numbers: smallest, 5 %, median, 95 % and largest."""

    smallest: float
    low: float
    median: float
    high: float
    largest: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[i]` values from `edges[i]` up to `edges[i + 1]`, the last edge included."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`read`: items of the file; `usable`: those that can be trained on. Speakers, languages and rates (Hz) with their
    number of samples (rates: of clips), most frequent first. Durations in seconds, of samples; hours of targets, also
    by speaker and language. `histograms`: of targets `target_s` and `letters_per_s`, and of decoded targets
    `level_dbfs` and `silence_pct`."""

    file: str
    read: int
    usable: int
    speakers: Mapping[str, int]
    languages: Mapping[str, int]
    sample_rates: Mapping[int, int]
    hours: float
    speaker_hours: Mapping[str, float]
    language_hours: Mapping[str, float]
    reference_s: Quantiles | None
    target_s: Quantiles | None
    letters_per_s: Quantiles | None
    histograms: Mapping[str, Histogram]


@dataclass(frozen=True, slots=True)
class Levels:
    """By the number of a clip: level in dBFS and frames without sound in percent; NaN where a clip was not decoded."""

    level_dbfs: Numbers
    silence_pct: Numbers


def summarise(file: DataFile, levels: Levels | None = None) -> Summary:
    """The numbers of one file."""
    rows = file.rows
    is_usable = rows.column("is_usable") == 1
    targets, references = rows.column("target")[is_usable], rows.column("reference")[is_usable]
    seconds = rows.shared.clips.seconds
    has_target = targets != NONE  # prompts may have none
    every_s = np.where(has_target, seconds[targets], 0.0) if len(seconds) else np.zeros(len(targets))
    targets, target_s = targets[has_target], every_s[has_target]
    letters = rows.column("target_letters")[is_usable][has_target].astype(np.float64)
    rate = letters[letters > 0] / target_s[letters > 0]
    used = np.unique(np.concatenate([targets, references[references != NONE]]))
    histograms = {"target_s": histogram(target_s), "letters_per_s": histogram(rate)}
    if levels is not None:
        listened = np.unique(targets)
        histograms["level_dbfs"] = histogram(levels.level_dbfs[listened])
        histograms["silence_pct"] = histogram(levels.silence_pct[listened])
    return Summary(
        file=rows.place.file,
        read=file.read,
        usable=int(is_usable.sum()),
        speakers=_counts(rows, "speaker", is_usable),
        languages=_counts(rows, "language", is_usable),
        sample_rates=dict(counted(rows.shared.clips.rates[used])),
        hours=float(target_s.sum()) / 3600,
        speaker_hours=_hours(rows, "speaker", is_usable, every_s),
        language_hours=_hours(rows, "language", is_usable, every_s),
        reference_s=quantiles(seconds[references[references != NONE]]),
        target_s=quantiles(target_s),
        letters_per_s=quantiles(rate),
        histograms={name: made for name, made in histograms.items() if made is not None},
    )


def quantiles(values: Numbers) -> Quantiles | None:
    """The nearest value in order for each quantile; None without values."""
    if not len(values):
        return None
    ordered = np.sort(values)
    low, middle, high = (float(ordered[round(share * (len(ordered) - 1))]) for share in (0.05, 0.5, 0.95))
    return Quantiles(smallest=float(ordered[0]), low=low, median=middle, high=high, largest=float(ordered[-1]))


def histogram(values: Numbers, *, bins: int = BINS) -> Histogram | None:
    """Equal bins from the smallest to the largest finite value; None without values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    counts, edges = np.histogram(values, bins=bins)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def _counts(rows: Rows, name: str, is_usable: Numbers) -> dict[str, int]:
    return {rows.shared.names.name(number): count for number, count in counted(rows.column(name)[is_usable])}


def _hours(rows: Rows, name: str, is_usable: Numbers, target_s: Numbers) -> dict[str, float]:
    numbers = rows.column(name)[is_usable]
    hours = np.bincount(numbers + 1, weights=target_s) / 3600 if len(numbers) else np.zeros(1)
    longest = sorted(np.unique(numbers[numbers != NONE]).tolist(), key=lambda number: -hours[number + 1])
    return {rows.shared.names.name(number): float(hours[number + 1]) for number in longest}
