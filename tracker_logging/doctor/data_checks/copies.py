"""Duplicates: repeated samples, clips with two texts, and evaluation data that is also in the training data.

- Clips are compared by content: by size and length, then by a few bytes, then by a hash of those that may be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.record import Clip, Record, content_of, middle_of, resolved
from tracker_logging.doctor.data_checks.speakers import are_ids
from tracker_logging.doctor.data_checks.texts import quoted, words

MANY = 0.05  # share of repeats


class Sounds:
    """Gives equal audio one name: the file, or the hash of its content where another file has its size and length."""

    def __init__(self, records: Sequence[Record]) -> None:
        clips = {clip.path: clip for record in records for _, clip in record.clips() if clip.problem is None}
        self._files = {path: resolved(path) for path in clips}
        self._hashes = {
            self._files[clip.path]: content_of(clip)
            for same_size in _groups(clips.values(), lambda clip: (clip.size, clip.frames, clip.sample_rate))
            for same_middle in _groups(same_size, middle_of)
            for clip in same_middle
        }

    def name(self, clip: Clip | None) -> str:
        """Equal for equal audio; empty without a clip."""
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
        for utterance in record.utterances():
            text, owner = texts.setdefault(sounds.name(utterance.clip), (words(utterance.text), record))
            if text != words(utterance.text):
                seen = f"{utterance.clip.name}: {quoted(utterance.text)} here, another text in {owner.place.sample}"
                field = f"{utterance.role} text"
                yield checks.CLIP_WITH_TWO_TEXTS.at(record.place, seen=seen, field=field, clip=utterance.clip.name)
    if repeats > MANY * len(records):
        yield checks.MANY_DUPLICATES.at(place, seen=f"{repeats} of {len(records)} samples")


def leak_findings(train: Sequence[Record], evaluation: Sequence[Record], sounds: Sounds) -> Iterator[DataFinding]:
    """Targets of `evaluation` that are in `train`, and sentences that its speakers have in `train` too."""
    trained = {sounds.name(record.target): record for record in train if record.target is not None}
    by_speaker = {} if are_ids(train) or are_ids(evaluation) else {_sentence(record): record for record in train}
    for record in evaluation:
        same = trained.get(sounds.name(record.target)) if record.target is not None else None
        twin = by_speaker.get(_sentence(record)) if record.sample.speaker else None
        if same is not None and record.target is not None:
            seen = f"{record.target.name} is the target of {same.place.sample}"
            yield checks.LEAK_TARGET.at(record.place, seen=seen, field="target audio", clip=record.target.name)
        elif twin is not None:
            seen = f"{record.sample.speaker!r} has {quoted(record.sample.target_text)} in {twin.place.sample} too"
            yield checks.LEAK_TEXT.at(record.place, seen=seen, field="target text")


def _groups(clips: Iterable[Clip], key: Callable[[Clip], Hashable]) -> list[list[Clip]]:
    """Clips of equal `key`, in groups of two and more."""
    groups: dict[Hashable, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(key(clip), []).append(clip)
    return [group for group in groups.values() if len(group) > 1]


def _sentence(record: Record) -> tuple[str | None, str]:
    return record.sample.speaker, words(record.sample.target_text)
