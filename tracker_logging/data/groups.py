"""Groups of voices: whether a voice was trained, or any other kind that the data names.

People fine-tune a pretrained model on new speakers and ask whether it still clones others: scores are given by group.

Rules
- A sample that has a field `group` (also below `misc`) is in the group of that name.
- Of the others, a speaker that occurs in the training data is in `TRAINED`, one that does not is in `UNSEEN`.
- Nothing is guessed: a sample without a speaker is in no group, and a speaker that is not found is only `UNSEEN` if
  every training sample was read and names its speaker.
- A name that begins with "trained" or "unseen" is a group of such voices: "unseen real speakers".

    trained = TrainedSpeakers.of(train)
    samples = with_groups(evaluation, trained)
    group_of(samples[0])            # "unseen"
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tracker_logging.data.sample import VoiceSample, own_values
from tracker_logging.data.samples import evenly
from tracker_logging.tags import TRAINED, UNSEEN

GROUP = "group"
MOST_READ = 20_000
"""Training samples that are read for their speakers: a few seconds."""


@dataclass(frozen=True, slots=True)
class TrainedSpeakers:
    """`names`: speakers of the training data. `doubt`: why a speaker that is not among them may be trained all the
    same; empty if all are known."""

    names: frozenset[str]
    doubt: str = ""

    @classmethod
    def of(cls, training: Sequence[VoiceSample]) -> TrainedSpeakers:
        """Of more than `MOST_READ` samples, that many are read, evenly spread. Raises `DataError` for a bad sample."""
        speakers = [sample.speaker for sample in evenly(training, MOST_READ)]
        unnamed = speakers.count(None) + speakers.count("")
        doubt = ""
        if not speakers:
            doubt = "there is no training data"
        elif unnamed:
            doubt = f"{unnamed} of {len(speakers)} training samples name no speaker"
        elif len(training) > MOST_READ:
            doubt = f"of {len(training)} training samples {MOST_READ} were read"
        return cls(names=frozenset(filter(None, speakers)), doubt=doubt)

    def group(self, speaker: str | None) -> str | None:
        """`TRAINED`, `UNSEEN`, or None where it is not known."""
        if not speaker:
            return None
        if speaker in self.names:
            return TRAINED
        return None if self.doubt else UNSEEN


def group_of(sample: VoiceSample) -> str | None:
    """The group that the sample names; None without one."""
    return next(
        (group.strip() for group in own_values(sample, GROUP) if isinstance(group, str) and group.strip()), None
    )


def with_groups(samples: Iterable[VoiceSample], trained: TrainedSpeakers) -> list[VoiceSample]:
    """The samples, each with the group that follows from its speaker where it names none."""
    grouped: list[VoiceSample] = []
    for sample in samples:
        group = None if group_of(sample) else trained.group(sample.speaker)
        grouped.append(sample if group is None else replace(sample, extra={**sample.extra, GROUP: group}))
    return grouped


def group_facts(samples: Iterable[VoiceSample], trained: TrainedSpeakers) -> dict[str, str]:
    """How many of the samples are in each group, and why some are in none.

    >>> sample = VoiceSample(sample_id="a", reference_text="", reference_audio=None, target_text="", target_audio=None,
    ...                      speaker="slt")
    >>> group_facts([sample], TrainedSpeakers(frozenset(), doubt="there is no training data"))
    {'voice_groups': 'none 1 (there is no training data)'}
    """
    counts = Counter(group_of(sample) for sample in samples)
    without = counts.pop(None, 0)
    texts = [f"{group} {count}" for group, count in sorted(counts.items(), key=str)]
    if without:
        texts.append(f"none {without} ({trained.doubt or 'without a speaker'})")
    return {"voice_groups": ", ".join(texts)} if texts else {}
