import numpy as np
import pytest
import torch
from small_model import batch, sample, small_model, two_samples
from torch import nn

from tracker_logging.families import adapter_for
from tracker_logging.metrics.flow import BLOCK, BLOCKS, sampled_weights, squared_norms
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.snapshot import StepSnapshot

NEEDS = frozenset({"activations", "gradients", "updates"})


def step(model: nn.Module, *batches: dict[str, torch.Tensor], clip: float = 1e-3) -> tuple[StepSnapshot, float]:
    """One accumulated step as the Trainer does it; the snapshot and the norm before clipping."""
    optimizer = torch.optim.AdamW([own for own in model.parameters() if own.requires_grad], lr=1e-2)
    capture = StepCapture(adapter=adapter_for(model), needs=NEEDS)
    capture.attach(model.train())
    for one in batches:
        model(**one).loss.backward()
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), clip))
    capture.before_update(optimizer)
    optimizer.step()
    capture.after_update(optimizer)
    snapshot = capture.snapshot(1)
    assert capture.errors == []
    return snapshot, norm


def test_gradient_norms_are_those_before_clipping_of_the_whole_accumulated_step() -> None:
    snapshot, norm = step(small_model(), batch(sample(5, 7, seed=1)), batch(sample(0, 3, seed=2)))
    assert snapshot.flow.before_clipping
    total = sum(own**2 for (_, layer), own in snapshot.flow.gradient_norm.items() if layer is None) ** 0.5
    assert total == pytest.approx(norm, rel=1e-5)


def test_component_norms_are_those_of_their_parameters() -> None:
    model = small_model()
    snapshot, norm = step(model, two_samples(), clip=1e9)
    own = [p.grad for name, p in model.named_parameters() if "layers.1.self_attn.o_proj" in name]
    assert snapshot.flow.gradient_norm["attention_o", 1] == pytest.approx(
        float(torch.cat([grad.flatten() for grad in own]).norm()), rel=1e-5
    )
    assert norm > 0


def test_update_ratios_are_those_of_the_weights() -> None:
    model = small_model()
    before = {name: own.detach().clone() for name, own in model.named_parameters()}
    snapshot, _ = step(model, two_samples())
    for component, names in (("audio_ffn", "layers.0.audio_mlp"), ("attention_k", "layers.0.self_attn.k_proj")):
        pairs = [(own.detach() - before[name], before[name]) for name, own in model.named_parameters() if names in name]
        moved, were = (torch.cat([pair[at].flatten() for pair in pairs]).norm() for at in (0, 1))
        assert snapshot.flow.update_ratio[component, 0] == pytest.approx(float(moved / were), rel=1e-4)


def test_clipping_is_the_norm_after_it_over_that_before() -> None:
    model = small_model()
    snapshot, norm = step(model, two_samples(), clip=1e-3)
    after = torch.cat([own.grad.flatten() for own in model.parameters() if own.grad is not None]).norm()
    assert snapshot.flow.clip_factor == pytest.approx(float(after) / norm, rel=1e-5)
    assert step(small_model(), two_samples(), clip=1e9)[0].flow.clip_factor == pytest.approx(1.0)


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_shrinkage_is_what_weight_decay_takes(decay: float) -> None:
    model = small_model()
    capture = StepCapture(adapter=adapter_for(model), needs=NEEDS)
    capture.attach(model.train())
    model(**two_samples()).loss.backward()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=decay / 1e-4)
    before = {name: own.detach().clone() for name, own in model.named_parameters() if "audio_mlp" in name}
    capture.before_update(optimizer)
    optimizer.step()
    capture.after_update(optimizer)
    shrink = capture.snapshot(1).flow.shrink
    moved = [(own.detach() - before[name], before[name]) for name, own in model.named_parameters() if name in before]
    along = -sum(float((new * old).sum()) for new, old in moved) / sum(float(old.square().sum()) for _, old in moved)
    assert shrink["audio_ffn"] == pytest.approx(along, rel=1e-4)
    assert shrink["heads"] == pytest.approx(decay, abs=1e-3)


def test_frozen_parts_and_parts_without_gradient_are_named_and_have_no_number() -> None:
    model = small_model(text_head=True)
    model.model.layers[0].self_attn.q_proj.requires_grad_(False)
    model.model.embed_tokens.requires_grad_(False)
    snapshot, _ = step(model, two_samples())
    states = snapshot.flow.states
    assert states["attention_q", 0] == "frozen" and states["attention_q", 1] == "trained"
    assert states["attention_k", 0] == "trained"
    assert ("attention_q", 0) not in snapshot.flow.gradient_norm
    assert ("attention_q", 0) not in snapshot.flow.update_ratio
    # No text is trained, so the text path of the last layer reaches no loss.
    assert states["text_ffn", 1] == "without gradient"
    assert ("text_ffn", 1) not in snapshot.flow.gradient_norm


def test_ffn_paths_are_measured_without_padding() -> None:
    model, inputs = small_model(), two_samples()
    seen: dict[str, list[torch.Tensor]] = {"mlp": [], "audio_mlp": []}
    layer = model.model.layers[1]
    for name, own in seen.items():
        getattr(layer, name).register_forward_hook(lambda module, args, output, own=own: own.append(output.detach()))
    snapshot, _ = step(model, inputs)
    real = inputs["attention_mask"].bool()
    audio = inputs["input_ids"] >= 60
    audio &= inputs["input_ids"] != 62
    text = seen["mlp"][0][real[~audio]]
    expected = [text.square().mean().sqrt().item(), seen["audio_mlp"][0].square().mean().sqrt().item()]
    assert snapshot.activations.rms[1] == pytest.approx(np.array(expected), rel=1e-5)


def test_large_tensors_are_sampled_over_their_whole_length() -> None:
    tensor = torch.arange(1_000_000, dtype=torch.float32)
    taken = sampled_weights(tensor)
    assert taken.numel() == BLOCKS * BLOCK
    assert taken.min() == 0 and taken.max() > 990_000
    noise = torch.randn(400, 500)
    estimate = float(squared_norms([sampled_weights(noise)])[0]) * noise.numel() / (BLOCKS * BLOCK)
    assert estimate == pytest.approx(float(noise.square().sum()), rel=0.05)


def test_the_cosine_of_text_and_audio_gradients_is_that_of_two_backward_passes() -> None:
    model = small_model(text_head=True).train()
    inputs = batch(sample(5, 7, seed=1), text_labels=True)
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"conflict"}))
    capture.attach(model)
    model(**inputs).loss.backward()
    expected = [own.grad.clone() for own in model.parameters()]
    capture.before_update(None)
    assert all(torch.equal(own.grad, was) for own, was in zip(model.parameters(), expected, strict=True))
    found = capture.snapshot(1).gradient_cosine
    flat = []
    for dropped in ("audio_labels", "labels"):
        model.zero_grad()
        model(**{name: value for name, value in inputs.items() if name != dropped}).loss.backward()
        flat.append(torch.cat([p.grad.flatten() for name, p in model.named_parameters() if "self_attn" in name]))
    assert found == pytest.approx(float(nn.functional.cosine_similarity(*flat, dim=0)), abs=2e-3)
    assert capture.errors == []
