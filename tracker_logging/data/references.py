"""References for corpora that have none: another utterance of the same speaker.

Most corpora are clips with a text and a speaker. For voice cloning each target gets a reference: another utterance of
the same speaker, of suitable length, chosen by a seed only, so that two runs on the same data have the same pairs.

    samples = open_samples(Path("metadata.csv"), pairing=Pairing(seed=7))
    pair_references(["slt", "slt", "awb"], [2.0, 3.1, 2.4], Pairing())      # [1, 0, None]
"""

from __future__ import annotations

import logging
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker_logging.data.audio import check_audio
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.data.samples import Source, read_sample

logger = logging.getLogger(__name__)

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Pairing:
    """How references are chosen. `min_s`, `max_s`: the length of a reference in seconds."""

    seed: int = 0
    min_s: float = 1.0
    max_s: float = 15.0


def pair_references(
    speakers: Sequence[str | None], seconds: Sequence[float | None], pairing: Pairing
) -> list[int | None]:
    """For each utterance the index of its reference; None without a speaker, or without another suitable utterance.

    `speakers` and `seconds` have one entry per utterance; None in `seconds` makes it unsuitable as a reference.

    >>> pair_references(["slt", "slt", "awb", None], [2.0, 3.1, 2.4, 2.0], Pairing())
    [1, 0, None, None]
    """
    suitable: dict[str, list[int]] = defaultdict(list)
    for index, (speaker, length) in enumerate(zip(speakers, seconds, strict=True)):
        if speaker is not None and length is not None and pairing.min_s <= length <= pairing.max_s:
            suitable[speaker].append(index)
    references: list[int | None] = []
    for index, speaker in enumerate(speakers):
        others = suitable.get(speaker, []) if speaker is not None else []
        at = bisect_left(others, index)
        is_suitable = at < len(others) and others[at] == index
        count = len(others) - is_suitable
        if count < 1:
            references.append(None)
            continue
        chosen = random.Random(f"{pairing.seed} {speaker} {index}").randrange(count)
        references.append(others[chosen + (is_suitable and chosen >= at)])
    return references


def hold_out_speakers(speakers: Sequence[str | None], *, share: float, seed: int = 0) -> frozenset[str]:
    """About `share` of the speakers, at least one of two or more, chosen by `seed`: for evaluation on unseen voices.

    >>> sorted(hold_out_speakers(["a", "b", "c", "d"], share=0.5, seed=1)) == sorted(
    ...     hold_out_speakers(["d", "c", "b", "a", "a"], share=0.5, seed=1))
    True
    """
    names = sorted({speaker for speaker in speakers if speaker is not None})
    if len(names) < 2 or share <= 0:
        return frozenset()
    count = min(len(names) - 1, max(1, round(share * len(names))))
    return frozenset(random.Random(f"{seed} held out").sample(names, count))


@dataclass(frozen=True, slots=True)
class PairedReferences:
    """The samples of `source`, each with the recording of another as its reference. `partners[i]` is -1 without one; a
    sample that has a reference keeps it."""

    source: Source
    partners: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int, /) -> VoiceSample:
        return self.paired(self.source[index], index)

    def paired(self, sample: VoiceSample, index: int) -> VoiceSample:
        """`sample`, which is number `index` of `source`, with its reference. Raises `DataError`."""
        partner = int(self.partners[index])
        if partner < 0 or sample.reference_audio is not None:
            return sample
        return sample.with_reference_from(self.source[partner])


def with_references(source: Source, pairing: Pairing, *, report: bool = True) -> PairedReferences:
    """`source` with references. Reads every sample and the header of every clip once; with `report` logs which speakers
    have none."""
    speakers: list[str | None] = []
    seconds: list[float | None] = []
    for index in range(len(source)):
        speaker, length = None, None
        try:
            sample = read_sample(source, index)
            speaker = sample.speaker
            length = None if sample.target_audio is None else check_audio(sample.target_audio)
        except DataError:  # a bad sample is reported when it is checked
            pass
        speakers.append(speaker)
        seconds.append(length)
    partners = pair_references(speakers, seconds, pairing)
    if report:
        _report(speakers, partners, pairing)
    return PairedReferences(source, np.array([-1 if partner is None else partner for partner in partners], np.int64))


def _report(speakers: Sequence[str | None], partners: Sequence[int | None], pairing: Pairing) -> None:
    unnamed = sum(speaker is None for speaker in speakers)
    if unnamed:
        logger.warning(
            "%d of %d samples name no speaker and get no reference. Name the column with --columns speaker=…; of a "
            "directory of recordings write a table (tracker-logging convert DIRECTORY OUT.csv --to manifest), and fill "
            "in its speakers.",
            unnamed,
            len(speakers),
        )
    alone = sorted(
        {str(speaker) for speaker, partner in zip(speakers, partners, strict=True) if speaker and partner is None}
    )
    if alone:
        named = ", ".join(alone[:_NAMED]) + (", …" if len(alone) > _NAMED else "")
        logger.warning(
            "%d speakers have samples without a reference (%s): no other clip of %g to %g s. Add recordings of them.",
            len(alone),
            named,
            pairing.min_s,
            pairing.max_s,
        )
