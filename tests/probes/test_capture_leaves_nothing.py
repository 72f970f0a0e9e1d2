"""Nothing is left on the model after a logged step, also when a probe raises."""

import copy
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from small_model import small_model, two_samples
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tracker_logging.families import adapter_for
from tracker_logging.probes import attention, capture, flow, probe_set, tokens
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.evaluation import EvaluationCapture
from tracker_logging.probes.probe_set import NEEDS

HOOK_DICTIONARIES = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called", "_state_dict_hooks", "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip


def everything_attached(model: nn.Module) -> dict[str, object]:
    """Hooks, instance attributes and modes of all modules, tensor hooks, the config, the interface, random states."""
    state: dict[str, object] = {}
    for name, module in model.named_modules():
        state[f"{name}/hooks"] = [dict(getattr(module, own)) for own in HOOK_DICTIONARIES]
        state[f"{name}/attributes"] = sorted(vars(module))
        state[f"{name}/methods"] = {own: value for own, value in vars(module).items() if callable(value)}
        state[f"{name}/training"] = module.training
    for name, parameter in model.named_parameters():
        state[f"{name}/parameter"] = (parameter._backward_hooks, parameter.requires_grad)
    state["config"] = copy.deepcopy(model.config.to_dict())
    state["attention"] = dict(ALL_ATTENTION_FUNCTIONS._local_mapping)
    state["kernels"] = dict(ALL_ATTENTION_FUNCTIONS._global_mapping)
    state["random"] = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())
    state["modes"] = (torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_default_dtype())
    return state


def logged_step(model: nn.Module, watcher: StepCapture) -> Iterator[str]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    watcher.attach(model)
    model(**two_samples(text_labels=True)).loss.backward()
    watcher.before_update(optimizer)
    yield "before the optimizer"
    optimizer.step()
    watcher.after_update(optimizer)
    optimizer.zero_grad()
    yield "after the optimizer"
    watcher.snapshot(1)
    yield "after the step"
    watcher.detach()
    yield "after a second detach"


@pytest.mark.parametrize("compiled", [False, True])
def test_nothing_is_left_on_the_model_after_a_logged_step(compiled: bool) -> None:
    model = small_model(text_head=True).train()
    model.model.layers[0].eval()
    before = everything_attached(model)
    watcher = StepCapture(adapter=adapter_for(model), needs=NEEDS, compiled=compiled)
    for when in logged_step(model, watcher):
        assert everything_attached(model) == before, when
    assert watcher.errors == []


def test_detaching_in_the_middle_of_a_step_leaves_nothing() -> None:
    model = small_model().train()
    before = everything_attached(model)
    watcher = StepCapture(adapter=adapter_for(model), needs=NEEDS)
    watcher.attach(model)
    assert everything_attached(model) != before
    watcher.attach(model)
    watcher.detach()
    assert everything_attached(model) == before


def test_nothing_is_left_after_an_evaluation() -> None:
    model = small_model().eval()
    before = everything_attached(model)
    watcher = EvaluationCapture(adapter=adapter_for(model))
    watcher.attach(model)
    with torch.no_grad():
        model(**two_samples())
    assert watcher.snapshot(3).tokens.rows.sum() > 0
    assert everything_attached(model) == before


BROKEN = {
    "audio predictions": (tokens.TokenProbe, "audio"),
    "text predictions": (tokens.TokenProbe, "text"),
    "attention": (attention.AttentionProbe, "observe"),
    "activations": (probe_set.ActivationProbe, "observe"),
    "gradients": (flow.FlowProbe, "_read_gradients"),
    "loss": (flow.FlowProbe, "watch"),
    "batch": (capture, "summarise"),
    "attach": (probe_set.ProbeSet, "attach"),
    "extra forward": (capture, "run_quietly"),
    "gradient conflict": (capture, "gradient_cosine"),
    "snapshot": (capture, "assemble"),
}


@pytest.mark.parametrize("part", BROKEN)
def test_a_probe_that_raises_harms_neither_the_step_nor_the_others(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken on purpose")

    plain = small_model(text_head=True).train()
    loss = plain(**two_samples(text_labels=True)).loss
    loss.backward()
    model = small_model(text_head=True).train()
    before = everything_attached(model)
    monkeypatch.setattr(*BROKEN[part], fail)
    watcher = StepCapture(adapter=adapter_for(model), needs=NEEDS, compiled=part == "extra forward")
    watcher.attach(model)
    watched_loss = model(**two_samples(text_labels=True)).loss
    watched_loss.backward()
    watcher.before_update(None)
    assert everything_attached(model) == before
    snapshot = watcher.snapshot(1)
    assert [name for name, _ in watcher.errors] == [part]
    assert watched_loss.item() == loss.item()
    for (name, own), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(own.grad, other.grad), name
    if part not in ("batch", "snapshot"):
        shown = {
            "predictions": snapshot.tokens or snapshot.text,
            "attention": snapshot.attention,
            "activations": snapshot.activations,
            "flow": snapshot.flow,
        }
        assert sum(value is not None for value in shown.values()) >= (1 if part in ("attach", "extra forward") else 3)


def test_a_model_whose_layers_cannot_be_named_shows_its_predictions() -> None:
    model = small_model().train()
    adapter = adapter_for(model)

    def no_layers() -> list[object]:
        raise AttributeError("no layers here")

    adapter.layers = no_layers
    watcher = StepCapture(adapter=adapter, needs=frozenset({"tokens", "attention", "activations", "gradients"}))
    watcher.attach(model)
    model(**two_samples()).loss.backward()
    watcher.before_update(None)
    snapshot = watcher.snapshot(1)
    assert [part for part, _ in watcher.errors] == ["layers"]
    assert snapshot.attention is None and snapshot.activations is None
    assert snapshot.tokens is not None and snapshot.flow is not None


class OwnAttention(nn.Module):
    """Attention that looks nothing up, as older models have it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: object, **kwargs: object) -> object:
        return self.inner(*args, **kwargs)


def test_attention_that_cannot_be_tapped_is_named_and_the_rest_is_shown() -> None:
    model = small_model().train()
    for layer in model.model.layers:
        layer.self_attn = OwnAttention(layer.self_attn)
    watcher = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens", "attention", "activations"}))
    watcher.attach(model)
    model(**two_samples())
    snapshot = watcher.snapshot(1)
    assert watcher.errors == []
    assert any("attention" in part for part in snapshot.missing)
    assert snapshot.attention is None and snapshot.tokens is not None and snapshot.activations is not None


def test_an_unknown_need_is_refused() -> None:
    with pytest.raises(ValueError, match="magic"):
        StepCapture(adapter=adapter_for(small_model()), needs=frozenset({"magic"}))
