"""Are speakers named, and do the names identify persons?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.record import Record, resolved

MIN_SAMPLES = 3  # below, names are not judged
MANY = 50  # samples without a repeated speaker: evaluation sets of one clip per person are rarely as large


def speaker_findings(records: Sequence[Record], place: Place) -> Iterator[DataFinding]:
    """Problems of the speaker names over a whole file."""
    named = [record for record in records if record.sample.speaker]
    names = {record.sample.speaker for record in named}
    total = len(records)
    if not named:
        yield checks.SPEAKER_MISSING.at(place, seen=f"in none of {total} samples", field="speaker")
        return
    if len(named) < total:
        yield checks.SPEAKER_PARTLY_NAMED.at(place, seen=f"in {len(named)} of {total} samples", field="speaker")
    if are_ids(records):
        example = named[0].sample.speaker
        seen = f"{len(names)} names in {len(named)} samples, such as {example!r}"
        yield checks.SPEAKER_IS_SAMPLE_ID.at(place, seen=seen, field="speaker")
        return
    if len(names) == 1 and total >= MIN_SAMPLES:
        yield checks.SPEAKER_SINGLE.at(place, seen=f"{next(iter(names))!r} in {len(named)} samples", field="speaker")
    yield from _shared_clips(named)


def are_ids(records: Sequence[Record]) -> bool:
    """Whether speakers are the ids or file names of their samples, or different in each of `MANY` samples."""
    named = [record.sample for record in records if record.sample.speaker]
    if len(named) < MIN_SAMPLES or len({sample.speaker for sample in named}) < len(named):
        return False
    stems = [sample.target_audio.stem if sample.target_audio is not None else None for sample in named]
    pairs = zip(named, stems, strict=True)
    return len(named) >= MANY or all(sample.speaker in (sample.sample_id, stem) for sample, stem in pairs)


def _shared_clips(named: Sequence[Record]) -> Iterator[DataFinding]:
    owner: dict[Path, Record] = {}
    reported: set[Path] = set()
    for record in named:
        for field, clip in record.clips():
            path = resolved(clip.path)
            first = owner.setdefault(path, record)
            if first.sample.speaker != record.sample.speaker and path not in reported:
                reported.add(path)
                seen = f"{clip.name}: {record.sample.speaker!r} here, {first.sample.speaker!r} in {first.place.sample}"
                yield checks.CLIP_OF_TWO_SPEAKERS.at(record.place, seen=seen, field=field, clip=clip.name)
