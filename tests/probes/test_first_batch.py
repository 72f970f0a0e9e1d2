"""The audit of a batch, sound and malformed."""

import pytest
import torch
from small_model import AUDIO, BOS, DELAY, EOS, K, batch, sample, small_model, two_samples

from tracker_logging.families import IGNORE, CodePattern, adapter_for
from tracker_logging.probes.audit import BatchAudit, audit_batch

SPECIAL = {1, 2, 7, 62}
Batch = dict[str, torch.Tensor]


def audit(inputs: Batch, *, text_head: bool = False) -> BatchAudit:
    adapter = adapter_for(small_model(text_head=text_head))
    return audit_batch(adapter.view(inputs), adapter, special_ids=SPECIAL)


def test_a_sound_batch_has_no_violations() -> None:
    found = audit(batch(sample(5, 7, seed=1), sample(4, 3, seed=2)))
    assert found.violations == ()
    assert (found.delay_violations, found.crossing_spans, found.placeholder_mismatch, found.truncated) == (0, 0, 0, 0)
    assert found.labels.coverage_pct == (100.0,) * K
    assert (found.labels.eos_pct, found.labels.bos_pct, found.labels.reference_pct) == (100.0, 0.0, 0.0)
    assert found.labels.mismatch_pct == 0.0
    assert found.labels.text_pct is None and found.labels.prompt_pct is None


def test_begin_codes_that_carry_a_label_are_a_share_of_all_begin_codes() -> None:
    inputs = batch(sample(5, 7, seed=1))
    target = torch.arange(inputs["audio_input_ids"].shape[1]) >= 5 + K + 1
    at = (inputs["audio_input_ids"] == BOS) & target[None, :, None]
    inputs["audio_labels"][at] = BOS
    assert audit(inputs).labels.bos_pct == pytest.approx(50.0)


def test_labels_that_are_another_frames_code_are_a_share_of_all_labels() -> None:
    inputs = batch(sample(5, 7, seed=1))
    inputs["audio_labels"] = inputs["audio_labels"].roll(1, dims=1)
    shares = audit(inputs).labels
    assert shares.mismatch_pct is not None and shares.mismatch_pct > 80
    assert shares.elsewhere_pct is not None and shares.elsewhere_pct > 90  # the first label comes from the other end


def test_labels_of_their_own_position_are_rarely_those_of_another() -> None:
    shares = audit(batch(sample(5, 7, seed=1))).labels
    assert shares.elsewhere_pct is not None and shares.elsewhere_pct < 50


def test_the_text_of_the_prompt_ends_where_the_target_text_begins() -> None:
    inputs = batch(sample(5, 7, seed=1), text_labels=True)
    assert audit(inputs, text_head=True).labels.prompt_pct == pytest.approx(
        100 * 9 / 11
    )  # not the first token, nor audio-begin
    tokens, labels = inputs["input_ids"][0], inputs["labels"][0]
    own = int((tokens == 7).nonzero()[-1]) + 1  # where the target's words begin
    labels[:own] = IGNORE
    found = audit(inputs, text_head=True).labels
    assert found.prompt_pct == 0.0 and found.text_pct is not None and found.text_pct > 0


def test_codes_that_are_not_delayed_are_counted_by_span() -> None:
    inputs = batch(sample(5, 7, seed=1))
    frames = inputs["audio_input_ids"][0]
    for codebook in range(K):
        frames[5 + K + 1 :, codebook] = frames[5 + K + 1 :, codebook].roll(-codebook)
    inputs["audio_labels"] = inputs["audio_input_ids"].masked_fill(inputs["audio_labels"] == IGNORE, IGNORE)
    assert audit(inputs).delay_violations == 1


def test_the_advice_for_a_pattern_names_its_own_begin_codes() -> None:
    delayed = CodePattern(delays=(0, 1, 1), codes=8, eos=8, bos=9, fill=8)
    assert delayed.advice == "delay the codes once: codebooks 0, 1, … begin with 1, 2, 2 begin codes (9)"
    plain = CodePattern.without_delay(codebooks=3, codes=8, eos=8, bos=9)
    assert plain.advice == "do not delay the codes: a clip begins with one frame of begin codes (9)"
    inputs = batch(sample(5, 7, seed=1))
    inputs["audio_input_ids"][0, 1:3] = BOS
    (found,) = (one for one in audit(inputs).violations if "not in the delay pattern" in one.what)
    assert found.fix == CodePattern.staircase(codebooks=K, bos=BOS, eos=EOS).advice and f"({BOS})" in found.fix


