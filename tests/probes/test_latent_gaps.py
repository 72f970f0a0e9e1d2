"""Losses and gaps of training samples of models of continuous latents, against batches that were written otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_latent_probe import BOS, LATENT, VOICE, VOICE_BOS, D, batch, model

from tracker_logging.families import adapter_for
from tracker_logging.probes.capture import StepCapture

FRAMES, VOICES = (5, 7, 4), (3, 0, 2)
WORDS = ([8, 9, 10, 11], [12, 13], [14, 15, 16])


def written(name: str, words: tuple[list[int], ...] = WORDS, voices: torch.Tensor | None = None) -> dict[str, Any]:
    """Three samples, of which the second has no voice, and so no row of voice latents."""
    generator = torch.Generator().manual_seed(4)
    before = [VOICE_BOS] if name == "pocket" else []
    rows = [
        [*(before if voice else []), *[VOICE] * voice, *text, BOS, *[LATENT] * frames]
        for voice, text, frames in zip(VOICES, words, FRAMES, strict=True)
    ]
    length = max(map(len, rows))
    latents = torch.randn(2, 3, D, generator=generator)
    return {
        "input_ids": torch.tensor([[3] * (length - len(row)) + row for row in rows]),
        "attention_mask": torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows]),
        "audio_prompt_latents": latents if voices is None else voices,
        "audio_prompt_latents_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
        "labels": 2 * torch.randn(3, max(FRAMES), D, generator=generator),
        "labels_mask": torch.tensor([[int(at < count) for at in range(max(FRAMES))] for count in FRAMES]),
    }


def step(name: str, inputs: dict[str, Any], *, gaps: bool) -> tuple[Any, Any]:
    made = model(name).train()
    with torch.no_grad():  # at random initialisation texts and voices hardly matter
        for weight in made.model.layers.parameters():
            if weight.dim() == 2:
                weight.mul_(8)
    needs = frozenset({"tokens", "gaps"} if gaps else {"tokens"})
    capture = StepCapture(adapter=adapter_for(made), needs=needs, special_ids=(3, VOICE_BOS, BOS))
    capture.attach(made)
    made.distill_generator.manual_seed(3)
    torch.manual_seed(7)
    made(**inputs).loss.backward()
    capture.before_update(None)
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot is not None and snapshot.missing == ()
    return snapshot, made


@pytest.mark.parametrize("name", ["pocket", "phonon"])
def test_gaps_are_those_of_the_batch_with_the_other_text_or_voice_and_the_same_noise(name: str) -> None:
    inputs = written(name)
    snapshot, made = step(name, inputs, gaps=True)
    random_state, distilled = torch.get_rng_state(), made.distill_generator.get_state()
    _, plain = step(name, inputs, gaps=False)
    assert torch.equal(random_state, torch.get_rng_state())
    assert torch.equal(distilled, plain.distill_generator.get_state())
    for own, other in zip(made.parameters(), plain.parameters(), strict=True):
        assert own.grad is other.grad is None or torch.equal(own.grad, other.grad)

    nll = adapter_for(made.eval()).audio_nll
    other_words = written(name, words=([12, 13, 12, 13], [14, 15], [8, 9, 10]))
    voices = inputs["audio_prompt_latents"].clone()
    voices[0] = inputs["audio_prompt_latents"][1, [0, 1, 0]]
    voices[1, :2] = inputs["audio_prompt_latents"][0, :2]
    own, of_words, of_voices = (nll(one)[:, 0] for one in (inputs, other_words, written(name, voices=voices)))
    found = snapshot.sample_losses
    assert [loss.text_gap for loss in found] == pytest.approx((of_words - own).tolist(), abs=1e-5)
    by_voice = (of_voices - own).tolist()
    assert [found[0].reference_gap, found[2].reference_gap] == pytest.approx([by_voice[0], by_voice[2]], abs=1e-5)
    assert found[1].reference_gap is None
    assert min(*(of_words - own).abs().tolist(), abs(by_voice[0]), abs(by_voice[2])) > 1e-4


def test_the_loss_of_a_sample_is_the_flow_loss_of_its_frames() -> None:
    snapshot, _ = step("pocket", written("pocket"), gaps=False)
    found = snapshot.sample_losses
    assert [(loss.codes, loss.frames) for loss in found] == [(frames, frames) for frames in FRAMES]
    assert [loss.text_ids.tolist() for loss in found] == [*WORDS]
    assert np.average([loss.nll for loss in found], weights=FRAMES) == pytest.approx(snapshot.latents.flow_loss)
    assert found[0].nll == pytest.approx(snapshot.latent_sample.losses.mean())
    assert len({round(loss.nll, 4) for loss in found}) == 3 and all(loss.text_gap is None for loss in found)


@pytest.mark.parametrize("rows", [(1,), (2, 0), (0, 2, 2)])
def test_chosen_samples_have_the_losses_that_they_have_in_the_batch(rows: tuple[int, ...]) -> None:
    inputs = written("pocket")
    adapter = adapter_for(model().eval())
    chosen = adapter.samples(inputs, rows)
    assert ("audio_prompt_latents" in chosen) == (rows != (1,))
    expected = adapter.audio_nll(inputs)[list(rows), 0]
    torch.testing.assert_close(adapter.audio_nll(chosen)[:, 0], expected, atol=1e-5, rtol=0)
    assert adapter.samples(batch(), (0,))["labels"].shape[0] == 1
