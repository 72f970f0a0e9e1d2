"""The gaps of training samples are those of boson's batches that were written with the other text or reference."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from boson_model import AUDIO_EOS, AUDIO_IN, AUDIO_OUT, AUDIO_OUT_BOS, BOS, EOS, IGNORE, K, WithLoss, boson_model
from test_boson_layout import PLAIN, REFERENCE, TWO_TURNS, collated
from torch.nn.functional import cross_entropy

from tracker_logging.families import adapter_for
from tracker_logging.families.batches import named_arguments
from tracker_logging.families.delay_pattern import apply_delay, revert_delay
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.snapshot import SampleLoss

SPECIAL = (1, AUDIO_IN, AUDIO_OUT, AUDIO_EOS, AUDIO_OUT_BOS)


def row(words: list[int]) -> list[int]:
    return [1, 5, 6, AUDIO_IN, AUDIO_EOS, *words, AUDIO_OUT_BOS, AUDIO_OUT, AUDIO_EOS]


FIRST, SECOND = [11, 12, 13], [21, 22, 23, 24, 25]
WITH_OTHER_WORDS = [row([21, 22, 23]), row([11, 12, 13, 11, 12])]


def measured(model: Any, *batches: dict[str, Any]) -> tuple[list[tuple[SampleLoss, ...]], StepCapture]:
    adapter = adapter_for(model)
    capture = StepCapture(
        adapter=adapter, needs=frozenset({"tokens", "gaps"}), special_ids=SPECIAL, gaps_every=1, attention_samples=1
    )
    found, trained = [], WithLoss(model)
    for step, inputs in enumerate(batches, start=1):
        capture.attach(trained.train())
        trained(**inputs)["loss"].backward()
        capture.before_update(None)
        snapshot = capture.snapshot(step)
        assert capture.errors == [] and snapshot is not None
        found.append(snapshot.sample_losses)
    return found, capture


def inputs_of(model: Any, *rows: list[int], **options: Any) -> dict[str, Any]:
    return named_arguments(model, (collated(*rows, **options),), {})


def clip_losses(model: Any, inputs: dict[str, Any]) -> list[float]:
    """Per code, of each trained clip."""
    with torch.no_grad():
        logits = model.eval()(**inputs).audio_logits
    starts = [*inputs["audio_out_ids_start"].tolist(), inputs["audio_out_ids"].shape[1]]
    losses = []
    for start, stop in pairwise(starts):
        labels = inputs["label_audio_ids"][:, start + 1 : stop]
        if (labels != IGNORE).any():
            losses.append(float(cross_entropy(logits[start : stop - 1].transpose(1, 2), labels.T, ignore_index=IGNORE)))
    return losses


def test_gaps_are_those_of_the_batch_with_the_other_text_or_reference() -> None:
    model = boson_model()
    inputs = inputs_of(model, row(FIRST), row(SECOND))
    ((found),), _ = measured(model, inputs)
    own = clip_losses(model, inputs)
    assert [loss.nll for loss in found] == pytest.approx(own, abs=1e-5)

    with_words = clip_losses(model, inputs_of(model, *WITH_OTHER_WORDS))
    start = int(inputs["audio_in_ids_start"][1])
    clips = [revert_delay(frames.T, eos=EOS) for frames in inputs["audio_in_ids"].tensor_split([start], dim=1)]
    lengths = [clip.shape[1] for clip in clips]
    others = [clips[1 - at][:, torch.arange(lengths[at]) % lengths[1 - at]] for at in range(2)]
    frames = torch.cat([apply_delay(other, bos=BOS, eos=EOS) for other in others]).T
    assert frames.shape == inputs["audio_in_ids"].shape and lengths[0] != lengths[1]
    with_references = clip_losses(model, inputs | {"audio_in_ids": frames})
    for before, words, reference, loss in zip(own, with_words, with_references, found, strict=True):
        assert loss.text_gap == pytest.approx(words - before, abs=1e-5) and abs(words - before) > 1e-4
        assert loss.reference_gap == pytest.approx(reference - before, abs=1e-5) and abs(reference - before) > 1e-4


def test_a_reference_in_whisper_features_is_not_replaced_and_the_reason_is_given() -> None:
    model = boson_model(skip_audio_tower=False)
    (found,), capture = measured(model, inputs_of(model, row(FIRST), row(SECOND), features=True))
    assert all(loss.text_gap is not None and loss.reference_gap is None for loss in found)
    assert [reason for reason in capture.missing if "gaps" in reason] == [
        "reference gaps of training samples: this batch (higgs_audio) has more of a reference than codes of its frames"
    ]


@pytest.mark.parametrize("rows", [(0,), (2,), (1, 2), (2, 0, 2)])
def test_chosen_samples_have_the_losses_that_they_have_in_the_batch(rows: tuple[int, ...]) -> None:
    model = boson_model()
    kinds = [REFERENCE, TWO_TURNS, [1, 5, *PLAIN]]
    inputs = inputs_of(model, *kinds)
    chosen = adapter_for(model).samples(inputs, rows)
    assert clip_losses(model, chosen) == pytest.approx([clip_losses(model, inputs)[at] for at in rows], abs=1e-5)
    assert chosen["audio_out_ids"].shape[0] == K
