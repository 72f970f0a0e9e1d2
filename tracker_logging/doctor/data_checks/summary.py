"""What a data file holds, in numbers: samples, speakers, languages, durations and letters per second.

- Only accepted samples whose clips have a sound header are counted; what cannot be measured is absent.

    summarise(found).target_s.median
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracker_logging.doctor.data_checks.pace import letters_per_s
from tracker_logging.doctor.data_checks.reading import Found
from tracker_logging.doctor.data_checks.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Of a list of numbers: smallest, 5 %, median, 95 % and largest."""

    smallest: float
    low: float
    median: float
    high: float
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`read`: items of the file; `usable`: those that can be trained on. Speakers, languages and rates (Hz) with their
    number of samples (rates: of clips), most frequent first. Durations in seconds, of samples; hours of targets."""

    file: str
    read: int
    usable: int
    speakers: Mapping[str, int]
    languages: Mapping[str, int]
    sample_rates: Mapping[int, int]
    hours: float
    reference_s: Quantiles | None
    target_s: Quantiles | None
    letters_per_s: Quantiles | None


def summarise(found: Found) -> Summary:
    """The numbers of one file."""
    usable = [record for record in found.records if record.is_usable]
    targets = [record.target.seconds for record in usable if record.target is not None]
    references = [record.reference.seconds for record in usable if record.reference is not None]
    clips = {clip.path: clip.sample_rate for record in usable for _, clip in record.clips()}
    return Summary(
        file=found.place.file,
        read=found.read,
        usable=len(usable),
        speakers=_counts(record.sample.speaker for record in usable),
        languages=_counts(record.sample.language for record in usable),
        sample_rates=dict(Counter(clips.values()).most_common()),
        hours=sum(targets) / 3600,
        reference_s=quantiles(references),
        target_s=quantiles(targets),
        letters_per_s=quantiles(target_rates(usable)),
    )


def target_rates(records: Iterable[Record]) -> list[float]:
    """Letters per second of the targets that have both."""
    spoken = [one for record in records for one in record.spoken() if one.role == "target"]
    return [rate for rate in map(letters_per_s, spoken) if rate is not None]


def quantiles(values: list[float]) -> Quantiles | None:
    """None without values. The nearest value in order stands for each quantile."""
    if not values:
        return None
    ordered = sorted(values)
    low, middle, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.5, 0.95))
    return Quantiles(smallest=ordered[0], low=low, median=middle, high=high, largest=ordered[-1])


def _counts(names: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(name for name in names if name is not None).most_common())
