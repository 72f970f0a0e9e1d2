"""The gaps of training samples are those of batches that were written with the other text or reference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import codec_token_models
import pytest
import tiny_families
import torch
from small_model import AUDIO, AUDIO_BOS, BOS, DELAY, EOS, K, V, batch, sample, small_model, turns
from tiny_families import DIA, HOP, csm_collate, csm_row, dia_collate, dia_row, numbers, text_collate
from torch.nn.functional import cross_entropy

from tracker_logging.families import IGNORE, adapter_for
from tracker_logging.families.delay_pattern import apply_delay, revert_delay
from tracker_logging.probes import swaps, training_gaps
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.snapshot import SampleLoss

SPECIAL = (1, 2, 5, 6, 7, AUDIO_BOS)


def losses(capture: StepCapture, model: torch.nn.Module, *batches: dict[str, Any]) -> list[tuple[SampleLoss, ...]]:
    """Of one logged step for each of `batches`."""
    found = []
    for step, one in enumerate(batches, start=1):
        capture.attach(model.train())
        model(**one).loss.backward()
        capture.before_update(None)
        snapshot = capture.snapshot(step)
        assert capture.errors == [] and snapshot is not None
        found.append(snapshot.sample_losses)
    return found


def watcher(model: torch.nn.Module, **options: Any) -> StepCapture:
    options = {"gaps_every": 1, **options}
    return StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens", "gaps"}), special_ids=SPECIAL, **options)


def nll(model: torch.nn.Module, one: dict[str, torch.Tensor]) -> float:
    return float(adapter_for(model.eval()).audio_nll(batch(one)).double().mean())


def with_parts(own: dict[str, torch.Tensor], other: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """`own` with the text of `other`'s target, or with its reference, both as long as its own."""
    tokens, frames = own["input_ids"].clone(), own["audio_input_ids"].clone()
    if part == "text":
        at, of = (int((one["input_ids"] == AUDIO_BOS).nonzero()[-1]) for one in (own, other))
        tokens[at - 5 : at] = other["input_ids"][of - 5 : of]
    else:
        frames[: 5 + 5] = other["audio_input_ids"][: 5 + 5]
    return own | {"input_ids": tokens, "audio_input_ids": frames}


@pytest.mark.parametrize("together", [True, False])
def test_gaps_are_those_of_the_batch_with_the_other_text_or_reference(together: bool) -> None:
    model = small_model()
    first, second = sample(5, 7, seed=1), sample(5, 6, seed=2)
    if together:
        ((_, measured),) = losses(watcher(model), model, batch(first, second))
    else:  # the other sample is that of an earlier step
        (alone,), (measured,) = losses(watcher(model), model, batch(first), batch(second))
        assert alone.text_gap is None and alone.reference_gap is None
    own = nll(model, second)
    for part, gap in (("text", measured.text_gap), ("reference", measured.reference_gap)):
        assert gap == pytest.approx(nll(model, with_parts(second, first, part)) - own, abs=1e-5), part
        assert abs(gap) > 1e-3


def test_gaps_are_measured_in_the_first_logged_step_and_every_nth_after_it() -> None:
    model = small_model()
    pair = batch(sample(5, 7, seed=1), sample(5, 6, seed=2))
    measured = losses(watcher(model, gaps_every=3), model, *[pair] * 7)
    assert [all(loss.text_gap is not None for loss in of_step) for of_step in measured] == [True, False, False] * 2 + [
        True
    ]


def test_a_sample_without_a_reference_has_a_text_gap_only() -> None:
    model = small_model()
    ((first, second),) = losses(watcher(model), model, batch(sample(0, 7, seed=1), sample(5, 6, seed=2)))
    assert first.text_gap is not None and first.reference_gap is None
    assert second.text_gap is not None and second.reference_gap is None  # no other reference is known yet


def test_the_samples_with_the_highest_losses_are_measured() -> None:
    model = small_model()
    (found,) = losses(watcher(model), model, batch(*(sample(4, 5, seed=seed) for seed in range(7))))
    order = sorted(found, key=lambda loss: -loss.nll)
    assert [loss.text_gap is not None for loss in order] == [True] * training_gaps.MOST + [False] * 3


def dialogue() -> dict[str, torch.Tensor]:
    """A reference of 4 frames, and two targets of 5 and 6."""
    return turns((4, False), (5, True), (6, True), seed=5)


