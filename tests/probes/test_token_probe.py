import numpy as np
import pytest
import torch
from small_model import AUDIO, AUDIO_BOS, BOS, EOS, K, V, audio_tokens, batch, sample, small_model, turns, two_samples

from tracker_logging.families import IGNORE, adapter_for
from tracker_logging.families.delay_pattern import apply_delay
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.snapshot import StepSnapshot
from tracker_logging.probes.tokens import predicts_next


def watch(model: torch.nn.Module, *batches: dict[str, torch.Tensor]) -> tuple[StepSnapshot, list[torch.Tensor]]:
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens"}))
    capture.attach(model.train())
    losses = [model(**one).loss for one in batches]
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot is not None
    return snapshot, losses


@pytest.mark.parametrize("left", [False, True])
def test_the_losses_of_the_codebooks_and_the_text_add_up_to_the_loss_of_the_model(left: bool) -> None:
    snapshot, (loss,) = watch(small_model(text_head=True), two_samples(text_labels=True, left=left))
    assert snapshot.tokens.nll.sum() + snapshot.text.nll[0] == pytest.approx(loss.item(), rel=1e-6)
    assert snapshot.losses == (pytest.approx(loss.item()),)


def test_micro_batches_add_up_to_the_batch() -> None:
    model = small_model()
    first, second = sample(5, 7, seed=1), sample(0, 3, seed=2)
    whole, _ = watch(model, batch(first, second))
    parts, _ = watch(model, batch(first), batch(second))
    for name in ("rows", "nll", "accuracy", "top5", "entropy", "usage", "nll_shift0"):
        assert getattr(parts.tokens, name) == pytest.approx(getattr(whole.tokens, name), rel=1e-6), name


@pytest.mark.parametrize("left", [False, True])
def test_each_sample_has_the_loss_that_it_has_alone(left: bool) -> None:
    model = small_model()
    samples = [sample(5, 7, seed=1), sample(0, 3, seed=2), sample(4, 6, seed=3)]
    together, _ = watch(model, batch(*samples[:2], left=left), batch(samples[2]))
    assert len(together.sample_losses) == 3
    assert [loss.frames for loss in together.sample_losses] == [7, 3, 6]
    for one, loss in zip(samples, together.sample_losses, strict=True):
        alone, _ = watch(model, batch(one))
        assert loss.nll == pytest.approx(alone.tokens.mean(alone.tokens.nll), rel=1e-6)
        assert loss.codes == alone.tokens.rows.sum()
        tokens = one["input_ids"].tolist()
        last_audio = len(tokens) - 1 - tokens[::-1].index(AUDIO_BOS)
        assert loss.text_ids.tolist()[-7:] == tokens[last_audio - 6 : last_audio + 1]


def test_each_of_several_targets_has_its_own_text_and_loss() -> None:
    model = small_model()
    both, first, second = (
        watch(model, batch(turns((5, False), (7, is_first), (3, is_second), seed=4)))[0]
        for is_first, is_second in ((True, True), (True, False), (False, True))
    )
    assert [loss.frames for loss in both.sample_losses] == [7, 3]
    assert sum(loss.codes for loss in both.sample_losses) == both.tokens.rows.sum()
    for loss, alone in zip(both.sample_losses, (first, second), strict=True):
        (only,) = alone.sample_losses
        assert loss.nll == pytest.approx(alone.tokens.mean(alone.tokens.nll), rel=1e-6)
        assert loss.text_ids.tolist() == only.text_ids.tolist()
    assert both.sample_losses[0].text_ids.tolist() != both.sample_losses[1].text_ids.tolist()


def two_clips_in_a_row() -> dict[str, torch.Tensor]:
    """Two targets with no token between them; every code is labelled, begin codes too."""
    clips = [apply_delay(torch.randint(0, BOS, (K, n)), bos=BOS, eos=EOS) for n in (4, 5)]
    tokens = [1, 5, AUDIO_BOS, *audio_tokens(4), *audio_tokens(5), 2]
    frames = torch.cat(clips)[None]
    return {
        "input_ids": torch.tensor([tokens]),
        "audio_input_ids": frames,
        "audio_input_ids_mask": torch.ones(1, frames.shape[1], dtype=torch.bool),
        "audio_labels": frames.clone(),
    }


def test_the_last_frame_of_a_clip_never_predicts_the_first_of_the_next() -> None:
    model, inputs = small_model(), two_clips_in_a_row()
    allowed = predicts_next(adapter_for(model).view(inputs), bos_code=BOS)[0].tolist()
    first, second = 3, 3 + len(audio_tokens(4))
    assert allowed[first - 1], "frame 0 is predicted from the audio-begin token"
    assert not allowed[second - 1], "the last frame of the first clip predicts nothing"
    assert sum(allowed) == len(audio_tokens(4)) + len(audio_tokens(5)) - 1
    snapshot, _ = watch(model, inputs)
    assert snapshot.tokens.rows.tolist() == [sum(allowed)] * K


def test_frame_zero_is_scored_from_the_audio_begin_token() -> None:
    model = small_model()
    inputs = batch(sample(0, 3, seed=3))
    only_first = torch.full_like(inputs["audio_labels"], IGNORE)
    only_first[0, 0, 2] = 9
    inputs["audio_labels"] = only_first
    snapshot, _ = watch(model, inputs)
    begin = inputs["input_ids"][0].tolist().index(AUDIO_BOS)
    logits = model(**inputs).logits[0, begin].view(K, V)
    assert inputs["input_ids"][0, begin + 1] == AUDIO
    assert snapshot.tokens.nll[2] == pytest.approx(-logits[2].log_softmax(-1)[9].item(), rel=1e-5)
    assert snapshot.tokens.rows.tolist() == [0, 0, 1, 0]


def test_predictions_of_the_sample_are_aligned_with_their_labels() -> None:
    model = small_model()
    inputs = two_samples()
    snapshot, _ = watch(model, inputs)
    segment = snapshot.sample.segment
    expected = model(**inputs).logits[0, segment.start - 1 : segment.stop - 1].view(-1, K, V).argmax(-1)
    assert np.array_equal(snapshot.sample.predicted, expected.numpy())
    labels = adapter_for(model).view(inputs).audio_labels[0, segment.start : segment.stop]
    assert np.array_equal(snapshot.sample.labels, labels.numpy())


def test_logits_of_another_shape_are_an_error_and_the_rest_is_shown() -> None:
    model = small_model(text_head=True).train()
    adapter = adapter_for(model)
    adapter.codebook_vocabulary = V + 1
    capture = StepCapture(adapter=adapter, needs=frozenset({"tokens", "activations"}))
    capture.attach(model)
    model(**two_samples(text_labels=True))
    snapshot = capture.snapshot(1)
    assert [part for part, _ in capture.errors] == ["audio predictions"]
    assert "shape" in str(capture.errors[0][1])
    assert snapshot.tokens is None and snapshot.text is not None and snapshot.activations is not None


def test_inputs_are_summarised_with_their_non_finite_values() -> None:
    model = small_model()
    snapshot, _ = watch(model, two_samples())
    summaries = {summary.name: summary for summary in snapshot.inputs}
    tokens = summaries["input_ids"]
    expected = two_samples()["input_ids"]
    assert (tokens.shape, tokens.dtype, tokens.minimum, tokens.maximum) == ((2, 40), "int64", 0.0, 62.0)
    assert tokens.mean == pytest.approx(expected.double().mean().item())
    assert tokens.first_values.split()[:3] == ["1", "5", "6"]
    assert snapshot.batch.token_ids.tolist() == expected.tolist()
