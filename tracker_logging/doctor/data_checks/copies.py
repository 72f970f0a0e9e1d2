"""Duplicates: repeated samples, clips with two texts, and evaluation data that is also in the training data.

- Clips are compared by content: by size and length, then by a few bytes, then by a hash of those that may be equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.record import content_of, middle_of
from tracker_logging.doctor.data_checks.rows import NONE, Clips, Numbers, Rows, firsts, joined
from tracker_logging.doctor.data_checks.speakers import are_ids
from tracker_logging.doctor.data_checks.texts import quoted

MANY = 0.05  # share of repeats


def equal_sounds(clips: Clips) -> Numbers:
    """For each clip the number of the first one of equal content, and `NONE` for `NONE` (as the last item)."""
    sizes = clips.sizes
    same = firsts(joined(sizes, clips.frames, clips.rates)) if len(clips) else np.zeros(0, dtype=np.int64)
    same = np.where(clips.rates > 0, same, np.arange(len(clips)))
    same = _split(same, lambda number: middle_of(clips.paths[number], int(sizes[number])))
    same = _split(same, lambda number: content_of(clips.paths[number]))
    return np.append(same, NONE)


def unread_sounds(clips: Clips) -> Numbers:
    """As `equal_sounds`, without reading: each file is a sound of its own."""
    return np.append(np.arange(len(clips)), NONE)


def copy_findings(rows: Rows, sounds: Numbers) -> Iterator[DataFinding]:
    """Repeats within one file."""
    keys = joined(sounds[rows.column("reference")], sounds[rows.column("target")], rows.column("target_text"))
    earlier = firsts(keys)
    repeats = np.flatnonzero((earlier != np.arange(len(rows))) & (not rows.are_prompts))  # prompts: `prompt_unused`
    for row in repeats:
        seen = f"the same as {rows.place_of(earlier[row]).sample}"
        yield checks.DUPLICATE.at(rows.place_of(row), seen=seen)
    spoken = rows.utterances()
    owner = firsts(sounds[spoken.clip]) if len(spoken.clip) else spoken.clip
    for position in np.flatnonzero(spoken.text[owner] != spoken.text):
        record, other = rows.record(spoken.row[position]), rows.place_of(spoken.row[owner[position]])
        role = "target" if spoken.is_target[position] else "reference"
        utterance = next((known for known in record.utterances() if known.role == role), None)
        if utterance is not None:
            seen = f"{utterance.clip.name}: {quoted(utterance.text)} here, another text in {other.sample}"
            yield checks.CLIP_WITH_TWO_TEXTS.at(record.place, seen=seen, field=f"{role} text", clip=utterance.clip.name)
    if len(repeats) > MANY * len(rows):
        yield checks.MANY_DUPLICATES.at(rows.place, seen=f"{len(repeats)} of {len(rows)} samples")


def leak_findings(train: Rows, evaluation: Rows, sounds: Numbers) -> Iterator[DataFinding]:
    """Targets of `evaluation` that are in `train`, and sentences that its speakers have in `train` too."""
    trained = {int(sound): row for row, sound in enumerate(sounds[train.column("target")]) if sound != NONE}
    are_people = not (are_ids(train) or are_ids(evaluation))
    sentences = dict(zip(_sentences(train).tolist(), range(len(train)), strict=True)) if are_people else {}
    asked, speakers = _sentences(evaluation).tolist(), evaluation.column("speaker")
    for row, sound in enumerate(sounds[evaluation.column("target")].tolist()):
        same = trained.get(sound) if sound != NONE else None
        twin = sentences.get(asked[row]) if speakers[row] != NONE else None
        if same is None and twin is None:
            continue
        record = evaluation.record(row)
        if same is not None and record.target is not None:
            seen = f"{record.target.name} is the target of {train.place_of(same).sample}"
            yield checks.LEAK_TARGET.at(record.place, seen=seen, field="target audio", clip=record.target.name)
        elif twin is not None:
            place = train.place_of(twin).sample
            seen = f"{record.sample.speaker!r} has {quoted(record.sample.target_text)} in {place} too"
            yield checks.LEAK_TEXT.at(record.place, seen=seen, field="target text")


def _split(same: Numbers, content: Callable[[int], bytes]) -> Numbers:
    """`same` with groups of two and more split by the content of their clips."""
    _, inverse, counts = np.unique(same, return_inverse=True, return_counts=True)
    digests = np.zeros(len(same), dtype=np.int64)
    for number in np.flatnonzero(counts[inverse] > 1).tolist():
        digest = hashlib.blake2b(content(number), digest_size=8).digest()
        digests[number] = int.from_bytes(digest, "little", signed=True)
    return firsts(joined(same, digests))


def _sentences(rows: Rows) -> Numbers:
    return joined(rows.column("speaker"), rows.column("target_text"))