def nll_of_turn(model: torch.nn.Module, own: dict[str, torch.Tensor], number: int) -> float:
    """Per code, of target `number` of `dialogue()`."""
    given = batch(own)
    labels = given.pop("audio_labels")[0]
    start = (4 + K + 1) + number * (5 + K + 1)
    with torch.no_grad():
        logits = model.eval()(**given).logits[0].unflatten(-1, (K, V))
    at = torch.isin(given["input_ids"][0], torch.tensor([AUDIO, DELAY])).nonzero()[:, 0]
    frames = slice(start, start + 5 + number + K + 1)
    return float(cross_entropy(logits[at[frames] - 1].transpose(1, 2), labels[frames], ignore_index=IGNORE))


def test_each_turn_of_a_dialogue_has_gaps_of_its_own() -> None:
    model, own, other = small_model(), dialogue(), sample(3, 6, seed=2)
    _, (*both, _) = losses(watcher(model), model, batch(other), batch(own, other))
    begins = (own["input_ids"] == AUDIO_BOS).nonzero()[1:, 0].tolist()
    words = other["input_ids"][(at := int((other["input_ids"] == AUDIO_BOS).nonzero()[-1])) - 5 : at]
    codes = revert_delay(other["audio_input_ids"][: 3 + K + 1], eos=EOS)
    frames = own["audio_input_ids"].clone()
    frames[: 4 + K + 1] = apply_delay(torch.cat([codes, codes[:, :1]], dim=1), bos=BOS, eos=EOS)
    for number, (begin, measured) in enumerate(zip(begins, both, strict=True)):
        tokens = own["input_ids"].clone()
        tokens[begin - 5 : begin] = words
        nll = nll_of_turn(model, own, number)
        assert measured.nll == pytest.approx(nll, abs=1e-5)
        with_words = nll_of_turn(model, own | {"input_ids": tokens}, number)
        with_reference = nll_of_turn(model, own | {"audio_input_ids": frames}, number)
        assert measured.text_gap == pytest.approx(with_words - nll, abs=1e-5) and abs(measured.text_gap) > 1e-4
        assert measured.reference_gap == pytest.approx(with_reference - nll, abs=1e-5)
        assert abs(measured.reference_gap) > 1e-4


def test_the_other_turns_of_a_dialogue_and_equal_texts_are_no_other_sample() -> None:
    model, same = small_model(), sample(0, 7, seed=1)
    for one in (batch(dialogue()), batch(same, same)):
        (found,) = losses(watcher(model), model, one)
        assert all(loss.text_gap is None and loss.reference_gap is None for loss in found)


def test_a_compiled_model_has_the_gaps_of_its_first_sample() -> None:
    model = small_model()
    first, second = sample(5, 7, seed=1), sample(5, 6, seed=2)
    found = losses(watcher(model, compiled=True), model, batch(first), batch(second, first))
    assert found[1][0].text_gap == pytest.approx(
        nll(model, with_parts(second, first, "text")) - nll(model, second), abs=1e-5
    )


def test_a_failure_is_reported_once_and_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    capture = watcher(model)
    monkeypatch.setattr(swaps, "_others", lambda *_: 1 / 0)
    failed = []
    for step in (1, 2):
        capture.attach(model.train())
        model(**batch(sample(4, 5), sample(4, 5, seed=1))).loss.backward()
        capture.before_update(None)
        assert len(capture.snapshot(step).sample_losses) == 2
        failed += [part for part, _ in capture.errors]
    assert failed == ["gaps of training samples"]


@pytest.mark.parametrize(
    ("name", "has_references"), [("higgs", True), ("higgs with a text head", True), ("csm", False), ("dia", True)]
)
def test_every_family_of_codes_has_gaps(name: str, has_references: bool) -> None:
    family = tiny_families.FAMILIES[name]
    model, rows = family.model(), family.rows(4)
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens", "gaps"}))
    (found,) = losses(capture, model, family.collate(rows))
    assert sum(loss.text_gap is not None for loss in found) == (2 if name == "dia" else 4)
    assert any(loss.reference_gap is not None for loss in found) == has_references
    reasons = [reason for reason in capture.missing if "gaps of training samples" in reason]
    expected = {
        "csm": "reference gaps of training samples: every clip of this batch (csm) is trained, none is a reference",
        "dia": "text gaps of training samples: the words of a target that continues its reference are not told from "
        "the reference's",
    }
    assert reasons == ([expected[name]] if name in expected else [])