def test_two_clips_in_one_span_cross() -> None:
    both = batch(sample(5, 7, seed=1))
    tokens = both["input_ids"][0]
    keep = torch.ones(len(tokens), dtype=torch.bool)
    end = int((tokens == DELAY).nonzero()[K - 2]) + 1
    start = int((tokens == AUDIO).nonzero()[5 + 2])
    keep[end:start] = False  # the text between the two clips is gone
    both["input_ids"], both["attention_mask"] = tokens[keep][None], both["attention_mask"][:, keep]
    assert audit(both).crossing_spans == 1


def test_placeholders_that_do_not_match_are_counted_by_sample_even_where_the_batch_adds_up() -> None:
    moved = batch(sample(5, 7, seed=1), sample(5, 7, seed=2))
    moved["input_ids"][0, 3], moved["input_ids"][1, int((moved["input_ids"][1] == AUDIO).nonzero()[0])] = AUDIO, 9
    assert audit(moved).placeholder_mismatch == 2
    one_short = batch(sample(5, 7, seed=1), sample(4, 3, seed=2))
    one_short["audio_input_ids_mask"][1, 0] = False
    assert audit(one_short).placeholder_mismatch == 1


@pytest.mark.parametrize("kept", [12, 17, 28, 33])
def test_a_truncated_sample_is_counted_wherever_it_was_cut(kept: int) -> None:
    whole = sample(5, 7, seed=1)
    tokens = whole["input_ids"][:kept]
    frames = int(((tokens == AUDIO) | (tokens == DELAY)).sum())
    cut = {"input_ids": tokens, **{name: whole[name][:frames] for name in ("audio_input_ids", "audio_labels")}}
    found = audit(batch(cut, sample(4, 3, seed=2)))
    assert found.truncated == 1
    assert any(violation.what == "the sample is truncated" for violation in found.violations)


def test_label_shares_are_none_for_a_batch_without_labels() -> None:
    inputs = {name: value for name, value in two_samples().items() if name != "audio_labels"}
    shares = audit(inputs).labels
    assert (shares.coverage_pct, shares.eos_pct, shares.bos_pct, shares.mismatch_pct) == (None, None, None, None)


def malformed() -> dict[str, Batch]:
    """Malformed batches as a faulty collator makes them."""
    names = (
        "fewer frames", "more frames", "no frames", "other codebooks", "no mask", "other labels", "one audio more",
        "no attention", "only labels",
    )  # fmt: skip
    cases = {name: two_samples() for name in names}
    cases["fewer frames"]["audio_input_ids_mask"][:, -4:] = False
    cases["more frames"]["audio_input_ids_mask"][1] = True
    del cases["no frames"]["audio_input_ids"], cases["no frames"]["audio_input_ids_mask"]
    cases["other codebooks"]["audio_input_ids"] = cases["other codebooks"]["audio_input_ids"][..., :2]
    del cases["no mask"]["audio_input_ids_mask"]
    cases["other labels"]["audio_labels"] = cases["other labels"]["audio_labels"][:, :-3]
    for name in ("audio_input_ids", "audio_input_ids_mask", "audio_labels"):
        cases["one audio more"][name] = torch.cat([cases["one audio more"][name], cases["one audio more"][name][:1]])
    cases["no attention"]["attention_mask"][1] = 0
    del cases["only labels"]["audio_input_ids"]
    return cases


@pytest.mark.parametrize("case", malformed())
def test_a_malformed_batch_is_counted_and_never_refused(case: str) -> None:
    found = audit(malformed()[case])
    # What is left of two of them is a sound sample without a reference, which some recipes have by design.
    assert (found.violations == ()) == (case in ("other codebooks", "no attention"))
    assert (found.placeholder_mismatch > 0) == (case not in ("other labels", "other codebooks", "no attention"))


def test_begin_and_end_codes_are_those_of_the_small_model() -> None:
    view = adapter_for(small_model()).view(batch(sample(5, 7, seed=1)))
    first, last = view.codes[0, view.segments[1].start], view.codes[0, view.segments[1].stop - 1]
    assert first.tolist() == [BOS] * K and last.tolist() == [EOS] * K
