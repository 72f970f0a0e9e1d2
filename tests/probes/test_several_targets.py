"""Several targets and references in one sample, and samples without a reference: roles, audit, masses, nll, clips.

The truth is counted from the lists of tokens and frames that the sample is made of, and attention from eager weights.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from small_model import AUDIO_BOS, BOS, EOS, K, V, batch, small_model, turns

from tracker_logging.families import IGNORE, Role, adapter_for
from tracker_logging.observers.inputs import decoded_clips, with_reference_pct
from tracker_logging.probes.attention import attention_probe
from tracker_logging.probes.attention_plan import plans_of
from tracker_logging.probes.audit import audit_batch
from tracker_logging.probes.capture import StepCapture

SPECIAL = {1, 2, 7, AUDIO_BOS}
Row = dict[str, torch.Tensor]


def spans_of(counts: list[int], words: int = 5) -> list[tuple[int, int]]:
    """Start and stop of each clip of `turns`, counted by hand."""
    at, spans = 3, []
    for count in counts:
        at += 1 + words + 1
        spans.append((at, at + count + K + 1))
        at = spans[-1][1]
    return spans


TWO_TARGETS = turns((5, False), (7, True), (6, True), seed=1)
TWO_REFERENCES = turns((4, False), (5, False), (6, True), seed=2)
DIALOGUE = turns((4, True), (5, True), (6, True), seed=3)
ALONE = turns((6, True), seed=4)
T, R = Role.TARGET, Role.REFERENCE


@pytest.mark.parametrize(
    "row, counts, roles",
    [
        (TWO_TARGETS, [5, 7, 6], [R, T, T]),
        (TWO_REFERENCES, [4, 5, 6], [R, R, T]),
        (DIALOGUE, [4, 5, 6], [T, T, T]),
        (ALONE, [6], [T]),
    ],
    ids=["two targets", "two references", "all trained", "no reference"],
)
def test_every_trained_clip_is_a_target_and_every_other_a_reference(
    row: Row, counts: list[int], roles: list[Role]
) -> None:
    view = adapter_for(small_model()).view(batch(row, ALONE))
    found = [(s.role, (s.start, s.stop), s.frames) for s in view.segments if s.sample == 0]
    assert found == list(zip(roles, spans_of(counts), counts, strict=True))
    for role, (start, stop) in zip(roles, spans_of(counts), strict=True):
        assert (view.roles[0, start:stop] == role).all()


def test_the_audit_of_several_targets_counts_all_of_them() -> None:
    adapter = adapter_for(small_model())
    audit = audit_batch(adapter.view(batch(TWO_TARGETS, TWO_REFERENCES)), adapter, special_ids=SPECIAL)
    assert audit.violations == ()
    assert audit.labels.coverage_pct == (100.0,) * K and audit.labels.eos_pct == 100.0
    assert audit.labels.reference_pct == 0.0 and audit.labels.pair_pct is None
    one_end_masked = {name: value.clone() for name, value in TWO_TARGETS.items()}
    first_target = slice(5 + K + 1, 5 + K + 1 + 7 + K + 1)
    ends = one_end_masked["audio_labels"][first_target]
    ends[ends == EOS] = IGNORE
    audit = audit_batch(adapter.view(batch(one_end_masked)), adapter, special_ids=SPECIAL)
    assert audit.labels.eos_pct == 50.0
    assert audit.labels.coverage_pct == pytest.approx((100 * (7 + 7) / (8 + 7),) * K)
    assert [v.what for v in audit.violations] == ["no end code is trained, so generation will not stop"]


def test_stray_labels_make_no_target_of_a_reference() -> None:
    row = {name: value.clone() for name, value in TWO_REFERENCES.items()}
    row["audio_labels"][2, 1] = row["audio_input_ids"][2, 1]
    adapter = adapter_for(small_model())
    view = adapter.view(batch(row))
    assert [s.role for s in view.segments] == [R, R, T]
    share = audit_batch(view, adapter, special_ids=SPECIAL).labels.reference_pct
    assert share == pytest.approx(100 * 1 / (4 + 5 + 2 * (K + 1)))
    expected = adapter.audio_nll(batch(TWO_REFERENCES))  # a label of the reference is none of the target
    torch.testing.assert_close(adapter.audio_nll(batch(row)), expected)


def test_a_pair_of_which_both_clips_are_trained_is_told_from_several_targets() -> None:
    adapter = adapter_for(small_model())

    def pairs(*rows: Row) -> float | None:
        return audit_batch(adapter.view(batch(*rows)), adapter, special_ids=SPECIAL).labels.pair_pct

    both, sound = turns((4, True), (5, True)), turns((4, False), (5, True))
    assert pairs(both, sound) == 50.0 and pairs(sound) == 0.0
    assert pairs(both, DIALOGUE) is None and pairs(both, TWO_TARGETS) is None  # several targets are meant
    assert pairs(ALONE) is None


def test_the_prompt_of_several_targets_ends_with_the_text_of_the_first() -> None:
    model = small_model(text_head=True)
    adapter = adapter_for(model)
    inputs = batch(TWO_REFERENCES, text_labels=True)
    share = audit_batch(adapter.view(inputs), adapter, special_ids=SPECIAL).labels.prompt_pct
    before_the_words = 3 + 7 + 7 + 1  # begin and system, two turns of a reference, the mark of the target's turn
    assert share == pytest.approx(100 * (before_the_words - 3) / before_the_words)  # not the first, nor audio-begin
    labels = inputs["labels"][0]
    labels[: spans_of([4, 5, 6])[2][0] - 6] = IGNORE
    assert audit_batch(adapter.view(inputs), adapter, special_ids=SPECIAL).labels.prompt_pct == 0.0


def test_a_sample_without_a_reference_is_no_violation_and_audio_before_a_target_is_a_voice() -> None:
    adapter = adapter_for(small_model())
    view = adapter.view(batch(ALONE, turns((5, True), seed=8)))
    assert audit_batch(view, adapter, special_ids=SPECIAL).violations == ()
    assert with_reference_pct(view) == 0.0
    assert with_reference_pct(adapter.view(batch(ALONE, DIALOGUE, TWO_TARGETS, TWO_REFERENCES))) == 75.0


def test_the_nll_of_a_sample_is_the_mean_over_the_codes_of_all_its_targets() -> None:
    model = small_model().eval()
    inputs = batch(TWO_TARGETS)
    with torch.no_grad():
        bare = {name: value for name, value in inputs.items() if name != "audio_labels"}
        logits = model(**bare).logits[0].unflatten(-1, (K, V)).log_softmax(-1)
    sums, counts = torch.zeros(K), torch.zeros(K)
    frames = TWO_TARGETS["audio_labels"].split([5 + K + 1, 7 + K + 1, 6 + K + 1])
    for (start, _), labels in list(zip(spans_of([5, 7, 6]), frames, strict=True))[1:]:
        for at, codes in enumerate(labels.tolist()):
            for codebook, code in enumerate(codes):
                if code != IGNORE:
                    sums[codebook] -= logits[start + at - 1, codebook, code]
                    counts[codebook] += 1
    torch.testing.assert_close(adapter_for(model).audio_nll(inputs)[0], sums / counts)


@cache
def measured() -> Any:
    """A step on two samples: reference with two targets, and three targets."""
    model = small_model(attention="eager").train()
    adapter = adapter_for(model)
    capture = StepCapture(
        adapter=adapter, needs=frozenset({"attention", "tokens"}), special_ids=SPECIAL, attention_samples=2
    )
    capture.attach(model)
    inputs = batch(TWO_TARGETS, DIALOGUE)
    output = model(**inputs)
    output.loss.backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    capture.before_update(optimizer)
    capture.after_update(optimizer)
    snapshot = capture.snapshot(1)
    assert snapshot is not None and capture.errors == []
    with torch.no_grad():
        bare = {name: value for name, value in inputs.items() if name != "audio_labels"}
        weights = model(**bare, output_attentions=True).attentions
    return snapshot, [one.double() for one in weights], inputs


def test_masses_between_groups_are_those_of_the_eager_weights() -> None:
    snapshot, weights, inputs = measured()
    length = inputs["attention_mask"].sum(dim=1).tolist()
    groups = []
    for sample, (counts, roles) in enumerate((([5, 7, 6], [R, T, T]), ([4, 5, 6], [T, T, T]))):
        role = torch.full((inputs["input_ids"].shape[1],), int(Role.TEXT))
        role[length[sample] :] = int(Role.PADDING)
        for (start, stop), of_clip in zip(spans_of(counts), roles, strict=True):
            role[start:stop] = int(of_clip)
        groups.append(role)
    for layer, weight in enumerate(weights):
        for row, query in enumerate((Role.TEXT, R, T)):
            for column, key in enumerate((Role.TEXT, R, T)):
                total, rows = 0.0, 0
                for sample, role in enumerate(groups):
                    if (role == key).any():
                        total += weight[sample][:, role == query][..., role == key].sum(dim=(1, 2))
                        rows += int((role == query).sum())
                np.testing.assert_allclose(snapshot.attention.mass[layer, :, row, column], total / rows, atol=2e-5)


def test_each_target_is_aligned_with_its_own_text() -> None:
    snapshot, weights, _ = measured()
    samples = (([5, 7, 6], [1, 2]), ([4, 5, 6], [0, 1, 2]))
    for layer, weight in enumerate(weights):
        distance, mass, rows = torch.zeros(4).double(), torch.zeros(4).double(), 0
        for sample, (counts, targets) in enumerate(samples):
            for number in targets:
                start, stop = spans_of(counts)[number]
                text = slice(start - 6, start - 1)  # five words, then audio-begin
                to_text = weight[sample][:, start:stop, text]
                place = (torch.arange(5).double() + 0.5) / 5
                time = (torch.arange(stop - start).double() + 0.5) / (stop - start)
                centre = (to_text * place).sum(-1) / to_text.sum(-1)
                distance += (centre - time).abs().sum(dim=1)
                mass += to_text.sum(dim=(1, 2))
                rows += stop - start
        np.testing.assert_allclose(snapshot.attention.text_mass[layer], mass / rows, atol=2e-5)
        seen = snapshot.attention.diagonality[layer]
        np.testing.assert_allclose(seen[~np.isnan(seen)], (1 - distance / rows)[~np.isnan(seen)], atol=1e-4)
        assert not np.isnan(seen).all()


def test_the_entropy_is_sampled_from_all_targets() -> None:
    adapter = adapter_for(small_model())
    probe = attention_probe([parts.attention for parts in adapter.layers()])

    view = adapter.view(batch(TWO_TARGETS))
    (plan,) = plans_of(view, samples=1, bins=probe.bins, special_ids=SPECIAL, device=torch.device("cpu"))
    (first, second) = spans_of([5, 7, 6])[1:]
    rows = set(plan.entropy_rows.tolist())
    assert rows == {*range(*first), *range(*second)}


def test_every_clip_of_the_first_sample_has_a_name_of_its_own() -> None:
    class Codec:
        sample_rate, frame_rate, num_codebooks, codebook_size, identity = 24_000, 25.0, K, BOS, "codes"

        def encode(self, wave: Any) -> Any:
            raise NotImplementedError

        def decode(self, codes: Any) -> Any:
            return np.asarray(codes, dtype=np.float32).sum(axis=0)

    adapter = adapter_for(small_model())
    clips = decoded_clips(adapter.view(batch(TWO_TARGETS, TWO_REFERENCES)), adapter, Codec())
    assert {name: len(clip.samples) for name, clip in clips.items()} == {"reference": 5, "target": 7, "target_2": 6}
