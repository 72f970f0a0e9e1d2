"""Data and settings that look like a failure and are none, or another one: the doctor must not call them an error."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from doctor.small_run import SAMPLES, Batch, diagnose, spoiled
from doctor.traces import examined, names
from probes.small_model import sample, turns

from tracker_logging.doctor.doctor import Doctor
from tracker_logging.doctor.rules import RULES
from tracker_logging.families import IGNORE


def unlabelled(whole: Batch) -> Batch:
    return whole | {"audio_labels": torch.full_like(whole["audio_labels"], IGNORE)}


EVERY_SECOND = [unlabelled(own) if at % 2 else own for at, own in enumerate(SAMPLES)]


def test_batches_without_labels_are_a_warning_about_the_data(tmp_path: Path) -> None:
    """Batch size 1, and every second sample has lost its labels: the other half is trained."""
    settings = {"per_device_train_batch_size": 1, "max_steps": 8, "train_sampling_strategy": "sequential"}
    found = diagnose(tmp_path, samples=EVERY_SECOND, **settings)
    assert found.bad == {"samples_without_labels"}
    finding = found.findings["samples_without_labels"]
    assert finding.level == "warning"
    assert finding.seen.startswith("at step 2, 4, 6, 8 no position of the batch carries a label"), finding.seen


def test_part_of_a_batch_without_labels_is_a_warning_about_the_data(tmp_path: Path) -> None:
    found = diagnose(tmp_path, samples=EVERY_SECOND, max_steps=3, train_sampling_strategy="sequential")
    assert found.bad == {"samples_without_labels"}
    assert "50 % of the samples of the batch carry no label" in found.findings["samples_without_labels"].seen


def test_a_training_without_any_label_is_not_blamed_on_backward(tmp_path: Path) -> None:
    found = diagnose(tmp_path, samples=[unlabelled(own) for own in SAMPLES])
    assert found.bad == {"samples_without_labels"}


def target_copied(made: Batch) -> None:
    """Reference and target have as many frames in these samples: the second half is made the first."""
    half = made["audio_input_ids"].shape[1] // 2
    labels = made["audio_labels"][:, half:]
    codes = made["audio_input_ids"][:, :half]
    made["audio_input_ids"][:, half:] = codes
    made["audio_labels"][:, half:] = codes.where(labels != IGNORE, IGNORE)


def test_a_target_that_is_its_own_reference_is_named(tmp_path: Path) -> None:
    same_length = [sample(6, 6, seed=at) for at in range(24)]
    assert diagnose(tmp_path, samples=same_length).bad == set()
    found = diagnose(tmp_path, samples=same_length, collate=spoiled(target_copied), max_steps=2)
    assert found.bad == {"reference_is_target"}
    assert "in 4 samples" in found.findings["reference_is_target"].seen


def test_a_recipe_without_references_is_information_only(tmp_path: Path) -> None:
    single_turn = [sample(0, 4 + at % 5, seed=at) for at in range(24)]
    found = diagnose(tmp_path, samples=single_turn)
    assert set(found.findings) == {"trained_without_reference"} and found.bad == set()


def test_a_recipe_of_several_targets_per_sample_has_no_finding(tmp_path: Path) -> None:
    """Two voices, then three turns of a dialogue that are all trained; the lengths differ."""
    dialogues = [
        turns((4, False), (5, False), *[(4 + (at + turn) % 4, True) for turn in range(1 + at % 3)], seed=at)
        for at in range(24)
    ]
    found = diagnose(tmp_path, samples=dialogues)
    assert found.findings == {} and found.errors == 0
    assert found.values["chatml/reference_labelled_pct"] == 0.0
    assert found.values["chatml/eos_labelled_pct"] == found.values["chatml/label_coverage_pct/codebook_0"] == 100.0
    assert found.values["chatml/targets_per_sample"] > 1


def test_conversations_of_which_every_clip_is_trained_are_no_trained_reference(tmp_path: Path) -> None:
    conversations = [turns(*[(4 + (at + turn) % 4, True) for turn in range(2 + at % 3)], seed=at) for at in range(24)]
    assert diagnose(tmp_path, samples=conversations).findings == {}


def test_a_training_that_mixes_samples_with_and_without_a_reference_has_no_warning(tmp_path: Path) -> None:
    """Batch size 1, and cloning is wanted: every third sample has no reference."""
    mixed = [sample(0 if at % 3 == 1 else 4, 4 + at % 5, seed=at) for at in range(24)]
    settings = {"per_device_train_batch_size": 1, "max_steps": 12, "train_sampling_strategy": "sequential"}
    assert diagnose(tmp_path, samples=mixed, **settings).bad == set()


@pytest.mark.parametrize("shares", [[25.0, 25.0, 0.0, 50.0], [100.0, 0.0, 100.0, 100.0, 0.0, 0.0, 100.0]])
def test_batches_without_references_by_chance_are_no_lost_references(shares: list[float]) -> None:
    trace = {"chatml/with_reference_pct": shares, "conditioning/gap/mean": [0.0]}
    assert "reference_missing" not in names(trace)


def test_a_single_zero_gradient_is_not_counted_twice() -> None:
    """The Trainer logs its norm after the step at which the other numbers are new."""
    doctor = Doctor()
    doctor.add(1, {"train/grad_norm": 2.0})
    for step in (2, 4, 6):
        doctor.add(step, {"gradients/reached_pct/heads": 0.0, "chatml/with_labels_pct": 0.0})
        doctor.examine()
        doctor.add(step, {"train/grad_norm": 0.0})
        doctor.add(step + 1, {"gradients/reached_pct/heads": 100.0, "chatml/with_labels_pct": 100.0})
        doctor.examine()
        doctor.add(step + 1, {"train/grad_norm": 1.0})
        doctor.examine()
    assert {finding.name for finding in doctor.findings} == {"samples_without_labels"}


def test_an_update_that_is_not_measured_is_no_error() -> None:
    """DeepSpeed steps its own copy of the weights."""
    unmeasured = {"gradients/update_ratio/heads": [0.0] * 8, "gradients/update_ratio/audio_ffn": [0.0] * 8}
    assert names(unmeasured | {"train/loss": [8.0, 7.5, 7.0, 6.5, 6.0, 5.5, 5.0, 4.5]}) == set()
    (finding,) = examined(unmeasured | {"train/loss": [8.0] * 8})
    assert (finding.name, finding.level) == ("no_update", "warning")
    assert "DeepSpeed" in finding.cause


def test_steps_that_the_fp16_scaler_skips_at_the_start_are_no_finding() -> None:
    doctor = Doctor()
    for step in range(1, 12):
        doctor.add(step, {"train/grad_norm": math.inf if step < 9 else 1.0})
        doctor.examine()
    assert doctor.findings == ()


def test_codes_that_are_not_delayed_have_no_masked_end_codes() -> None:
    trace = {"chatml/delay_violations": [8.0] * 3, "chatml/eos_labelled_pct": [12.5] * 3}
    assert names(trace) == {"delay_pattern_off"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_cause_is_certain_or_ranked_with_a_check(rule) -> None:  # type: ignore[no-untyped-def]
    if rule.certainty == "certain":
        assert len(rule.causes) == 1 and rule.causes[0].check == ""
    else:
        assert len(rule.causes) >= 2 and all(cause.text and cause.check for cause in rule.causes)
        assert len({cause.check for cause in rule.causes}) == len(rule.causes)


def test_no_advice_loads_trained_weights_in_bf16() -> None:
    for rule in RULES:
        assert "without torch_dtype" not in rule.fix and 'dtype="auto"' not in rule.fix


@pytest.mark.parametrize(
    ("entropies", "first"),
    [
        ([6.0, 6.0, 6.0], "targets of another speaker"),
        ([4.0, 4.0, 4.0], "another codec"),
        ([6.0, 1.0, 0.1], "targets of another speaker"),  # the last codebooks copy the voice of a wrong reference
    ],
)
def test_codes_that_surprise_the_model_are_named_before_pairs_of_other_speakers(
    entropies: list[float], first: str
) -> None:
    """A model that was trained on other codes is sure and wrong; one of random weights is as unsure as it is wrong."""
    trace = {"outputs/nll/mean": [6.0, 4.0, 2.0, 1.5, 1.2, 1.0], "conditioning/gap/low": [-0.1] * 6}
    for codebook, entropy in enumerate(entropies):
        trace[f"outputs/nll/codebook_{codebook}"] = trace["outputs/nll/mean"]
        trace[f"outputs/entropy/codebook_{codebook}"] = [entropy] * 6
    (finding,) = examined(trace | {"conditioning/gap/high": [0.1] * 6})
    assert finding.name == "reference_ignored"
    assert first in finding.cause.split("(2)")[0]
    assert ("Seen: " in finding.cause) == (first == "another codec")


@pytest.mark.parametrize(("low", "high", "is_ignored"), [(-0.05, 2.9, False), (-0.05, 0.15, True), (-0.3, 0.05, True)])
def test_a_wide_interval_of_a_large_gap_is_no_ignored_reference(low: float, high: float, *, is_ignored: bool) -> None:
    """Six prompts whose gaps differ: the interval includes 0, but its middle is above the nll."""
    trace = {"outputs/nll/mean": [6.0, 4.0, 2.0, 1.5, 1.2, 1.0], "conditioning/gap/low": [low] * 6}
    found = names(trace | {"conditioning/gap/high": [high] * 6})
    assert ("reference_ignored" in found) == is_ignored


@pytest.mark.parametrize(("right", "is_ignored"), [(0.6, False), (0.2, True)])
def test_a_reference_whose_voice_most_clips_have_is_not_ignored(right: float, *, is_ignored: bool) -> None:
    """A model that copies the codes of its reference: those of another recording are no more likely."""
    small = {"conditioning/gap/low": [-0.1] * 24, "conditioning/gap/high": [0.2] * 24, "outputs/nll/mean": [4.0] * 24}
    found = names(small | {"voices/spk_top1": [right] * 24, "voices/spk_top1_chance": [0.06] * 24})
    assert ("reference_ignored" in found) == is_ignored
