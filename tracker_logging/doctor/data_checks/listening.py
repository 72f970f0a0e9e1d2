"""What only the decoded clips show: silence at the ends, noise, bandwidth, cut ends, level, and the voices.

- A clip is compared with the other clips of its file, a target with its own reference.
- What most clips have in common is one finding of the file, not one per clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.audio import level_findings
from tracker_logging.doctor.data_checks.checks import Check, DataFinding, Place
from tracker_logging.doctor.data_checks.languages import is_available, language_findings
from tracker_logging.doctor.data_checks.listened import Listened, ListenedClip
from tracker_logging.doctor.data_checks.pairs import difference_findings, pair_findings
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.voices import voice_findings

EDGE_S = 1.0
MIN_SNR_DB = 12.0
LEVEL_OFF_DB = 12.0
NARROW_HZ = 4_500.0
NARROW_SHARE = 0.6
"""Of the usual bandwidth of the file (a clip), or of half of the sample rate (a file)."""
COMMON = 0.2
"""Share of the clips from which on a property is one of the file."""
MIN_CLIPS = 8


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a clip is used first."""

    record: Record
    field: str
    listened: ListenedClip


def listening_findings(listened: Listened, place: Place, *, with_levels: bool) -> Iterator[DataFinding]:
    """All findings of the clips that were measured. `with_levels`: also those of the checks of `--decode`."""
    used = _first_uses(listened)
    yield from _what_was_left_out(listened, place)
    for use in used if with_levels else ():
        yield from level_findings(use.record.place, use.field, use.listened.clip, use.listened.levels)
    used = [use for use in used if use.listened.levels.speech_s > 0]
    yield from _edges(used)
    yield from _noise(used)
    yield from _cut_ends(used, place)
    yield from _bandwidth(used, place)
    yield from _level(used)
    yield from pair_findings(listened)
    yield from difference_findings(listened, place)
    yield from voice_findings(listened, place)
    yield from language_findings(listened.records, place)


def _first_uses(listened: Listened) -> list[_Place]:
    used: dict[Path, _Place] = {}
    for record in listened.records:
        for field, clip in record.clips():
            measured = listened.of(clip)
            if measured is not None:
                used.setdefault(clip.path, _Place(record, field, measured))
    return list(used.values())


def _what_was_left_out(listened: Listened, place: Place) -> Iterator[DataFinding]:
    if len(listened.records) < listened.total:
        yield checks.HEARD_PARTLY.at(place, seen=f"{len(listened.records):,} of {listened.total:,} samples")
    if not is_available() and any(record.sample.language for record in listened.records):
        yield checks.LANGUAGE_NOT_CHECKED.at(place, seen="py3langid is not installed", field="language")


def _finding(check: Check, use: _Place, seen: str) -> DataFinding:
    clip = use.listened.clip
    return check.at(use.record.place, seen=f"{clip.name}: {seen}", field=use.field, clip=clip.name)


def _edges(used: Sequence[_Place]) -> Iterator[DataFinding]:
    for use in used:
        ends = {"before": use.listened.recording.leading_s, "after": use.listened.recording.trailing_s}
        long = [f"{seconds:.1f} s of silence {where} the speech" for where, seconds in ends.items() if seconds > EDGE_S]
        if long:
            yield _finding(checks.SILENCE_AT_ENDS, use, " and ".join(long))


def _noise(used: Sequence[_Place]) -> Iterator[DataFinding]:
    for use in used:
        snr = use.listened.recording.snr_db
        if snr < MIN_SNR_DB:
            yield _finding(checks.AUDIO_NOISY, use, f"the sound is {snr:.0f} dB above its quietest moments")


def _cut_ends(used: Sequence[_Place], place: Place) -> Iterator[DataFinding]:
    cut = [use for use in used if use.listened.recording.starts_cut or use.listened.recording.ends_cut]
    if len(used) >= MIN_CLIPS and len(cut) > COMMON * len(used):
        yield checks.ENDS_CUT.at(place, seen=f"{len(cut)} of {len(used)} clips begin or end inside a sound")
        return
    for use in cut:
        where = {"begins": use.listened.recording.starts_cut, "ends": use.listened.recording.ends_cut}
        seen = f"{' and '.join(name for name, holds in where.items() if holds)} inside a sound"
        yield _finding(checks.ENDS_CUT, use, seen)


def _bandwidth(used: Sequence[_Place], place: Place) -> Iterator[DataFinding]:
    """A file of narrow clips, and clips that are narrower than the file usually is."""
    if len(used) < MIN_CLIPS:
        return
    usual = median(use.listened.recording.bandwidth_hz for use in used)
    rate = median(use.listened.clip.sample_rate for use in used)
    seen = f"sound up to {usual / 1000:.1f} kHz in most clips, at a sample rate of {rate / 1000:.4g} kHz"
    if usual < NARROW_HZ and rate > 2.2 * NARROW_HZ:
        yield checks.BANDWIDTH_LOW.at(place, seen=seen)
    elif usual < NARROW_SHARE * rate / 2:
        yield checks.BANDWIDTH_BELOW_RATE.at(place, seen=seen)
    for use in used:
        own = use.listened.recording.bandwidth_hz
        if own < NARROW_SHARE * usual:
            yield _finding(
                checks.BANDWIDTH_OUTLIER, use, f"sound up to {own / 1000:.1f} kHz, usually {usual / 1000:.1f}"
            )


def _level(used: Sequence[_Place]) -> Iterator[DataFinding]:
    levels = [use.listened.levels.level_dbfs for use in used]
    if len(used) < MIN_CLIPS:
        return
    usual = median(levels)
    for use, level in zip(used, levels, strict=True):
        if math.isfinite(level) and abs(level - usual) > LEVEL_OFF_DB:
            yield _finding(checks.LEVEL_OUTLIER, use, f"{level:.0f} dBFS, usually {usual:.0f}")
