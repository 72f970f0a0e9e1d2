"""Are speakers named, and do the names identify persons?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.rows import NONE, Rows, firsts

MIN_SAMPLES = 3  # below, names are not judged
MANY = 50  # samples without a repeated speaker: evaluation sets of one clip per person are rarely as large


def speaker_findings(rows: Rows) -> Iterator[DataFinding]:
    """Problems of the speaker names over a whole file."""
    speakers, total = rows.column("speaker"), len(rows)
    named = np.flatnonzero(speakers != NONE)
    names = np.unique(speakers[named])
    if not len(named):
        yield checks.SPEAKER_MISSING.at(rows.place, seen=f"in none of {total} samples", field="speaker")
        return
    if len(named) < total:
        yield checks.SPEAKER_PARTLY_NAMED.at(rows.place, seen=f"in {len(named)} of {total} samples", field="speaker")
    example = rows.shared.names.name(int(speakers[named[0]]))
    if are_ids(rows):
        seen = f"{len(names)} names in {len(named)} samples, such as {example!r}"
        yield checks.SPEAKER_IS_SAMPLE_ID.at(rows.place, seen=seen, field="speaker")
        return
    if len(names) == 1 and total >= MIN_SAMPLES:
        yield checks.SPEAKER_SINGLE.at(rows.place, seen=f"{example!r} in {len(named)} samples", field="speaker")
    yield from _shared_clips(rows)


def are_ids(rows: Rows) -> bool:
    """Whether speakers are the ids or file names of their samples, or different in each of `MANY` samples."""
    speakers = rows.column("speaker")
    is_named = speakers != NONE
    named = speakers[is_named]
    if len(named) < MIN_SAMPLES or len(np.unique(named)) < len(named):
        return False
    return len(named) >= MANY or bool(rows.column("is_own_speaker")[is_named].all())


def _shared_clips(rows: Rows) -> Iterator[DataFinding]:
    speakers = rows.column("speaker")
    used = np.stack([rows.column("reference"), rows.column("target")], axis=1).reshape(-1)
    row = np.repeat(np.arange(len(rows)), 2)
    kept = np.flatnonzero((used != NONE) & (speakers[row] != NONE))
    used, row = used[kept], row[kept]
    owner = row[firsts(used)] if len(used) else row
    others = np.flatnonzero(speakers[owner] != speakers[row])
    others = others[firsts(used[others]) == np.arange(len(others))] if len(others) else others  # each clip once
    for position in others:
        record, first = rows.record(row[position]), rows.record(owner[position])
        field, clip = ("target audio", record.target) if kept[position] % 2 else ("reference audio", record.reference)
        if clip is not None:
            seen = f"{clip.name}: {record.sample.speaker!r} here, {first.sample.speaker!r} in {first.place.sample}"
            yield checks.CLIP_OF_TWO_SPEAKERS.at(record.place, seen=seen, field=field, clip=clip.name)
