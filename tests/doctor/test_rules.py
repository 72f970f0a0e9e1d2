"""Every rule opens on the trace of its failure and not on that of the healthy twin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from traces import DOES_NOT_LEARN, LOSS_AND_VOICE, OTHERS_LOST, Trace, every, examined, faded, gap, names, rule

from tracker_logging.doctor.history import History, belongs
from tracker_logging.doctor.rules import RULES

NAN = math.nan
LEARNED = [6.0, 4.0, 2.0, 1.5, 1.2, 1.0, 0.9, 0.8]
FLAT = [6.0, 5.9, 5.9, 5.9, 5.9, 5.9, 5.9, 5.9]
MISMATCH, NEARBY = "chatml/label_mismatch_pct", "chatml/label_elsewhere_pct"
MEAN = "outputs/nll/mean"


def books(tag: str, *codebooks: Sequence[float]) -> dict[str, Sequence[float]]:
    return {f"outputs/{tag}/codebook_{at}": own for at, own in enumerate(codebooks)}


def parts(tag: str, **components: Sequence[float]) -> dict[str, Sequence[float]]:
    return {f"gradients/{tag}/{name}": own for name, own in components.items()}


def text(
    *wins: float, low: float | None = None, high: float = 0.0, prompts: float = 24.0
) -> dict[str, Sequence[float]]:
    ends = {} if low is None else gap(every(low), every(high), "text_gap")
    values = {"text_win_rate": every(*wins), "text_gap/mean": every(0.001), "text_gap/n": every(prompts)}
    return ends | {f"conditioning/{name}": own for name, own in values.items()}


def clips(**numbers: float) -> dict[str, Sequence[float]]:
    counts = {"valid_clips": 12.0, "invalid_clips": 0.0, "silent_clips": 0.0, "clipped_clips": 0.0} | numbers
    return {MEAN: LEARNED, **{f"voices/{name.replace('__', '/')}": every(value) for name, value in counts.items()}}


USED = gap(every(-0.02, 0.1, 0.5), every(0.02, 0.3, 0.7))
IGNORED = gap(every(-0.02, -0.01), every(0.02, 0.01))
DECAY = [1e-4 * (1 - look / 8) for look in range(8)]
USAGE = [0.43, 0.2, 0.35, 0.4, 0.38, 0.41, 0.4, 0.39, 0.4, 0.41, 0.4, 0.4, 0.42, 0.4, 0.38, 0.4]
FALLEN = [0.43, 0.4, 0.42, 0.4, 0.4, 0.41, 0.4, 0.42, 0.3, 0.1, 0.05, 0.04, 0.03, 0.03, 0.03, 0.03, 0.03]
GOING_ON = [*LEARNED, 0.75, 0.7, 0.7, 0.65, 0.6, 0.6, 0.55, 0.5]
EVAL = {"train/loss": [20.0, 10.0, 8.0, 6.0, 4.0, 3.0, 2.0, 1.0]}
APART = {"voices/between_speaker_real": every(0.63), "voices/spk_top1_chance": every(0.17), MEAN: LEARNED}


CASES: dict[str, tuple[Sequence[Trace], Sequence[Trace]]] = {
    "delay_pattern_off": ([{"chatml/delay_violations": [4.0]}], [{"chatml/delay_violations": [0.0]}]),
    "frame_predicted_from_itself": (
        [{"latents/own_frame_seen_pct": [100.0]}],
        [{"latents/own_frame_seen_pct": [0.0]}, {"latents/flow_loss/mean": [1.0]}],
    ),
    "noise_of_another_level": ([{"latents/wrong_noise_pct": [99.0]}], [{"latents/wrong_noise_pct": [0.0]}]),
    "samples_without_labels": (
        [{"chatml/with_labels_pct": [100.0, 0.0, 100.0, 0.0]}, {"chatml/with_labels_pct": [50.0]}],
        [{"chatml/with_labels_pct": [100.0, 100.0]}],
    ),
    "samples_repeated": (
        [{"chatml/same_target_pct": every(100.0)}],
        [{"chatml/same_target_pct": every(50.0)}, {"chatml/same_target_pct": [100.0, 100.0, 0.0, 100.0]}],
    ),
    "texts_of_batch_equal": (
        [{"chatml/same_text_pct": every(75.0)}],
        [{"chatml/same_text_pct": every(50.0)}, {"chatml/same_text_pct": [100.0, 100.0, 0.0, 100.0]}],
    ),
    "gradient_clipped_away": (
        [{"gradients/clip_factor": every(1e-4)}],
        [{"gradients/clip_factor": every(0.01)}, {"gradients/clip_factor": [1e-4, 1.0, 1.0, 1e-4]}],
    ),
    "weights_shrink": (
        [
            parts("shrink", heads=every(1e-3), audio_ffn=every(1e-3), norms=every(0.0))
            | parts("update_ratio", heads=every(1.2e-3), audio_ffn=every(1.1e-3), norms=every(1e-3)),
        ],
        [
            parts("shrink", heads=every(1e-4)) | parts("update_ratio", heads=every(1e-4)),
            parts("shrink", heads=every(1e-3)) | parts("update_ratio", heads=every(3e-3)),
            parts("shrink", norms=every(1e-2), heads=every(0.0))
            | parts("update_ratio", norms=every(1e-2), heads=every(1e-3)),
            parts("shrink", heads=every(1e-3), audio_ffn=every(0.0), text_ffn=every(0.0))
            | parts("update_ratio", heads=every(1e-3), audio_ffn=every(1e-3), text_ffn=every(1e-3)),
        ],
    ),
    "reference_is_target": ([{"chatml/reference_is_target": [2.0]}], [{"chatml/reference_is_target": [0.0]}]),
    "end_codes_masked": (
        [{"chatml/eos_labelled_pct": [0.0]}],
        [
            {"chatml/eos_labelled_pct": [100.0, 75.0]},
            {"chatml/eos_labelled_pct": [12.5], "chatml/delay_violations": [4.0]},
            {"chatml/eos_labelled_pct": [0.0], MISMATCH: [90.0]},
            {"chatml/eos_labelled_pct": [0.0], "chatml/truncated": [4.0]},
        ],
    ),
    "begin_codes_trained": (
        [{"chatml/bos_labelled_pct": [100.0]}],
        [
            {"chatml/bos_labelled_pct": [0.0]},
            {"chatml/bos_labelled_pct": [40.0], MISMATCH: [90.0]},
        ],
    ),
    "reference_trained": (
        [{"chatml/reference_labelled_pct": [2.0]}, {"chatml/pair_labelled_pct": [100.0]}],
        [
            {"chatml/reference_labelled_pct": [0.0]},
            {"chatml/reference_labelled_pct": [40.0], MISMATCH: [90.0]},
            {"chatml/pair_labelled_pct": [100.0], "chatml/targets_per_sample": [2.4]},
        ],
    ),
    "prompt_text_trained": ([{"chatml/prompt_labelled_pct": [60.0]}], [{"chatml/prompt_labelled_pct": [0.0]}]),
    "codebook_without_labels": (
        [{"chatml/label_coverage_pct/codebook_0": [100.0], "chatml/label_coverage_pct/codebook_1": [0.0]}],
        [
            {"chatml/label_coverage_pct/codebook_0": [100.0], "chatml/label_coverage_pct/codebook_1": [99.0]},
            {"chatml/label_coverage_pct/codebook_0": [30.0], "chatml/label_coverage_pct/codebook_1": [30.0]},
        ],
    ),
    "targets_partly_labelled": (
        [{"chatml/label_coverage_pct/codebook_0": every(30.0), "chatml/label_coverage_pct/codebook_1": every(31.0)}],
        [
            {"chatml/label_coverage_pct/codebook_0": every(100.0), "chatml/label_coverage_pct/codebook_1": every(0.0)},
            {"chatml/label_coverage_pct/codebook_0": [30.0, 100.0, 30.0]},
        ],
    ),
    "labels_shifted": ([{MISMATCH: [93.0]}, {MISMATCH: [45.0], NEARBY: [100.0]}], [{MISMATCH: [45.0], NEARBY: [50.0]}]),
    "codes_differ_from_labels": ([{MISMATCH: [45.0], NEARBY: [50.0]}], [{MISMATCH: [0.0]}, {MISMATCH: [93.0]}]),
    "loss_wrongly_scaled": (
        [{"chatml/loss_ratio": [0.17]}, {"chatml/loss_ratio": [3.0]}],
        [{"chatml/loss_ratio": [1.0, 0.98, 1.05]}],
    ),
    "loss_out_of_scale": (
        [
            {"train/loss": every(1200.0), MEAN: every(3.0)} | books("nll", every(3.0), every(3.0)),
            {"train/loss": every(-6.0), MEAN: every(3.0)} | books("nll", every(3.0), every(3.0)),
        ],
        [
            {"train/loss": every(6.0), MEAN: every(3.0)} | books("nll", every(3.0), every(3.0)),
            {"train/loss": every(3.0), MEAN: every(3.0)} | books("nll", every(3.0), every(3.0)),
            {"train/loss": every(0.0), MEAN: every(3.0)},  # the Trainer's word for a NaN
            {"train/loss": every(10.0), MEAN: every(3.0), "outputs/nll/text": every(4.0)}
            | books("nll", every(3.0), every(3.0)),
        ],
    ),
    "attention_not_causal": ([{"chatml/causality_leak": [0.3]}], [{"chatml/causality_leak": [0.0, 2e-6]}]),
    "placeholders_do_not_match": (
        [{"chatml/placeholder_mismatch": [1.0]}],
        [{"chatml/placeholder_mismatch": [0.0]}],
    ),
    "clips_cross": ([{"chatml/crossing_spans": [1.0]}], [{"chatml/crossing_spans": [0.0]}]),
    "empty_tensors": ([{"chatml/empty_tensors": [1.0]}], [{"chatml/empty_tensors": [0.0]}]),
    "samples_cut": ([{"chatml/truncated": [2.0]}], [{"chatml/truncated": [0.0]}]),
    "no_gradient": (
        [
            parts("reached_pct", audio_ffn=[0.0, 0.0], heads=[0.0, 0.0]),
            {"train/grad_norm": [0.0, 0.0]},
            parts("reached_pct", heads=[100.0, 0.0, 0.0]) | {"chatml/with_labels_pct": [100.0, 100.0, 100.0]},
        ],
        [
            parts("reached_pct", audio_ffn=[100.0, 100.0], heads=[0.0, 0.0]),
            {"train/grad_norm": [0.0, 3.0, 0.0]},
            parts("reached_pct", heads=[0.0, 0.0]) | {"chatml/with_labels_pct": [0.0, 0.0]},
            parts("reached_pct", heads=[100.0, 0.0, 0.0]),  # labels unknown: two batches without any, perhaps
        ],
    ),
    "no_update": (
        [parts("update_ratio", audio_ffn=every(0.0), heads=every(0.0))],
        [
            parts("update_ratio", audio_ffn=[0.0, 1e-3, 0.0, 1e-3], heads=[0.0, 1e-3, 0.0, 1e-3]),
            parts("update_ratio", heads=every(0.0)) | {"train/learning_rate": every(0.0)},  # that has its own name
        ],
    ),
    "updates_rounded_to_zero": (
        [{"gradients/rounded_to_zero_pct": [90.0, 95.0]}],
        [{"gradients/rounded_to_zero_pct": [5.0, 8.0, 5.0]}],
    ),
    "part_without_gradient": (
        [parts("reached_pct", audio_ffn=[100.0, 100.0], heads=[0.0, 0.0])],
        [parts("reached_pct", audio_ffn=[100.0, 100.0], heads=[50.0, 50.0])],
    ),
    "frozen_by_mistake": (
        [
            parts("trainable_pct", audio_ffn=[0.0], heads=[0.0], norms=[100.0]),
            parts("trainable_pct", audio_ffn=[0.0], heads=[0.0], norms=[0.0]),
        ],
        [
            parts("trainable_pct", audio_ffn=[0.0], norms=[0.0], lora_attention_q=[100.0]),
            parts("trainable_pct", text_ffn=[0.0], audio_ffn=[100.0], heads=[50.0], norms=[50.0]),
        ],
    ),
    "audio_path_frozen": (
        [
            parts("trainable_pct", text_ffn=[100.0], audio_ffn=[0.0], heads=[0.0]),
            parts("trainable_pct", text_ffn=[0.0], audio_ffn=[0.0], heads=[0.0], lora_text_ffn=[100.0]),
            parts("trainable_pct", audio_ffn=[0.0], heads=[0.0], lora_attention_q=[100.0]),
        ],
        [
            parts("trainable_pct", ffn=[0.0], heads=[0.0], lora_attention_q=[100.0]),
            parts("trainable_pct", text_ffn=[0.0], audio_ffn=[100.0], heads=[100.0]),
            parts("trainable_pct", text_ffn=[0.0], audio_ffn=[0.0], heads=[0.0], lora_audio_ffn=[100.0]),
        ],
    ),
    "learning_rate_zero": (
        [{"train/learning_rate": [1e-4, 0.0, 0.0, 0.0]}],
        [
            {"train/learning_rate": [0.0, *DECAY, 0.0]},
            {"train/learning_rate": [1e-4, 0.0, 0.0, 1e-4]},
            {"train/learning_rate": every(0.0)} | parts("update_ratio", heads=every(1e-4)),
        ],
    ),
    "gradient_not_finite": (
        [{"train/grad_norm": [2.0, NAN, NAN, NAN]}, {"train/grad_norm": [math.inf] * 4}],
        [{"train/grad_norm": [math.inf, math.inf, 2.0, math.inf, 1.0]}],
    ),
    "update_too_large": (
        [parts("update_ratio", heads=[0.2, 0.2, 0.3]), parts("update_ratio", lora_attention_q=[0.5, 0.5, 0.5])],
        [
            parts("update_ratio", heads=[0.2, 0.007, 0.06, 0.005]),
            parts("update_ratio", lora_attention_q=every(0.1)),
            parts("update_ratio", heads=every(0.1)) | parts("shrink", heads=every(0.099)),
        ],
    ),
    "update_too_small": (
        [
            parts("update_ratio", heads=every(1e-9), norms=every(1e-5)) | {"train/learning_rate": every(1e-5)},
            parts("update_ratio", heads=every(2e-6), audio_ffn=every(4e-6)) | {"train/learning_rate": every(1e-8)},
        ],
        [
            parts("update_ratio", heads=every(1e-9))
            | {"train/learning_rate": every(1e-5)}
            | {"gradients/clip_factor": every(1e-6)},
            parts("update_ratio", heads=every(1e-5), norms=every(1e-9)) | {"train/learning_rate": every(1e-6)},
            parts("update_ratio", heads=[1e-4, 1e-5, 1e-6, 1e-8, 1e-9, 1e-9, 1e-9])
            | {"train/learning_rate": [1e-4, 5e-5, 1e-6, 1e-7, 1e-8, 1e-8, 1e-8]},
        ],
    ),
    "copies_its_input": (
        [{"outputs/nll_shift0/mean": [0.02, 0.01], MEAN: [5.0, 5.5]}],
        [
            {"outputs/nll_shift0/mean": [5.99, 5.4, 8.9], MEAN: [6.0, 0.6, 0.06]},
            {"outputs/nll_shift0/mean": [0.01, 0.02], MEAN: [0.05, 0.06]},
        ],
    ),
    "non_finite_values": (
        [
            {"outputs/non_finite_logits": [0.0, 40.0], "outputs/first_non_finite_layer": [None, 3.0]},
            {"inputs/non_finite": [7.0]},
        ],
        [{"outputs/non_finite_logits": [0.0, 0.0], "inputs/non_finite": [0.0, 0.0]}],
    ),
    "does_not_learn": DOES_NOT_LEARN,
    "codebook_collapses": (
        [books("usage", USAGE, FALLEN) | books("nll", [2.0] * 16, [2.5] * 17)],
        [
            books("usage", USAGE, USAGE) | books("nll", [2.0] * 16, [2.0] * 16),
            # From a random beginning the usage falls with the nll, to the commonest codes, before it rises.
            books("usage", [0.43, 0.2, *[0.01] * 10, 0.02, 0.02, 0.03, 0.05])
            | books("nll", [6.0 - 0.15 * look for look in range(16)]),
        ],
    ),
    "dead_codebook": (
        [books("usage", every(0.4), every(0.3), every(0.4, 0.004)) | {MEAN: LEARNED}],
        [
            books("usage", every(0.4), every(0.3), every(0.1)) | {MEAN: LEARNED},
            books("usage", every(0.4), every(0.3), every(0.004)) | {MEAN: FLAT},
        ],
    ),
    "codebook_diverges": (
        [books("nll", GOING_ON, [6.0, 4.0, 2.0, 1.5, 1.4, 1.4, 1.5, 1.7, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.2])],
        [
            books("nll", GOING_ON, [6.0, 4.0, 2.5, *[2.0, 1.9, 2.1] * 4, 1.9]),
            books("nll", GOING_ON[::-1], GOING_ON[::-1]),
        ],
    ),
    "overfitting": (
        [EVAL | {"eval/loss": [None, 10.0, 8.0, 7.0, 7.5, 8.0, 9.0, 10.0]}],
        [
            EVAL | {"eval/loss": [None, 10.0, 8.0, 7.0, 6.5, 6.0, 6.1, 6.0]},
            {"train/loss": every(5.0), "eval/loss": [None, 5.0, 5.5, 5.6, 5.7, 5.8]},
        ],
    ),
    "reference_missing": (
        [
            {"chatml/with_reference_pct": [0.0, 0.0], "conditioning/gap_null/mean": [0.0]},
            {"chatml/with_reference_pct": [100.0, 0.0, 0.0]},
        ],
        [
            {"chatml/with_reference_pct": [100.0, 25.0]},
            {"chatml/with_reference_pct": every(0.0)},
        ],
    ),
    "trained_without_reference": (
        [{"chatml/with_reference_pct": [0.0, 0.0]}],
        [
            {"chatml/with_reference_pct": [0.0, 0.0], "conditioning/gap_null/mean": [0.0]},
            {"chatml/with_reference_pct": [100.0, 100.0]},
        ],
    ),
    "reference_fades": (
        [
            faded(2.2, 1.4, 0.7, below=0.3),
            faded(0.4, 0.2, 0.0, below=0.1, which="gap_null"),
        ],
        [USED, IGNORED, faded(2.2, 1.4, 1.0, below=0.3), faded(2.2, 0.7, 2.0, below=0.3), faded(0.2, 0.05, below=0.3)],
    ),
    "reference_ignored": (
        [
            IGNORED | {MEAN: LEARNED},
            gap(every(-0.02), every(0.02), "gap_null") | {"train/loss": LEARNED},
            gap([0.3, 0.2, -0.01, -0.02, -0.01], [0.5, 0.4, 0.02, 0.01, 0.0]) | {MEAN: FLAT},
            gap([-0.01] * 25, [0.01] * 25) | {MEAN: [3.0] * 25},
        ],
        [USED | {MEAN: LEARNED}, IGNORED | {MEAN: FLAT}, gap(every(0.2, -0.1, 0.3), every(0.5)) | {MEAN: LEARNED}],
    ),
    "text_ignored": (
        [
            text(0.55, low=-0.01, high=0.01) | {MEAN: LEARNED},
            text(0.6) | {"train/loss": LEARNED},
            text(0.95, 0.95, 0.6, low=-0.01, high=0.01) | {MEAN: FLAT},
        ],
        [
            text(0.96, low=0.01, high=0.02) | {MEAN: LEARNED},
            text(0.96, low=-0.001, high=0.02) | {MEAN: LEARNED},
            text(0.6, low=0.002, high=0.02) | {MEAN: LEARNED},
            text(0.55, low=-0.01, high=0.01) | {MEAN: FLAT},
            text(0.55, prompts=3) | {MEAN: LEARNED},
        ],
    ),
    "prompt_repeated": (
        [
            {"voices/sim_r/mean": every(0.99), "voices/sim_ceiling/mean": every(0.9)},
            {"voices/sim_r/mean": every(0.98)},
        ],
        [
            {"voices/sim_r/mean": every(0.92), "voices/sim_ceiling/mean": every(0.9)},
            {"voices/sim_r/mean": every(0.98), "voices/sim_ceiling/mean": every(0.97)},
            {"voices/sim_r/mean": [0.99, 0.9, 0.9], "voices/sim_ceiling/mean": every(0.9)},
        ],
    ),
    "clips_run_on": (
        [{"voices/stopped_pct": every(0.0), MEAN: LEARNED}, {"voices/stopped_pct": every(25.0), MEAN: FLAT}],
        [
            {"voices/stopped_pct": every(20.0, 40.0, 60.0, 90.0), MEAN: LEARNED},
            {"voices/stopped_pct": every(0.0)[:4], MEAN: FLAT},
        ],
    ),
    "voices_become_one": (
        [
            APART | {"voices/between_speaker": every(0.7, 0.9), "voices/spk_top1": every(0.9)},
            APART | {"voices/between_speaker": every(0.8), "voices/spk_top1": every(0.2)},
        ],
        [
            APART | {"voices/between_speaker": every(0.67), "voices/spk_top1": every(1.0)},
            APART | {"voices/between_speaker": every(0.8), "voices/spk_top1": every(0.9)},
        ],
    ),
    "loss_and_voice_disagree": LOSS_AND_VOICE,
    "cloning_others_lost": OTHERS_LOST,
    "silence": (
        [clips(valid_clips=2, invalid_clips=10, silent_clips=10), clips(silence_pct__mean=80.0)],
        [clips(silence_pct__mean=12.0, silent_clips=1), clips(valid_clips=0, invalid_clips=12, clipped_clips=12)],
    ),
    "clipping": (
        [clips(valid_clips=2, invalid_clips=10, clipped_clips=10), clips(clip_pct__mean=3.0)],
        [clips(clip_pct__mean=0.2), clips(valid_clips=0, invalid_clips=12, silent_clips=12)],
    ),
    "repetition": (
        [{"voices/repetition/mean": every(0.8), MEAN: LEARNED}],
        [{"voices/repetition/mean": every(0.1), MEAN: LEARNED}, {"voices/repetition/mean": [0.8, 0.8], MEAN: FLAT}],
    ),
    "waits_for_data": (
        [{"throughput/data_wait_pct": every(45.0)}],
        [{"throughput/data_wait_pct": every(60.0, 5.0, 40.0, 4.0)}],
    ),
    "logging_over_budget": (
        [{"tracker/overhead_pct": every(9.0), "tracker/budget_pct": every(2.0)}],
        [{"tracker/overhead_pct": every(32.0, 1.5), "tracker/budget_pct": every(2.0)}],
    ),
}


def test_every_rule_has_example_traces() -> None:
    assert list(CASES) and set(CASES) == {own.name for own in RULES}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_opens_on_its_failure_with_numbers_and_a_tag(name: str) -> None:
    for trace in CASES[name][0]:
        found = [finding for finding in examined(trace) if finding.name == name]
        assert len(found) == 1, trace
        assert found[0].is_open
        assert any(char.isdigit() for char in found[0].seen)
        assert "/" in found[0].seen, "it names the tag in which it can be looked up"
        assert (found[0].level, found[0].certainty) == (rule(name).level, rule(name).certainty)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_is_silent_on_the_healthy_twin(name: str) -> None:
    for trace in CASES[name][1]:
        assert name not in names(trace), trace


@pytest.mark.parametrize("name", CASES)
def test_the_evidence_reads_only_the_declared_tags(name: str) -> None:
    """What a rule does not declare is not kept in a run's history, so that it would never be seen."""

    class Reading(History):
        def __getitem__(self, tag: str):  # type: ignore[no-untyped-def]
            read.add(tag)
            return super().__getitem__(tag)

        def family(self, tag):  # type: ignore[no-untyped-def]
            read.add(tag.template)
            return super().family(tag)

    for traces in CASES[name]:
        for trace in traces:
            read: set[str] = set()
            history = Reading()
            for look in range(max(map(len, trace.values()))):
                values = {tag: own[look] for tag, own in trace.items() if look < len(own) and own[look] is not None}
                history.add(look, values)  # type: ignore[arg-type]
                rule(name).evidence(history)
            rule(name).cause(history)
            known = rule(name).reads
            assert all(
                any(belongs(tag, to=own) or tag == getattr(own, "template", "") for own in known) for tag in read
            )


def test_an_empty_history_is_not_evidence() -> None:
    assert [own.name for own in RULES if own.evidence(History()) is not None] == []


def test_a_first_layer_that_is_not_finite_is_named() -> None:
    trace = {"outputs/non_finite_logits": [0.0, 8.0], "outputs/first_non_finite_layer": [None, 3.0]}
    (finding,) = examined(trace)
    assert "layer 3" in finding.seen and "8 rows" in finding.seen


def test_an_ignored_reference_reports_the_attention_on_it() -> None:
    trace = IGNORED | {MEAN: LEARNED, "attention/mass/target_to_reference/mean": every(0.004)}
    (finding,) = examined(trace)
    assert "0.4 % of the target's attention" in finding.seen
