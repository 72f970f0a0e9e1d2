"""Which tags a trial owes, and which of them are not in its files.

A tag is owed by the rule of the ledger (`session.ledger.promised`): its owner observed, and everything that it depends
on (`Tag.optional`) is certain to hold for this material. Other dependencies count as uncertain.

    missing(trial, owners=("inputs", "tracker"), material=material)     # ["inputs/samples", …]
"""

from __future__ import annotations

from collections.abc import Sequence

from tracker_logging import tags
from tracker_logging.data.sample import VoiceSample
from tracker_logging.session.ledger import promised
from tracker_logging.validation.material import Material
from tracker_logging.validation.trial import Trial


def holding(material: Material) -> frozenset[str]:
    """Those dependencies of tags that are certain to hold: the trial evaluates, and the processor has a codec."""
    with_reference = [sample for sample in material.train if sample.reference_audio is not None]
    reference = {"a reference is in the batch", "both groups are in the sample"}
    places = ([one for one in material.voices if one.references_in == place] for place in ("turns", "system"))
    two_speakers = {"two speakers"} if any(len(_speakers(samples)) > 1 for samples in places) else set()
    return frozenset(
        {"a codec", "evaluation", "audio is trained", "a target is in the batch", "that role is in the batch"}
        | {"target text and audio are in the sample", "there was a step before", "the component is not frozen"}
        | {"the family has that path", "the family has two paths", "the family's layers are known"}
        | (reference if len(with_reference) == len(material.train) else set())
        | two_speakers
    )


def owed(*, owners: Sequence[str], material: Material) -> list[tags.Tag]:
    """The families that a trial owes, by the rule of the session's ledger. Without prompts the voices owe nothing."""
    with_prompts = set(owners) if material.voices else set(owners) - {"zero_shot"}
    return promised(owners=with_prompts, facts=holding(material))


def missing(trial: Trial, *, owed: Sequence[tags.Tag]) -> list[str]:
    """Those of `owed` of which the files hold no name."""
    written = {tag for name in trial.written for tag in (tags.find(name), tags.find(name.rpartition("/")[0]))}
    return [tag.template for tag in owed if tag not in written]


def _speakers(samples: Sequence[VoiceSample]) -> set[str]:
    return {sample.speaker or str(sample.reference_audio) for sample in samples}
