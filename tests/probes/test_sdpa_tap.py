"""Attention of modules that call torch's function themselves."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as sdpa
from torch.utils.checkpoint import checkpoint

from tracker_logging.probes.attention import attention_rows
from tracker_logging.probes.sdpa_tap import calls_sdpa, tap_attention
from tracker_logging.probes.tap import AttentionCall


class Attention(nn.Module):
    """Two heads of four, causal, with dropout while training."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 24)
        self.fails = False

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if self.fails:
            raise RuntimeError("out of memory")
        query, key, value = self.project(hidden).unflatten(-1, (6, 4)).transpose(1, 2).chunk(3, dim=1)
        mixed = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=0.1 if self.training else 0.0
        )
        return mixed.transpose(1, 2).flatten(2)


def module() -> Attention:
    torch.manual_seed(0)
    return Attention()


def test_it_sees_the_call_and_can_make_it_again_with_other_values() -> None:
    own, seen = module().eval(), []
    undo = tap_attention([own], lambda index, call: seen.append((index, call)))
    hidden = torch.randn(2, 5, 8)
    output = own(hidden)
    undo()
    own(hidden)
    assert [index for index, _ in seen] == [0]
    call: AttentionCall = seen[0][1]
    weights = call.query @ call.key.transpose(2, 3) / 2.0
    weights = weights.masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf")).softmax(-1)
    indicator = torch.eye(5)[None, None, :, :4].expand(2, 2, 5, 4)
    again = call.function(call.module, call.query, call.key, indicator, None, **call.arguments)[0]
    torch.testing.assert_close(again.transpose(1, 2), weights[..., :4])
    torch.testing.assert_close(output, (weights @ call.value).transpose(1, 2).flatten(2))


def test_training_is_the_same_with_it_and_checkpointing_is_seen_once() -> None:
    def step(*, watched: bool) -> tuple[list[Any], list[torch.Tensor]]:
        own, seen = module().train(), []
        undo = tap_attention([own], lambda index, call: seen.append(call)) if watched else lambda: None
        hidden = torch.randn(2, 5, 8, requires_grad=True)
        checkpoint(own, hidden, use_reentrant=False).square().sum().backward()
        undo()
        assert not own._forward_hooks and not own._forward_pre_hooks
        return seen, [own.project.weight.grad, hidden.grad, torch.get_rng_state()]

    nothing, plain = step(watched=False)
    seen, watched = step(watched=True)
    assert (len(nothing), len(seen)) == (0, 1)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))


def test_other_modules_and_a_forward_that_raises_leave_nothing_behind() -> None:
    own, other, seen = module(), module(), []
    undo = tap_attention([own], lambda index, call: seen.append(call))
    other(torch.randn(1, 3, 8))
    own.fails = True
    with pytest.raises(RuntimeError, match="out of memory"):
        own(torch.randn(1, 3, 8))
    sdpa(*torch.randn(3, 1, 1, 2, 4))
    assert torch._C._len_torch_function_stack() == 0
    assert seen == []
    undo()


def test_a_module_that_names_no_function_of_torch_is_left_to_the_interface() -> None:
    assert calls_sdpa(module())
    assert not calls_sdpa(nn.Linear(2, 2))


@pytest.mark.parametrize("shape", [(5, 5), (2, 5, 5), (1, 1, 5, 5), (2, 1, 5, 5)], ids=str)
@pytest.mark.parametrize("as_bool", [True, False], ids=["bool", "float"])
def test_rows_are_computed_under_masks_of_any_shape_that_torch_takes(shape: tuple[int, ...], as_bool: bool) -> None:
    visible = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.4) | torch.eye(5, dtype=torch.bool)
    mask = visible if as_bool else torch.zeros(shape).masked_fill(~visible, float("-inf"))

    class Masked(Attention):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            query, key, value = self.project(hidden).unflatten(-1, (6, 4)).transpose(1, 2).chunk(3, dim=1)
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            return mixed.transpose(1, 2).flatten(2)

    torch.manual_seed(0)
    attention, seen = Masked(), []
    undo = tap_attention([attention], lambda index, call: seen.append(call))
    attention(torch.randn(2, 5, 8))
    undo()
    (call,) = seen
    for sample in range(2):
        weights = attention_rows(call, sample=sample, rows=torch.tensor([2, 4]))
        assert weights is not None
        logits = (call.query @ call.key.transpose(2, 3) / 2.0).masked_fill(~visible, float("-inf"))
        torch.testing.assert_close(weights, logits.softmax(-1)[sample][:, [2, 4]])
