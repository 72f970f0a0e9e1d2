"""What occurs twice: repeated samples, clips with two texts, and evaluation data that is trained on.

- Clips are compared by content: by size and length, then by a few bytes, then by a hash of those that could be equal.

    sounds = Sounds([*train, *evaluation])
    list(copy_findings(train, place, sounds)), list(leak_findings(train, evaluation, sounds))
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.audio import content_of, glimpse_of
from tracker_logging.doctor.data_checks.clips import Clip
from tracker_logging.doctor.data_checks.finding import DataFinding, Place
from tracker_logging.doctor.data_checks.record import Record, resolved
from tracker_logging.doctor.data_checks.speakers import are_ids
from tracker_logging.doctor.data_checks.texts import quoted, words

MANY = 0.05  # share of repeats


class Sounds:
    """One name for equal sounds: the file, or the hash of its content where another file has its size and length."""

    def __init__(self, records: Sequence[Record]) -> None:
        clips = {clip.path: clip for record in records for _, clip in record.clips() if clip.problem is None}
        self._files = {path: resolved(path) for path in clips}
        self._hashes = {
            self._files[clip.path]: content_of(clip)
            for same_size in _groups(clips.values(), lambda clip: (clip.size, clip.frames, clip.sample_rate))
            for same_middle in _groups(same_size, glimpse_of)
            for clip in same_middle
        }

    def name(self, clip: Clip | None) -> str:
        """Equal for equal sounds; empty without a clip."""
        if clip is None:
            return ""
        file = self._files.get(clip.path, clip.path)
        return self._hashes.get(file, str(file))


def copy_findings(records: Sequence[Record], place: Place, sounds: Sounds) -> Iterator[DataFinding]:
    """Repeats within one file."""
    first: dict[tuple[str, ...], Record] = {}
    texts: dict[str, tuple[str, Record]] = {}
    repeats = 0
    for record in records:
        key = (sounds.name(record.reference), sounds.name(record.target), words(record.sample.target_text))
        earlier = first.setdefault(key, record)
        if earlier is not record:
            repeats += 1
            yield checks.DUPLICATE.at(record.place, seen=f"the same as {earlier.place.sample}")
        for spoken in record.spoken():
            said, owner = texts.setdefault(sounds.name(spoken.clip), (words(spoken.text), record))
            if said != words(spoken.text):
                seen = f"{spoken.clip.name}: {quoted(spoken.text)} here, another text in {owner.place.sample}"
                field = f"{spoken.role} text"
                yield checks.CLIP_WITH_TWO_TEXTS.at(record.place, seen=seen, field=field, clip=spoken.clip.name)
    if repeats > MANY * len(records):
        yield checks.MANY_DUPLICATES.at(place, seen=f"{repeats} of {len(records)} samples")


def leak_findings(train: Sequence[Record], evaluation: Sequence[Record], sounds: Sounds) -> Iterator[DataFinding]:
    """Targets of `evaluation` that are trained on, and sentences that its speakers say in training."""
    trained = {sounds.name(record.target): record for record in train if record.target is not None}
    by_speaker = {} if are_ids(train) or are_ids(evaluation) else {_sentence(record): record for record in train}
    for record in evaluation:
        same = trained.get(sounds.name(record.target)) if record.target is not None else None
        said = by_speaker.get(_sentence(record)) if record.sample.speaker else None
        if same is not None and record.target is not None:
            seen = f"{record.target.name} is the target of {same.place.sample}"
            yield checks.LEAK_TARGET.at(record.place, seen=seen, field="target audio", clip=record.target.name)
        elif said is not None:
            seen = f"{record.sample.speaker!r} says {quoted(record.sample.target_text)} in {said.place.sample} too"
            yield checks.LEAK_TEXT.at(record.place, seen=seen, field="target text")


def _groups(clips: Iterable[Clip], key: Callable[[Clip], Hashable]) -> list[list[Clip]]:
    """Clips of equal `key`, in groups of two and more."""
    found: dict[Hashable, list[Clip]] = {}
    for clip in clips:
        found.setdefault(key(clip), []).append(clip)
    return [group for group in found.values() if len(group) > 1]


def _sentence(record: Record) -> tuple[str | None, str]:
    return record.sample.speaker, words(record.sample.target_text)
