"""The thresholds of the rules: evidence just past the threshold and none just before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from traces import rule

from tracker_logging.doctor.history import History

MEAN = "outputs/nll/mean"
RATIO = "gradients/update_ratio"
LEARNED = {MEAN: [6.0, 4.19, 4.19, 4.19]}
CLIPS = LEARNED | {"voices/valid_clips": [10.0], "voices/invalid_clips": [10.0]}
APART = LEARNED | {"voices/between_speaker_real": [0.6], "voices/spk_top1_chance": [0.2]}
IGNORED = {"conditioning/gap/low": [-0.1] * 3, "conditioning/gap/high": [0.1] * 3}
FALLING = {"train/loss": [10.0, 10.0, 9.8, 9.79, 9.78]}

SHRINK = "gradients/shrink/heads"
TEXT = {"conditioning/text_gap/n": [4.0], "conditioning/text_gap/mean": [0.0]}
FEW_WINS = {"conditioning/text_win_rate": [0.5]}
TEXT_LOW = "conditioning/text_gap/low"

Trace = Mapping[str, Sequence[float]]


def book(tag: str, at: int, *values: float) -> dict[str, Sequence[float]]:
    return {f"outputs/{tag}/codebook_{at}": values}


# (rule, what is always there, just past the edge, just before it)
EDGES: list[tuple[str, Trace, Trace, Trace]] = [
    ("end_codes_masked", {}, {"chatml/eos_labelled_pct": [49.9]}, {"chatml/eos_labelled_pct": [50.0]}),
    (
        "codebook_without_labels",
        {"chatml/label_coverage_pct/codebook_0": [100.0]},
        {"chatml/label_coverage_pct/codebook_1": [49.9]},
        {"chatml/label_coverage_pct/codebook_1": [50.0]},
    ),
    ("loss_wrongly_scaled", {}, {"chatml/loss_ratio": [0.79]}, {"chatml/loss_ratio": [0.8]}),
    ("loss_wrongly_scaled", {}, {"chatml/loss_ratio": [1.26]}, {"chatml/loss_ratio": [1.25]}),
    ("loss_out_of_scale", {MEAN: [3.0] * 2}, {"train/loss": [9.1] * 2}, {"train/loss": [9.0, 9.1]}),
    ("loss_out_of_scale", {MEAN: [3.0] * 2}, {"train/loss": [0.9] * 2}, {"train/loss": [0.9, 1.0]}),
    ("attention_not_causal", {}, {"chatml/causality_leak": [1.1e-3]}, {"chatml/causality_leak": [1e-3]}),
    (
        "reference_missing",
        {"conditioning/gap/mean": [0.0]},
        {"chatml/with_reference_pct": [49.9]},
        {"chatml/with_reference_pct": [50.0]},
    ),
    ("trained_without_reference", {}, {"chatml/with_reference_pct": [49.9]}, {"chatml/with_reference_pct": [50.0]}),
    ("samples_without_labels", {}, {"chatml/with_labels_pct": [99.0]}, {"chatml/with_labels_pct": [100.0]}),
    (
        "targets_partly_labelled",
        {},
        {"chatml/label_coverage_pct/codebook_1": [49.9]},
        {"chatml/label_coverage_pct/codebook_1": [50.0]},
    ),
    (
        "updates_rounded_to_zero",
        {},
        {"gradients/rounded_to_zero_pct": [20.1]},
        {"gradients/rounded_to_zero_pct": [20.0]},
    ),
    (
        "update_too_small",
        {"train/learning_rate": [1e-7]},
        {f"{RATIO}/audio_ffn": [9.9e-6]},
        {f"{RATIO}/audio_ffn": [1e-5]},
    ),
    ("samples_repeated", {}, {"chatml/same_target_pct": [50.1]}, {"chatml/same_target_pct": [50.0]}),
    ("texts_of_batch_equal", {}, {"chatml/same_text_pct": [50.1]}, {"chatml/same_text_pct": [50.0]}),
    ("gradient_clipped_away", {}, {"gradients/clip_factor": [9.9e-4]}, {"gradients/clip_factor": [1e-3]}),
    ("weights_shrink", {f"{RATIO}/heads": [6e-4]}, {SHRINK: [5.1e-4]}, {SHRINK: [5e-4]}),
    ("weights_shrink", {SHRINK: [1e-3]}, {f"{RATIO}/heads": [1.9e-3]}, {f"{RATIO}/heads": [2e-3]}),
    ("text_ignored", LEARNED | TEXT, {"conditioning/text_win_rate": [0.69]}, {"conditioning/text_win_rate": [0.7]}),
    ("text_ignored", LEARNED | TEXT | FEW_WINS, {TEXT_LOW: [0.0]}, {TEXT_LOW: [1e-6]}),
    ("text_ignored", TEXT | FEW_WINS, LEARNED, {MEAN: [6.0, 4.3, 4.3, 4.3]}),
    ("prompt_repeated", {}, {"voices/sim_r/mean": [0.971]}, {"voices/sim_r/mean": [0.97]}),
    (
        "prompt_repeated",
        {"voices/sim_r/mean": [0.98]},
        {"voices/sim_ceiling/mean": [0.959]},
        {"voices/sim_ceiling/mean": [0.961]},
    ),
    ("no_gradient", {}, {"train/grad_norm": [0.0]}, {"train/grad_norm": [1.0, 0.0]}),
    (
        "no_update",
        {f"{RATIO}/heads": [0.0, 0.0]},
        {"train/loss": [10.0, 9.6]},
        {"train/loss": [10.0, 8.9]},
    ),
    (
        "does_not_learn",
        {"outputs/accuracy/mean": [0.49]},
        {MEAN: [4.0] * 20 + [3.93] * 8},
        {MEAN: [4.0] * 20 + [3.91] * 8},
    ),
    (
        "does_not_learn",
        {MEAN: [4.0] * 24},
        {"outputs/accuracy/mean": [0.49]},
        {"outputs/accuracy/mean": [0.5]},
    ),
    ("update_too_large", {}, {f"{RATIO}/heads": [0.0, 0.0, 0.051]}, {f"{RATIO}/heads": [0.0, 0.0, 0.05]}),
    ("update_too_large", {}, {f"{RATIO}/lora_q": [0.0, 0.0, 0.21]}, {f"{RATIO}/lora_q": [0.0, 0.0, 0.2]}),
    ("update_too_large", {}, {f"{RATIO}/heads": [0.0, 0.0, 9.0]}, {f"{RATIO}/heads": [0.0, 9.0]}),  # Adam's first step
    (
        "update_too_small",
        {f"{RATIO}/heads": [1e-3], "train/learning_rate": [1.0, 0.11]},
        {f"{RATIO}/audio_ffn": [9e-8]},
        {f"{RATIO}/audio_ffn": [1e-7]},
    ),
    (
        "update_too_small",
        {f"{RATIO}/heads": [9e-8] * 2},
        {"train/learning_rate": [1.0, 0.11]},
        {"train/learning_rate": [1.0, 0.1]},
    ),
    ("copies_its_input", {MEAN: [5.0]}, {"outputs/nll_shift0/mean": [2.4]}, {"outputs/nll_shift0/mean": [2.5]}),
    ("copies_its_input", {MEAN: [0.6]}, {"outputs/nll_shift0/mean": [0.09]}, {"outputs/nll_shift0/mean": [0.11]}),
    (
        "codebook_collapses",
        book("nll", 0, *[2.0] * 12),
        book("usage", 0, *[0.4] * 8, *[0.19] * 4),
        book("usage", 0, *[0.4] * 8, *[0.2] * 4),
    ),
    (
        "codebook_collapses",
        book("usage", 0, *[0.4] * 8, *[0.1] * 4),
        book("nll", 0, *[2.0] * 8, *[1.95] * 4),
        book("nll", 0, *[2.0] * 8, *[1.93] * 4),
    ),
    (
        "dead_codebook",
        LEARNED | book("usage", 0, 0.4) | book("usage", 1, 0.4),
        book("usage", 2, 0.039),
        book("usage", 2, 0.041),
    ),
    (
        "dead_codebook",
        book("usage", 0, 0.4) | book("usage", 1, 0.4) | book("usage", 2, 0.01),
        {MEAN: [6.0, 4.19, 4.19, 4.19]},
        {MEAN: [6.0, 4.19, 4.19, 4.3]},
    ),
    (
        "codebook_diverges",
        book("nll", 0, *[6.0] * 8, *[5.0] * 4),
        book("nll", 1, *[5.0] * 4, *[4.0] * 4, *[4.61] * 4),
        book("nll", 1, *[5.0] * 4, *[4.0] * 4, *[4.59] * 4),
    ),
    (
        "codebook_diverges",
        book("nll", 1, *[1.0] * 4, *[0.9] * 4, *[1.21] * 4),
        book("nll", 0, *[6.0] * 8, *[5.9] * 4),
        book("nll", 0, *[6.0] * 12),
    ),
    (
        "codebook_diverges",
        book("nll", 0, *[6.0] * 8, *[5.9] * 4),
        book("nll", 1, *[1.0] * 8, *[1.31] * 4),
        book("nll", 1, *[1.0] * 8, *[1.29] * 4),
    ),
    ("overfitting", FALLING, {"eval/loss": [11.0, 10.0, 10.51]}, {"eval/loss": [11.0, 10.0, 10.5]}),
    ("overfitting", FALLING, {"eval/loss": [99.0, 10.0, 11.0]}, {"eval/loss": [101.0, 10.0, 11.0]}),
    (
        "overfitting",
        {"eval/loss": [11.0, 10.0, 10.6]},
        {"train/loss": [10.0, 10.0, 9.7, 9.7, 9.7]},
        {"train/loss": [10.0, 10.0, 9.81, 9.81, 9.81]},
    ),
    (
        "reference_fades",
        {"conditioning/gap/mean": [1.0, 0.3, 0.3, 0.3], "conditioning/gap/low": [0.8, 0.1, 0.1, 0.1]},
        {"conditioning/gap/high": [1.2, 0.49, 0.49, 0.49]},
        {"conditioning/gap/high": [1.2, 0.5, 0.5, 0.5]},
    ),
    ("reference_ignored", LEARNED | IGNORED, {}, {"conditioning/gap/low": [-0.1, -0.1, 0.1]}),
    ("reference_ignored", IGNORED, LEARNED, {MEAN: [6.0, 4.3, 4.3, 4.3]}),
    (
        "reference_ignored",
        {},
        {"conditioning/gap/low": [0.1, 0.1, -0.1], "conditioning/gap/high": [0.2, 0.2, 0.1]},
        {"conditioning/gap/low": [0.1, -0.1, -0.1], "conditioning/gap/high": [0.2, 0.2, 0.1]},
    ),
    ("reference_ignored", {}, {"conditioning/gap/low": [-0.1] * 21}, {"conditioning/gap/low": [-0.1] * 20}),
    ("clips_run_on", LEARNED, {"voices/stopped_pct": [49.9]}, {"voices/stopped_pct": [50.0]}),
    ("clips_run_on", {}, {"voices/stopped_pct": [0.0] * 5}, {"voices/stopped_pct": [0.0] * 4}),
    (
        "voices_become_one",
        APART | {"voices/spk_top1": [0.9]},
        {"voices/between_speaker": [0.81]},
        {"voices/between_speaker": [0.79]},
    ),
    (
        "voices_become_one",
        APART | {"voices/spk_top1": [0.29]},
        {"voices/between_speaker": [0.76]},
        {"voices/between_speaker": [0.74]},
    ),
    (
        "voices_become_one",
        APART | {"voices/between_speaker": [0.76]},
        {"voices/spk_top1": [0.29]},
        {"voices/spk_top1": [0.31]},
    ),
    ("silence", CLIPS, {"voices/silent_clips": [10.0]}, {"voices/silent_clips": [9.0]}),
    (
        "silence",
        CLIPS | {"voices/silent_clips": [0.0]},
        {"voices/silence_pct/mean": [60.1]},
        {"voices/silence_pct/mean": [60.0]},
    ),
    ("clipping", CLIPS, {"voices/clipped_clips": [10.0]}, {"voices/clipped_clips": [9.0]}),
    (
        "clipping",
        CLIPS | {"voices/clipped_clips": [0.0]},
        {"voices/clip_pct/mean": [1.1]},
        {"voices/clip_pct/mean": [1.0]},
    ),
    ("repetition", LEARNED, {"voices/repetition/mean": [0.51]}, {"voices/repetition/mean": [0.5]}),
    ("waits_for_data", {}, {"throughput/data_wait_pct": [30.1]}, {"throughput/data_wait_pct": [30.0]}),
    (
        "logging_over_budget",
        {"tracker/budget_pct": [2.0]},
        {"tracker/overhead_pct": [2.1]},
        {"tracker/overhead_pct": [2.0]},
    ),
]


def evidence(name: str, trace: Trace) -> str | None:
    """What the rule sees after all values, of which each tag's last stands at the same step."""
    history = History()
    for tag, values in trace.items():
        for at, value in enumerate(values):
            history.add(at, {tag: value})
    return rule(name).evidence(history)


@pytest.mark.parametrize("edge", range(len(EDGES)), ids=lambda at: f"{EDGES[at][0]}-{at}")
def test_evidence_starts_at_the_threshold(edge: int) -> None:
    name, always, past, before = EDGES[edge]
    assert evidence(name, {**always, **past}) is not None
    assert evidence(name, {**always, **before}) is None