def test_the_waveform_of_a_reference_is_replaced_in_csm() -> None:
    model, rows = tiny_families.csm(), [csm_row(5, 6, 1), csm_row(3, 7, 2)]
    for name, buffer in model.codec_model.named_buffers():
        if name.endswith("embed_sum"):  # else every frame has the same codes
            buffer.normal_()
    waves, codes = [], []
    for row, frames in zip(rows, (5, 3), strict=True):
        start = 1 + 5 + 1 + frames + 1  # begin, words, end, frames, the end of the clip
        reference, target = row["labels"][:start], row["labels"][start:]
        reference[reference >= 0] = -101  # as `CsmSpeechProcessor` writes references
        waves.append(row["input_values"][: frames * HOP])
        codes.append([int((target != IGNORE).sum()), *[int((target >= 0).sum())] * 3])  # labels by codebook
    (found,) = losses(watcher(model), model, csm_collate(rows))
    repeated = torch.arange(5 * HOP) % (3 * HOP)
    others = [waves[1][repeated], waves[0][: 3 * HOP]]
    nll = adapter_for(model.eval()).audio_nll
    for row, other, of_row, measured in zip(rows, others, codes, found, strict=True):
        changed = row | {"input_values": torch.cat([other, row["input_values"][len(other) :]])}
        before, after = (nll(csm_collate([one]))[0].double() for one in (row, changed))
        expected = float(((after - before) * torch.tensor(of_row)).sum() / sum(of_row))
        assert measured.codes == sum(of_row)
        assert measured.reference_gap == pytest.approx(expected, abs=1e-5) and abs(expected) > 1e-4


def test_the_audio_prompt_of_dia_is_replaced_where_the_target_goes_on() -> None:
    model, rows = tiny_families.dia(), [dia_row(5, 6, 1), dia_row(3, 7, 2)]
    (found,) = losses(watcher(model), model, dia_collate(rows))
    assert [loss.text_ids.tolist() for loss in found] == [row["input_ids"].tolist() for row in rows]  # all words
    codes = [numbers(4, 11, seed=1), numbers(4, 10, seed=2)]
    prompts = [codes[1][:, [0, 1, 2, 0, 1]], codes[0][:, :3]]
    for row, of_row, prompt, measured in zip(rows, codes, prompts, found, strict=True):
        other = DIA.apply(torch.cat([prompt, of_row[:, prompt.shape[1] :]], dim=1))[:-1]
        before, after = (
            float(adapter_for(model.eval()).audio_nll(dia_collate([one])).double().mean())
            for one in (row, row | {"decoder_input_ids": other})
        )
        assert measured.reference_gap == pytest.approx(after - before, abs=1e-5) and abs(after - before) > 1e-4


@pytest.mark.parametrize("layout", sorted(codec_token_models.LAYOUTS))
def test_codec_tokens_have_gaps_where_a_clip_is_frame_by_frame(layout: str) -> None:
    model = codec_token_models.model_of(layout)
    samples = [codec_token_models.written(layout, reference=3, target=4 + seed, seed=seed) for seed in range(3)]
    adapter = codec_token_models.CodecTokenAdapter(model, codec_token_models.LAYOUTS[layout])
    capture = StepCapture(adapter=adapter, needs=frozenset({"tokens", "gaps"}))
    (found,) = losses(capture, model, text_collate([one.row for one in samples]))
    assert [loss.text_gap is not None for loss in found] == [True] * 3
    assert all((loss.reference_gap is not None) == (layout in ("seven slots", "one slot")) for loss in found)


def test_a_batch_without_input_ids_is_named_not_an_error() -> None:
    """A class of one's own may call its tokens otherwise; its adapter has no `with_text`."""
    model = small_model()
    given = batch(sample(5, 7, seed=1), sample(5, 6, seed=2))
    adapter = adapter_for(model)
    view = adapter.view(given)
    renamed = {"tokens": given["input_ids"]}
    texts = swaps.OtherTexts(adapter, special_ids=SPECIAL)
    assert texts.swapped(renamed, view, view.targets, [0, 1]) is None
    (reason,) = texts.missing
    assert "no `with_text`" in reason
    own = SimpleNamespace(family="mine", pattern=adapter.pattern, with_codes=lambda inputs, codes: {"codes": codes})
    swapped = swaps.OtherReferences(own).swapped(renamed, view, view.targets, [0, 1])
    assert swapped is not None and set(swapped[1]) == {0, 1}
    assert swapped[0]["codes"].shape == view.codes.shape and not torch.equal(swapped[0]["codes"], view.codes)
