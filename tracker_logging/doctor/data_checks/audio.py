"""Are the clips valid audio? By their headers, or decoded on request.

- `audio_findings` needs headers only, `sound_findings` what `sounds.py` has decoded.
- Equal audio is recognised by its content, whatever the file is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np

from tracker_logging.data.sample import own_values
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import Check, DataFinding, Place
from tracker_logging.doctor.data_checks.record import Clip, Record, Sound, same_sound
from tracker_logging.doctor.data_checks.rows import NONE, Rows, counted
from tracker_logging.metrics.speech import SpeechLevels

SHORTEST_S = 0.1
SHORT_REFERENCE_S = 1.0
LONG_S = 60.0
LOW_HZ = 16_000
USUAL_HZ = frozenset({16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000})
DECLARED_OFF_S, DECLARED_OFF_SHARE = 0.5, 0.1  # both must be exceeded
MISSING_BYTES = 1024  # less is padding or a forgotten chunk at the end
SILENT_S, SILENT_PCT, QUIET_DBFS, CLIPPED_PCT, OFFSET = 0.1, 70.0, -45.0, 0.5, 0.02


def audio_findings(record: Record) -> Iterator[DataFinding]:
    """Problems in the headers of the sample's clips."""
    for field, clip in record.clips():
        yield from _header(record.place, field, clip)
    target, reference = record.target, record.reference
    if target is None or target.problem:
        return
    for field, clip in record.clips():
        if field == "target audio" and clip.problem is None and clip.seconds < SHORTEST_S:
            yield checks.AUDIO_TOO_SHORT.at(record.place, seen=_length(clip), field=field, clip=clip.name)
    declared = _declared_seconds(record)
    if declared is not None:
        off = abs(declared - target.seconds)
        if off > DECLARED_OFF_S and off > DECLARED_OFF_SHARE * target.seconds:
            seen = f"declared {declared:.4g} s, the clip has {target.seconds:.2f} s"
            yield checks.DURATION_DECLARED.at(record.place, seen=seen, field="duration", clip=target.name)
    if reference is None or reference.problem:
        return
    clips = [(field, clip) for field, clip in record.clips() if clip.problem is None]
    references = [clip for field, clip in clips if field == "reference audio"]
    for reference in references:
        if reference.seconds < SHORT_REFERENCE_S:
            yield checks.REFERENCE_SHORT.at(record.place, seen=_length(reference), field="reference audio")
    for reference, (field, clip) in product(references, clips):
        if field == "target audio" and same_sound(reference, clip):
            seen = f"both are {clip.name}" if reference.path == clip.path else f"{reference.name} = {clip.name}"
            yield checks.TARGET_IS_REFERENCE.at(record.place, seen=seen, field=field, clip=clip.name)


def sound_findings(rows: Rows, sounds: Mapping[int, Sound]) -> Iterator[DataFinding]:
    """Problems in the decoded clips; `sounds`: by the number of the clip, those that may have one."""
    listed = np.zeros(len(rows.shared.clips) + 1, dtype=bool)  # the last is that of NONE
    listed[list(sounds)] = True
    references, targets = rows.column("reference"), rows.column("target")
    suspects = {row for row, more in rows.more.items() if listed[list(more)].any()}
    for row in sorted({*np.flatnonzero(listed[references] | listed[targets]).tolist(), *suspects}):
        record = rows.record(row)
        numbers = [int(number) for number in (references[row], targets[row]) if number != NONE]
        for (field, clip), number in zip(record.clips(), [*numbers, *rows.more.get(row, ())], strict=True):
            sound = sounds.get(number)
            if sound is not None and sound.problem is not None:
                check, seen = sound.problem
                yield check.at(record.place, seen=seen, field=field, clip=clip.name)
            elif sound is not None and sound.levels is not None:
                yield from level_findings(record.place, field, clip, sound.levels)


def is_suspect(sound: Sound) -> bool:
    """Whether a clip that sounds like this may have a finding."""
    levels = sound.levels
    if levels is None:
        return sound.problem is not None
    return (
        levels.speech_s < SILENT_S
        or levels.silence_pct > SILENT_PCT
        or levels.level_dbfs < QUIET_DBFS
        or abs(levels.dc_offset) > OFFSET
        or levels.clip_pct > CLIPPED_PCT
    )


def dataset_findings(rows: Rows) -> Iterator[DataFinding]:
    """Sample rates and channels over a file, each clip counted once."""
    clips = rows.shared.clips
    used = np.unique(rows.utterances().clip)
    rates = [(rate, count) for rate, count in counted(clips.rates[used]) if rate]
    if len(rates) > 1:
        seen = ", ".join(f"{count} clips at {rate} Hz" for rate, count in rates)
        yield checks.RATES_MIXED.at(rows.place, seen=seen)
    for rate, count in rates:
        if rate >= LOW_HZ and rate not in USUAL_HZ:
            yield checks.RATE_ODD.at(rows.place, seen=f"{count} clips at {rate} Hz")
    wide = int((clips.channels[used] > 1).sum())
    if wide:
        yield checks.CHANNELS_AVERAGED.at(rows.place, seen=f"{wide} of {len(used)} clips")


def _header(place: Place, field: str, clip: Clip) -> Iterator[DataFinding]:
    if clip.problem is not None:
        check, seen = clip.problem
        yield check.at(place, seen=seen, field=field, clip=clip.name)
        return
    if clip.missing_bytes > MISSING_BYTES:
        seen = f"{clip.name}: {clip.missing_bytes} of {clip.size + clip.missing_bytes} bytes are missing"
        yield checks.AUDIO_TRUNCATED.at(place, seen=seen, field=field, clip=clip.name)
    if clip.seconds > LONG_S:
        yield checks.AUDIO_LONG.at(place, seen=_length(clip), field=field, clip=clip.name)
    if clip.sample_rate < LOW_HZ:
        yield checks.RATE_LOW.at(place, seen=f"{clip.name}: {clip.sample_rate} Hz", field=field, clip=clip.name)


def level_findings(place: Place, field: str, clip: Clip, levels: SpeechLevels) -> Iterator[DataFinding]:
    """Problems of the levels of one decoded clip."""

    def finding(check: Check, seen: str) -> DataFinding:
        return check.at(place, seen=f"{clip.name}: {seen}", field=field, clip=clip.name)

    if levels.speech_s < min(SILENT_S, clip.seconds / 2):
        yield finding(checks.AUDIO_SILENT, f"{levels.speech_s:.2f} s with sound, peak {levels.peak_dbfs:.0f} dBFS")
        return
    if levels.silence_pct > SILENT_PCT:
        yield finding(checks.AUDIO_MOSTLY_SILENT, f"{levels.silence_pct:.0f} % without sound")
    if levels.level_dbfs < QUIET_DBFS:
        yield finding(checks.AUDIO_QUIET, f"{levels.level_dbfs:.0f} dBFS")
    if abs(levels.dc_offset) > OFFSET:
        yield finding(checks.AUDIO_OFFSET, f"a DC offset of {levels.dc_offset:+.3f}")
    if levels.clip_pct > CLIPPED_PCT:
        yield finding(checks.AUDIO_CLIPPED, f"{levels.clip_pct:.1f} % of the samples at full scale")


def _declared_seconds(record: Record) -> float | None:
    """The target's duration in seconds, where the sample declares one."""
    for value in own_values(record.sample, "duration"):
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9:
            return float(value)
    return None


def _length(clip: Clip) -> str:
    return f"{clip.name}: {clip.seconds:.3g} s"
