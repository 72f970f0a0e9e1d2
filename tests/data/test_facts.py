from dataclasses import replace
from pathlib import Path

from tracker_logging.data.facts import dataset_facts
from tracker_logging.data.sample import VoiceSample

SAMPLE = VoiceSample(
    sample_id="1",
    reference_text="One.",
    reference_audio=Path("here/a.wav"),
    target_text="Two.",
    target_audio=Path("here/b.wav"),
    speaker="slt",
)


def test_the_same_data_elsewhere_has_the_same_fingerprint_and_other_data_another() -> None:
    facts = dataset_facts("train", [SAMPLE, replace(SAMPLE, speaker="rms")])
    assert (facts["train_samples"], facts["train_speakers"], facts["train_languages"]) == (2, 2, 0)
    moved = replace(SAMPLE, reference_audio=Path("there/a.wav"))
    other = replace(SAMPLE, target_text="Three.")
    fingerprints = [dataset_facts("x", [one])["x_fingerprint"] for one in (SAMPLE, moved, other)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
