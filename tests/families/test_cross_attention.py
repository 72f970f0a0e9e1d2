"""Dia's attention against the weights of the same model in eager mode."""

import pytest
import torch
from tiny_families import dia, dia_collate, dia_row
from torch import nn

from tracker_logging.families import Role, adapter_for
from tracker_logging.probes.attention_plan import GROUPS
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.snapshot import AttentionStatistics


def sharp_dia(kernel: str) -> nn.Module:
    model = dia()
    model.set_attn_implementation(kernel)
    with torch.no_grad():
        for layer in model.model.decoder.layers:  # at random initialisation attention is almost even
            for attention in (layer.self_attention, layer.cross_attention):
                attention.q_proj.weight.mul_(30)
                attention.k_proj.weight.mul_(30)
    return model


def watch(model: nn.Module, inputs: dict[str, torch.Tensor], samples: int) -> AttentionStatistics:
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"attention"}), attention_samples=samples)
    capture.attach(model.train())
    model(**inputs)
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot is not None and snapshot.missing == ()
    assert snapshot.attention is not None
    return snapshot.attention


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_alignment_and_masses_are_those_of_eager_weights(kernel: str) -> None:
    model = sharp_dia(kernel)
    inputs = dia_collate([dia_row(0, 7, 1), dia_row(0, 5, 2), dia_row(4, 6, 3)])  # the last with an audio prompt
    attention, view = watch(model, inputs, 3), adapter_for(model).view(inputs)
    eager = sharp_dia("eager").eval()
    with torch.no_grad():
        output = eager(**inputs, output_attentions=True)
    cross, decoder = torch.stack(output.cross_attentions), torch.stack(output.decoder_attentions)  # [L, B, H, S, keys]
    assert cross.max() > 0.9, "attention must be sharp for the test to mean anything"
    distances, masses = [], []
    for sample in (0, 1):
        words = int(inputs["attention_mask"][sample].sum())
        rows = (view.roles[sample, view.in_layers] == Role.TARGET).nonzero().squeeze(-1)
        on_text = cross[:, sample, :, rows, :words]
        centre = (on_text * (torch.arange(words) + 0.5) / words).sum(-1)
        distances.append((centre - (torch.arange(len(rows)) + 0.5) / len(rows)).abs())
        masses.append(on_text.sum(-1))
    expected = 1 - torch.cat(distances, dim=-1).mean(-1)
    assert torch.allclose(torch.from_numpy(attention.diagonality).float(), expected, atol=1e-4)
    assert torch.allclose(torch.from_numpy(attention.text_mass).float(), torch.ones_like(expected), atol=1e-5)
    assert torch.cat(masses, dim=-1).allclose(torch.ones(()), atol=1e-5)
    reference, target = GROUPS.index(Role.REFERENCE), GROUPS.index(Role.TARGET)
    roles = view.roles[2, view.in_layers]
    expected = decoder[:, 2][:, :, roles == Role.TARGET][..., roles == Role.REFERENCE].sum(-1).mean(-1)
    assert torch.allclose(torch.from_numpy(attention.mass[:, :, target, reference]).float(), expected, atol=1e-5)


def test_a_heatmap_contains_the_text_and_then_the_decoder() -> None:
    model = sharp_dia("sdpa")
    inputs = dia_collate([dia_row(0, 6, 1)])
    attention = watch(model, inputs, 1)
    eager = sharp_dia("eager").eval()
    with torch.no_grad():
        output = eager(**inputs, output_attentions=True)
    heatmap = attention.maps[0]
    expected = torch.cat([output.cross_attentions[0][0].mean(0), output.decoder_attentions[0][0].mean(0)], dim=1)
    assert torch.allclose(torch.from_numpy(heatmap.values), expected, atol=1e-5)
    words = inputs["input_ids"].shape[1]
    assert [key_bin.role for key_bin in heatmap.key_bins] == [Role.TEXT] * words + [Role.TARGET] * len(heatmap.bins)
    assert (heatmap.bins[0].start, heatmap.key_bins[words]) == (words, heatmap.bins[0])
