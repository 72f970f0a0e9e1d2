"""Continuous latents: every number equals one that is computed here from the published formulas.

The noise that the training draws is read from the arguments of the flow head; times and noise are drawn again with the
same seed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    GradiumPhononTTSConfig,
    GradiumPhononTTSForConditionalGeneration,
    PocketTTSConfig,
    PocketTTSForConditionalGeneration,
)

from tracker_logging.families import Prompt, Role, SamplingSettings, adapter_for
from tracker_logging.metrics.latents import LEVELS
from tracker_logging.probes.capture import StepCapture

D, VOICE, LATENT, VOICE_BOS, BOS = 6, 40, 41, 42, 43
CLASSES = {
    "pocket": (PocketTTSConfig, PocketTTSForConditionalGeneration),
    "phonon": (GradiumPhononTTSConfig, GradiumPhononTTSForConditionalGeneration),
}
FRAMES = (5, 7)


def model(name: str = "pocket", **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    config_class, model_class = CLASSES[name]
    head = {
        "latent_dim": D, "hidden_size": 16, "condition_dim": 32, "num_hidden_layers": 2, "frequency_embedding_size": 8,
        "loss_weighting_hidden_size": 4,
    }  # fmt: skip
    settings = {
        "vocab_size": 44, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "latent_dim": D, "flow_head_config": head, "audio_prompt_token_id": VOICE, "audio_latent_token_id": LATENT,
        "audio_bos_token_id": BOS, "attn_implementation": "eager",
    }  # fmt: skip
    if name == "pocket":
        settings["audio_prompt_bos_token_id"] = VOICE_BOS
    else:
        settings["audio_prompt_dim"] = D
    made = model_class(config_class(**(settings | changes)))
    with torch.no_grad():
        made.latent_mean.normal_()
        made.latent_std.uniform_(0.5, 2.0)
        for parameter in made.flow_head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # the class begins with zeros
    return made


def batch(name: str = "pocket", *, seed: int = 1) -> dict[str, torch.Tensor]:
    """A sample with a voice of 3 frames and one without; left-padded, as the processor of transformers pads."""
    generator = torch.Generator().manual_seed(seed)
    before = [VOICE_BOS] if name == "pocket" else []
    rows = [
        [*before, *[VOICE] * 3, 8, 9, 10, 11, BOS, *[LATENT] * FRAMES[0]],
        [12, 13, 14, BOS, *[LATENT] * FRAMES[1]],
    ]
    length = max(map(len, rows))
    return {
        "input_ids": torch.tensor([[3] * (length - len(row)) + row for row in rows]),
        "attention_mask": torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows]),
        "audio_prompt_latents": torch.randn(1, 3, D, generator=generator),
        "labels": 2 * torch.randn(2, max(FRAMES), D, generator=generator),
        "labels_mask": torch.tensor([[int(at < count) for at in range(max(FRAMES))] for count in FRAMES]),
    }


@cache
def measured(name: str) -> Any:
    """A snapshot of one training step, the calls of the flow head, and the logits of the end of speech."""
    made = model(name).train()
    calls: list[Any] = []
    logits: list[torch.Tensor] = []
    handles = [
        made.flow_head.register_forward_hook(
            lambda _, args, kwargs, out: calls.append((args, kwargs, out.detach())), with_kwargs=True
        ),
        made.eos_head.register_forward_hook(lambda _, __, out: logits.append(out.detach())),
    ]
    made.distill_generator.manual_seed(3)
    torch.manual_seed(7)
    made(**batch(name))  # the same draws without us
    bare, calls[:] = list(calls), []
    stats = made.latent_mean.clone(), made.latent_std.clone()
    for handle in handles:
        handle.remove()

    watched = model(name).train()
    capture = StepCapture(adapter=adapter_for(watched), needs=frozenset({"tokens", "attention", "gradients"}))
    capture.attach(watched)
    watched.distill_generator.manual_seed(3)
    torch.manual_seed(7)
    watched(**batch(name)).loss.backward()
    optimizer = torch.optim.SGD(watched.parameters(), lr=0.0)
    capture.before_update(optimizer)
    capture.after_update(optimizer)
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot is not None
    return snapshot, bare[0], logits[0], stats, watched, capture.missing


def normalised(name: str) -> torch.Tensor:
    inputs = batch(name)
    mean, std = measured(name)[3]
    return ((inputs["labels"] - mean) / std)[inputs["labels_mask"].bool()]


@pytest.mark.parametrize("name", CLASSES)
def test_the_view_has_the_voice_the_text_and_the_frames(name: str) -> None:
    view = adapter_for(model(name)).view(batch(name))
    found = [(s.sample, s.role, s.frames, s.stop - s.start) for s in view.segments]
    assert found == [(0, Role.REFERENCE, 3, 3), (0, Role.TARGET, 5, 6), (1, Role.TARGET, 7, 8)]
    assert int((view.roles == Role.TEXT).sum()) == 4 + 3 + (name == "pocket")
    assert view.frame_labels is not None and view.frame_labels.sum(dim=1).tolist() == list(FRAMES)


@pytest.mark.parametrize("name", CLASSES)
def test_the_flow_loss_is_that_of_the_noise_the_training_drew(name: str) -> None:
    snapshot, ((noisy, _), kwargs, velocity), _, _, _, _ = measured(name)
    data = normalised(name).repeat(4, 1)
    torch.manual_seed(7)
    noise = torch.randn_like(data)  # the first draw of the loss of transformers
    times = kwargs["times"][0]
    torch.testing.assert_close(noisy, times * data + (1 - times) * noise)
    errors = (velocity - (data - noise)).square().mean(dim=1).double().numpy()
    latents = snapshot.latents
    assert latents.flow_loss == pytest.approx(errors.mean(), rel=1e-4)
    levels = np.minimum(((1 - times[:, 0]) * LEVELS).long().numpy(), LEVELS - 1)
    for level in range(LEVELS):
        assert latents.draws[level] == (levels == level).sum()
        if (levels == level).any():
            assert latents.by_level[level] == pytest.approx(errors[levels == level].mean(), rel=1e-4)
    of_first = errors.reshape(4, -1)[:, : FRAMES[0]].mean(axis=0)
    np.testing.assert_allclose(snapshot.latent_sample.losses, of_first, rtol=1e-4)


def test_the_end_of_speech_is_scored_at_the_bos_and_every_frame() -> None:
    snapshot, _, logits, _, watched, _ = measured("pocket")
    scores, ends = [], []
    for sample, count in enumerate(FRAMES):
        scores += logits[sample, -count - 1 :, 0].tolist()
        ends += [False] * count + [True]
    loss = np.mean([np.log1p(np.exp(-s if end else s)) for s, end in zip(scores, ends, strict=True)])
    assert snapshot.latents.eos_loss == pytest.approx(loss, rel=1e-5)
    assert getattr(watched.generation_config, "eos_threshold", None) is None
    found = [s > -4.0 for s in scores]
    assert snapshot.latents.eos_accuracy == pytest.approx(np.mean([a == b for a, b in zip(found, ends, strict=True)]))
    assert snapshot.latents.eos_recall == pytest.approx(np.mean([a for a, b in zip(found, ends, strict=True) if b]))


def test_latents_are_sampled_from_the_outputs_of_the_backbone_and_compared_by_dimension() -> None:
    snapshot, ((_, conditions), _, _), _, stats, _, _ = measured("pocket")
    data = normalised("pocket")
    latents = snapshot.latents
    np.testing.assert_allclose(latents.target_mean, data.mean(dim=0), atol=1e-5)
    np.testing.assert_allclose(latents.target_std, data.std(dim=0, correction=0), atol=1e-5)
    made = model("pocket")
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
    zero, one = torch.zeros(len(data), 1), torch.ones(len(data), 1)
    with torch.no_grad():
        expected = noise + made.flow_head(noise, conditions[: len(data)].detach(), times=[zero, one])
    np.testing.assert_allclose(latents.predicted_mean, expected.mean(dim=0), atol=1e-5)
    np.testing.assert_allclose(
        latents.spread_ratio, expected.std(0, correction=0) / data.std(0, correction=0), atol=1e-4
    )
    np.testing.assert_allclose(
        latents.drift, (expected.mean(0) - data.mean(0)).abs() / data.std(0, correction=0), atol=1e-4
    )
    mean, std = stats
    np.testing.assert_allclose(snapshot.latent_sample.given, (data * std + mean)[: FRAMES[0]], atol=1e-5)
    np.testing.assert_allclose(snapshot.latent_sample.predicted, (expected * std + mean)[: FRAMES[0]], atol=1e-5)


def test_masses_are_between_voice_text_and_frames() -> None:
    snapshot = measured("pocket")[0]
    made, inputs = model("pocket").eval(), batch()
    mean, std = measured("pocket")[3]
    with torch.no_grad():
        out = made.model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            audio_prompt_latents=inputs["audio_prompt_latents"],
            audio_latents=(inputs["labels"] - mean) / std,
            audio_latents_mask=inputs["labels_mask"],
            output_attentions=True,
        )
    ids = inputs["input_ids"][0]
    spoken = (ids == BOS) | (ids == LATENT)
    groups = [inputs["attention_mask"][0].bool() & ~spoken & (ids != VOICE), ids == VOICE, spoken]
    for layer, weights in enumerate(out.attentions):
        for row, query in enumerate(groups):
            for column, key in enumerate(groups):
                expected = weights[0][:, query][..., key].sum(-1).mean(-1)
                np.testing.assert_allclose(snapshot.attention.mass[layer, :, row, column], expected, atol=2e-5)


def test_a_step_is_bit_identical_with_the_probe() -> None:
    states = []
    for watch in (False, True):
        made = model("pocket").train()
        made.distill_generator.manual_seed(3)
        optimizer = torch.optim.AdamW(made.parameters(), lr=1e-2)
        capture = StepCapture(adapter=adapter_for(made), needs=frozenset({"tokens", "attention", "gradients"}))
        torch.manual_seed(5)
        for step in range(3):
            if watch:
                capture.attach(made)
            made(**batch(seed=step)).loss.backward()
            if watch:
                capture.before_update(optimizer)
            optimizer.step()
            optimizer.zero_grad()
            if watch:
                capture.after_update(optimizer)
                assert capture.snapshot(step) is not None and capture.errors == []
        states.append((made.state_dict(), torch.get_rng_state()))
    assert all(torch.equal(value, states[1][0][name]) for name, value in states[0][0].items())
    assert torch.equal(states[0][1], states[1][1])


def test_the_gap_has_the_same_noise_for_every_condition() -> None:
    made = model("pocket").eval()
    adapter, inputs = adapter_for(made), batch()
    first, again = adapter.audio_nll(inputs), adapter.audio_nll(inputs)
    assert torch.equal(first, again) and first.shape == (2, 1)
    other = {**inputs, "audio_prompt_latents": inputs["audio_prompt_latents"] + 3.0}
    changed = adapter.audio_nll(other)
    assert changed[0] != first[0] and changed[1] == first[1]  # only the first sample has a voice
    with torch.no_grad():
        hidden = made.model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            audio_prompt_latents=inputs["audio_prompt_latents"],
            audio_latents=(inputs["labels"] - made.latent_mean) / made.latent_std,
            audio_latents_mask=inputs["labels_mask"],
        ).last_hidden_state
        data = ((inputs["labels"] - made.latent_mean) / made.latent_std)[1]
        draws = torch.stack(
            [torch.randn(8, D, generator=torch.Generator().manual_seed(frame)) for frame in range(FRAMES[1])], dim=1
        )
        losses = []
        for draw, level in zip(draws, [(at + 0.5) / 8 for at in range(8)], strict=True):
            times = torch.full((FRAMES[1], 1), 1 - level)
            velocity = made.flow_head(times * data + level * draw, hidden[1, -8:-1], times=[times, times])
            losses.append((velocity - (data - draw)).square().mean())
    assert first[1].item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_a_prompt_is_generated_with_its_own_seed_and_ends() -> None:
    adapter: Any = adapter_for(model("pocket").eval())
    ids = torch.tensor([VOICE_BOS, *[VOICE] * 3, 8, 9, 10, BOS])
    voice = torch.randn(3, D, generator=torch.Generator().manual_seed(2))
    prompts = [Prompt(token_ids=ids, audio_codes=voice, max_frames=12, seed=seed) for seed in (1, 2, 1)]
    first, second, again = adapter.generate(prompts, SamplingSettings(temperature=0.7))
    assert first.codes.shape[0] == D and 1 <= first.codes.shape[1] <= 12
    assert np.array_equal(first.codes, again.codes) and not np.array_equal(first.codes, second.codes)
    adapter.core.eos_head.bias.data.fill_(50.0)
    ended = adapter.generate(prompts[:1], SamplingSettings())[0]
    assert (ended.stop_reason, ended.codes.shape) == ("eos", (D, 8))  # the class ignores six frames, then adds one
    adapter.core.eos_head.bias.data.fill_(-50.0)
    long = adapter.generate(prompts[:1], SamplingSettings())[0]
    assert (long.stop_reason, long.codes.shape) == ("max_length", (D, 12))
