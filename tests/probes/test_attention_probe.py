"""Against the weights of the same model in eager mode, without dropout."""

import pytest
import torch
from small_model import HEADS, LAYERS, batch, sample, small_model, two_samples
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from tracker_logging.families import Role, adapter_for
from tracker_logging.probes.attention import attention_probe
from tracker_logging.probes.attention_plan import GROUPS, plan_sample
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.snapshot import AttentionStatistics
from tracker_logging.probes.tap import CannotTapError, tap

SPECIAL = {1, 2, 7, 62}


def watch(model: nn.Module, inputs: dict[str, torch.Tensor], *, samples: int = 1) -> AttentionStatistics:
    capture = StepCapture(
        adapter=adapter_for(model), needs=frozenset({"attention"}), special_ids=SPECIAL, attention_samples=samples
    )
    capture.attach(model.train())
    model(**inputs)
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot.missing == ()
    return snapshot.attention


def eager_weights(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """[L, B, H, S, S] of a copy in eager mode."""
    eager = small_model(attention="eager").eval()
    eager.load_state_dict(model.state_dict())
    with torch.no_grad():
        return torch.stack(eager(**inputs, output_attentions=True).attentions)


def masses(weights: torch.Tensor, roles: torch.Tensor, samples: int) -> torch.Tensor:
    """[L, H, 3, 3] from full weights."""
    result = torch.full((*weights.shape[:1], weights.shape[2], 3, 3), float("nan"))
    for row, query in enumerate(GROUPS):
        for column, key in enumerate(GROUPS):
            rows = []
            for at in range(samples):
                queries, keys = roles[at] == query, roles[at] == key
                if queries.any() and keys.any():
                    rows.append(weights[:, at][:, :, queries][..., keys].sum(dim=-1))
            if rows:
                result[:, :, row, column] = torch.cat(rows, dim=-1).mean(dim=-1)
    return result


@pytest.mark.parametrize("kernel", ["sdpa", "eager", "flex_attention"])
@pytest.mark.parametrize("left", [False, True])
def test_masses_and_entropy_are_those_of_eager_weights(kernel: str, left: bool) -> None:
    model, inputs = small_model(attention=kernel).requires_grad_(False), two_samples(left=left)
    with torch.compiler.set_stance("force_eager"):  # flex has no backward on a CPU, and takes a minute to compile
        found = watch(model, inputs, samples=2)
    roles = adapter_for(model).view(inputs).roles
    weights = eager_weights(model, inputs)
    assert weights.max() > 0.9, "attention must be sharp for the test to mean anything"
    expected = masses(weights, roles, samples=2)
    assert found.mass.shape == (LAYERS, HEADS, 3, 3)
    assert torch.allclose(torch.from_numpy(found.mass).float(), expected, atol=1e-5, equal_nan=True)
    rows = [weights[:, at][:, :, roles[at] == Role.TARGET] for at in range(2)]
    entropy = torch.cat([torch.special.entr(own).sum(-1) for own in rows], dim=-1).mean(-1)
    assert torch.allclose(torch.from_numpy(found.entropy).float(), entropy, atol=1e-4)


def test_one_sample_without_padding_takes_the_kernels_causal_path() -> None:
    model, inputs = small_model(), batch(sample(5, 7, seed=1))
    del inputs["attention_mask"]
    expected = masses(eager_weights(model, inputs), adapter_for(model).view(inputs).roles, samples=1)
    found = torch.from_numpy(watch(model, inputs).mass).float()
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_packed_row_is_read_as_the_model_masks_it() -> None:
    first, second = sample(5, 7, seed=1), sample(3, 4, seed=2)
    inputs = batch({name: torch.cat([first[name], second[name]]) for name in first})
    del inputs["attention_mask"]
    lengths = [len(first["input_ids"]), len(second["input_ids"])]
    inputs["position_ids"] = torch.cat([torch.arange(length) for length in lengths])[None]
    model = small_model()
    weights = eager_weights(model, inputs)
    assert weights[..., lengths[0] :, : lengths[0]].max() == 0, "the second document must not see the first"
    expected = masses(weights, adapter_for(model).view(inputs).roles, samples=1)
    assert torch.allclose(torch.from_numpy(watch(model, inputs).mass).float(), expected, atol=1e-5)


def test_bf16_masses_are_within_five_thousandths() -> None:
    model, inputs = small_model(), two_samples()
    expected = masses(eager_weights(model, inputs), adapter_for(model).view(inputs).roles, samples=1)
    with torch.no_grad():
        for layer in model.model.layers:  # even attention: what is tested is our rounding, not the model's
            layer.self_attn.q_proj.weight.mul_(0.1)
    expected = masses(eager_weights(model, inputs), adapter_for(model).view(inputs).roles, samples=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = watch(model, inputs)
    assert torch.allclose(torch.from_numpy(found.mass).float(), expected, atol=5e-3, equal_nan=True)


def test_diagonality_is_that_of_the_full_weights() -> None:
    model, inputs = small_model(), batch(sample(5, 7, seed=1))
    found = watch(model, inputs)
    weights = eager_weights(model, inputs)[:, 0]
    view = adapter_for(model).view(inputs)
    target = view.segments[1]
    text = slice(target.start - 6, target.start - 1)  # five words before the audio-begin token
    on_text = weights[:, :, target.start : target.stop, text]
    centre = (on_text * (torch.arange(5) + 0.5) / 5).sum(-1) / on_text.sum(-1)
    frames = target.stop - target.start
    expected = 1 - (centre - (torch.arange(frames) + 0.5) / frames).abs().mean(-1)
    read = ~torch.isnan(torch.from_numpy(found.diagonality))
    assert read.any()
    assert torch.allclose(torch.from_numpy(found.diagonality).float()[read], expected[read], atol=1e-4)
    assert torch.allclose(torch.from_numpy(found.text_mass).float(), on_text.sum(-1).mean(-1), atol=1e-5)
    layer, head = found.alignment_head
    assert found.diagonality[layer, head] == pytest.approx(expected[read].max().item(), abs=1e-4)


def test_a_heatmap_holds_the_weights_with_a_bin_per_position() -> None:
    model, inputs = small_model(), batch(sample(0, 7, seed=1))
    found = watch(model, inputs)
    weights = eager_weights(model, inputs)[:, 0].mean(dim=1)
    assert [one.layer for one in found.maps] == [0, 1]
    for one in found.maps:
        assert len(one.bins) == weights.shape[-1]
        assert torch.allclose(torch.from_numpy(one.values), weights[one.layer], atol=1e-5)


def test_a_missing_reference_gives_no_value() -> None:
    mass = torch.from_numpy(watch(small_model(), batch(sample(0, 7, seed=1))).mass)
    reference = GROUPS.index(Role.REFERENCE)
    assert mass[:, :, reference].isnan().all() and mass[:, :, :, reference].isnan().all()
    assert not mass[:, :, [0, 2]][..., [0, 2]].isnan().any()


def qwen3() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    return Qwen3ForCausalLM(config)


def test_another_architecture_with_query_and_key_norm_needs_no_code_of_its_own() -> None:
    model, roles = qwen3(), torch.tensor([Role.TEXT] * 6 + [Role.REFERENCE] * 9 + [Role.TEXT] * 5 + [Role.TARGET] * 11)
    modules = [layer.self_attn for layer in model.model.layers]
    probe = attention_probe(modules)
    undo = tap(modules, probe.observe)
    tokens = torch.randint(0, 64, (1, len(roles)))
    probe.begin([plan_sample(roles, tokens[0], sample=0, bins=probe.bins, special_ids=())])
    with torch.no_grad():
        model(tokens)
    undo()
    probe.check()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        weights = torch.stack(model(tokens, output_attentions=True).attentions)
    found = probe.sums["mass"] / probe.sums["pair_rows"][:, None]
    assert torch.allclose(found.float(), masses(weights, roles[None], samples=1), atol=1e-5)


def test_a_model_without_attention_interface_is_refused_before_anything_is_changed() -> None:
    with pytest.raises(CannotTapError, match="Linear"):
        tap([nn.Linear(2, 2)], lambda index, call: None)


def test_another_model_in_the_process_is_not_observed() -> None:
    model, other = small_model(), small_model()
    seen: list[int] = []
    undo = tap([layer.self_attn for layer in model.model.layers], lambda index, call: seen.append(index))
    other(**two_samples())
    assert seen == []
    model(**two_samples())
    undo()
    assert seen == [0, 1]
